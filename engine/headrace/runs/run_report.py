"""Run report: one attempt of the function body has ended."""

from __future__ import annotations

from headrace.records.commands import RunReport
from headrace.records.dead import refused_headers
from headrace.records.history import Kind
from headrace.records.rows import Timer, TimerKind, timer_key
from headrace.runs.announce import announce
from headrace.runs.ending import end_run
from headrace.runs.park import PARKED_MS, tell_parked
from headrace.runs.retry import definition_of, retry_delay_ms
from headrace.runs.slots import release_slots
from headrace.runs.telling import failure_fields
from headrace.state import Turn


def take_run_report(turn: Turn, report: RunReport) -> None:
    """Complete the run; or, after a failure, plan the next attempt while there are retries left, else fail it."""
    run_key = report.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or run.attempt != report.attempt or run.retry_due_ms:
        return
    failure = report.failure
    if failure is None:
        end_run(turn, report.run_id, run, "Completed", output=report.output, output_json=report.output_json)
        return
    definition = definition_of(turn, run.function_id)
    spent = run.attempt >= definition.retries
    if not failure.retriable or (spent and definition.on_exhausted != "park"):
        for place in report.dead:
            event = run.events[place]
            turn.dead(event.key, event.json, refused_headers(failure.message, event.id, report.run_id))
        end_run(turn, report.run_id, run, "Failed", failure=failure)
        return
    due_ms = 0 if spent else turn.now_ms + retry_delay_ms(definition.backoff, run.attempt, failure, report.run_id)
    announce(turn, report.run_id, run)
    run.attempt += 1
    run.retry_due_ms = due_ms or PARKED_MS
    if run.slots is not None:
        release_slots(turn, report.run_id, run.slots)
    turn.state.runs.suspend(run_key, run)
    if not spent:
        turn.state.timers.put(timer_key(due_ms, TimerKind.RUN, report.run_id), Timer(TimerKind.RUN, report.run_id))
    turn.history(
        Kind.RunAttemptFailed,
        report.run_id,
        run.function_id,
        phase="parked" if spent else "backing_off",
        attempt=report.attempt,
        due_ms=due_ms,
        **failure_fields(failure),
    )
    if spent:
        tell_parked(turn, report.run_id, run)
