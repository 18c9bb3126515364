"""Defer: what is to be run once the run has ended, however it ends. Source: the SDK protocol page, sections 1.4, 3.3.

Each is a row among the run's steps, named by `deferred_name`; what is refused (too much of it) stands there as failed,
so that the code need not ask again. It never fails the run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.records.commands import DeferAsked, DeferDropped
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import derive_ulid
from headrace.records.rows import Run, Step, StepOp, StepState
from headrace.runs.telling import DEFERRED
from headrace.state import Turn

DEFERS_MAX = 20  # of one run


class _Deferred(msgspec.Struct):
    function_id: str
    data: msgspec.Raw
    meta: msgspec.Raw


def note_defer(turn: Turn, asked: DeferAsked) -> None:
    """Keep what is to be run at the run's end; what is asked twice counts once."""
    run_key = asked.run_id.encode()
    steps = turn.state.steps
    if turn.state.runs.get(run_key) is None:
        return
    known = steps.get(run_key + asked.step)
    if known is not None:
        turn.resolve(asked.run_id, asked.step, known)
        return
    there = [row for _, row in steps.scan(run_key) if row.op == StepOp.DEFER]
    size = sum(len(row.output or b"") for row in there) + len(asked.data) + len(asked.meta)
    taken = size <= EVENT_BYTES_MAX and _is_object(asked.data) and asked.function_id != ""
    row = _row(turn, StepState.DONE if taken else StepState.FAILED)
    if taken:
        kept = _Deferred(asked.function_id, msgspec.Raw(asked.data), msgspec.Raw(asked.meta))
        row.output = b"j" + msgspec.json.encode(kept)
    if len(there) < DEFERS_MAX:  # of more than that nothing is kept at all
        steps.put(run_key + asked.step, row)
    turn.resolve(asked.run_id, asked.step, row)


def drop_defer(turn: Turn, asked: DeferDropped) -> None:
    """Have what was to be run not be run."""
    run_key = asked.run_id.encode()
    if turn.state.runs.get(run_key) is None:
        return
    row = _row(turn, StepState.FAILED)
    if turn.state.steps.get(run_key + asked.step) is not None:
        turn.state.steps.put(run_key + asked.step, row)
    turn.resolve(asked.run_id, asked.step, row)


def publish_defers(turn: Turn, run_id: str, run: Run, deferred: list[tuple[bytes, Step]]) -> None:
    """Publish an event for each function that is to be run now, in the order in which that was asked."""
    if not turn.wanted(DEFERRED):
        return
    caller = turn.definition(run.function_id)
    for name, row in sorted(deferred, key=lambda entry: entry[1].order):
        if row.output is None:
            continue
        kept = msgspec.json.decode(row.output[1:], type=_Deferred)
        route = {
            "fn_slug": kept.function_id,
            "parent_app_id": "" if caller is None else caller.app,
            "parent_fn_slug": run.function_id,
            "parent_run_id": run_id,
        }
        data = msgspec.json.decode(kept.data, type=dict[str, msgspec.Raw] | None) or {}
        event: dict[str, Any] = {"name": DEFERRED, "data": {**data, "_inngest": route}, "ts": turn.now_ms}
        if bytes(kept.meta) != b"null":
            event["meta"] = kept.meta
        event_id = derive_ulid(turn.now_ms, b"%s\0%s" % (run_id.encode(), name))
        key = run.events[0].key
        turn.publish(event_id, msgspec.json.encode(event), key, event_id.encode() if key is None else key)


def _row(turn: Turn, state: StepState) -> Step:
    return Step("", StepOp.DEFER, state, 0, turn.next_order(), None, None, turn.now_ms, turn.now_ms)


def _is_object(data: bytes) -> bool:
    return data.lstrip()[:1] == b"{" or data == b"null"
