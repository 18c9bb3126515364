"""Ending: a run completes, fails or is cancelled; its rows leave the state."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.records.commands import Answer, ReleaseLock
from headrace.records.events import INTERNAL_EVENT_BYTES_MAX
from headrace.records.history import Kind
from headrace.records.ids import derive_ulid
from headrace.records.invoked import correlation_id
from headrace.records.rows import Failure, KnownEvent, Reply, Run, Step, StepOp, StepState, TimerKind, timer_key
from headrace.records.values import NONE, unpack_value
from headrace.runs.defer import publish_defers
from headrace.runs.forgetting import forget_waits
from headrace.runs.slots import leave_gates
from headrace.runs.telling import failure_fields, with_events
from headrace.state import Turn

FINISHED = "inngest/function.finished"
_NAMES = {"Failed": "inngest/function.failed", "Cancelled": "inngest/function.cancelled"}


def end_run(
    turn: Turn,
    run_id: str,
    run: Run,
    status: str,
    *,
    output: bytes | None = None,
    output_json: str = "",
    failure: Failure | None = None,
    code: str = "",
    explanation: str = "",
    action: str = "",
) -> None:
    """Take the run out of the state, write its last record, and publish its lifecycle events if anyone wants them."""
    run_key = run_id.encode()
    state = turn.state
    if run.waited:
        forget_waits(turn, run_id)
    deferred: list[tuple[bytes, Step]] = []
    for key, step in state.steps.scan(run_key):
        if step.op == StepOp.DEFER:
            deferred.append((key[len(run_key) :], step))
        if step.state == StepState.PENDING and step.due_ms:
            state.timers.delete(timer_key(step.due_ms, TimerKind.STEP, run_id, key[len(run_key) :]))
        state.steps.delete(key)
    if run.finish_due_ms:
        state.timers.delete(timer_key(run.finish_due_ms, TimerKind.FINISH, run_id))
    if run.retry_due_ms:
        state.timers.delete(timer_key(run.retry_due_ms, TimerKind.RUN, run_id))
    state.runs.delete(run_key)
    more: dict[str, Any] = {"status": status, "started_ms": run.created_ms}
    if run.attempt:
        more["attempt"] = run.attempt
    if failure is None:
        more["output"] = output_json
    else:
        more.update(failure_fields(failure))
    if not run.announced:
        with_events(more, run.events)
    if code:
        more.update(code=code, explanation=explanation, action=action)
    turn.history(Kind.RunEnded, run_id, run.function_id, **more)
    if run.slots is not None:
        leave_gates(turn, run_id, run.slots)
    for lock in run.locks:
        turn.command(lock.partition, ReleaseLock(lock.key, run_id))
    for reply in run.replies:
        turn.command(reply.partition, _answer(reply, run_id, output, failure))
    if deferred:
        publish_defers(turn, run_id, run, deferred)
    if not run.quiet:
        _tell(turn, run_id, run, status, output, failure)


def _answer(reply: Reply, run_id: str, output: bytes | None, failure: Failure | None) -> Answer:
    if not reply.run_id:  # a cron line, which asks only whether it has ended
        return Answer("", reply.step, run_id)
    return Answer(reply.run_id, reply.step, run_id, None if failure else output or NONE, failure)


def _tell(turn: Turn, run_id: str, run: Run, status: str, output: bytes | None, failure: Failure | None) -> None:
    names = [name for name in (FINISHED, _NAMES.get(status)) if name is not None and turn.wanted(name)]
    if not names:
        return
    data: dict[str, Any] = {
        "function_id": run.function_id,
        "run_id": run_id,
        "event": _event_json(run.events[0]),
        "events": [_event_json(event) for event in run.events],
        "_inngest": {"status": status},
    }
    if run.replies and run.replies[0].run_id:
        data["correlation_id"] = correlation_id(run.replies[0].run_id, run.replies[0].step)
    if failure is not None:
        data["error"] = {"name": failure.name, "message": failure.message, "stack": failure.stack}
        if failure.status:
            data["error"]["error"] = f"invalid status code: {failure.status}"
    elif status == "Completed":
        # The recorded value itself: the JSON for people may be cut short.
        data["result"] = None if output is None else unpack_value(output)
    for name in names:
        event_id = derive_ulid(turn.now_ms, b"%s\0%s" % (run_id.encode(), name.encode()))
        key = run.events[0].key
        # How a run failed is told once, under its own id.
        event = {"name": name, "data": data, "ts": turn.now_ms, **({} if name == FINISHED else {"id": run_id})}
        turn.publish(event_id, _body(event), key, event_id.encode() if key is None else key)


def _body(event: dict[str, Any]) -> bytes:
    """Write a lifecycle event; what makes it too large for the topic is left out, the most dispensable first."""
    data = event["data"]
    body = msgspec.json.encode(event)
    for dispensable in ("events", "result", "event"):
        if len(body) <= INTERNAL_EVENT_BYTES_MAX:
            break
        data = {key: value for key, value in data.items() if key != dispensable}
        body = msgspec.json.encode({**event, "data": data})
    return body


def _event_json(event: KnownEvent) -> dict[str, Any]:
    fields = msgspec.json.decode(event.json, type=dict[str, msgspec.Raw])
    fields["id"] = msgspec.Raw(msgspec.json.encode(event.given_id or event.id))
    fields["ts"] = msgspec.Raw(msgspec.json.encode(event.ts_ms))
    return fields
