"""Publish: the code asked to send events."""

from __future__ import annotations

import msgspec

from headrace.records.commands import EventsAsked
from headrace.records.history import Kind
from headrace.records.ids import derive_ulid
from headrace.records.rows import Step, StepOp, StepState, split_step_name
from headrace.records.values import pack_value
from headrace.runs.announce import announce
from headrace.runs.asked import may_be_asked
from headrace.runs.weight import grows_too_large
from headrace.state import Turn


def publish_events(turn: Turn, asked: EventsAsked) -> None:
    """Append the events in the very commit that records the step: once, whatever crashes (I6).

    Their ids are derived from the run and the step, so whoever reads the topic elsewhere can tell a repeat.
    """
    run_key = asked.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or not may_be_asked(turn, run_key + asked.step):
        return
    announce(turn, asked.run_id, run)
    if grows_too_large(turn, asked.run_id, run, asked.step, 0):
        return
    now_ms = turn.now_ms
    ids = []
    for number, (json, key) in enumerate(asked.events):
        event_id = derive_ulid(now_ms, b"%s\0%s\0%d" % (run_key, asked.step, number))
        turn.publish(event_id, json, key, event_id.encode() if key is None else key)
        ids.append(event_id)
    step_id, occurrence = split_step_name(asked.step)
    row = Step(step_id, StepOp.SEND_EVENT, StepState.DONE, 1, turn.next_order(), pack_value(ids), None, now_ms, now_ms)
    turn.state.steps.put(run_key + asked.step, row)
    if run.attempt:
        run.attempt = 0
        turn.state.runs.put(run_key, run)
    turn.history(
        Kind.StepEnded,
        asked.run_id,
        run.function_id,
        status="Completed",
        step_id=step_id,
        occurrence=occurrence,
        op="send_event",
        started_ms=now_ms,
        output=msgspec.json.encode(ids).decode(),
    )
    turn.resolve(asked.run_id, asked.step, row)
