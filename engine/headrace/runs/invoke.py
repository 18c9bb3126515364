"""Invoke: the code asked to run another function and wait for its result."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import msgspec

from headrace.errors import BadRequest
from headrace.records.commands import InvokeAsked
from headrace.records.history import Kind
from headrace.records.ids import derive_ulid, entropy, partition_of
from headrace.records.invoked import correlation_id, invoked_event
from headrace.records.rows import (
    Failure,
    KnownEvent,
    Reply,
    Run,
    Start,
    Step,
    StepOp,
    StepState,
    Timer,
    TimerKind,
    split_step_name,
    timer_key,
)
from headrace.records.values import pack_value, unpack_value
from headrace.runs.announce import announce
from headrace.runs.asked import may_be_asked
from headrace.runs.recording import record_result
from headrace.runs.start import run_id_of
from headrace.runs.weight import fail_beyond, grows_too_large
from headrace.state import Turn


def invoke_function(turn: Turn, asked: InvokeAsked) -> None:
    """Start a run of the function, whatever its triggers say, and have it answer this one.

    All its limits apply. A function that is not there fails the step at once. The new run's id is derived from the
    step, so that one step can only ever make one run.
    """
    run_key = asked.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or not may_be_asked(turn, run_key + asked.step):
        return
    announce(turn, asked.run_id, run)
    if asked.timeout_ms > turn.limits.sleep_ms:
        what = f"the step {split_step_name(asked.step)[0]!r} waits for {asked.timeout_ms} ms"
        do = f"wait for {turn.limits.sleep_ms} ms at most, or without a time-out"
        fail_beyond(turn, asked.run_id, run, "timeout_too_long", what, do)
        return
    if grows_too_large(turn, asked.run_id, run, asked.step, 0):
        return
    definition = turn.definition(asked.function_id)
    if definition is None:
        more = msgspec.json.encode({"function_id": asked.function_id})
        message = _not_found(turn, asked.function_id)
        _fail(turn, asked, run, Failure("FunctionNotFound", message, retriable=False, more=more))
        return
    try:
        event = _event(turn, asked, run)
    except BadRequest as error:
        _fail(turn, asked, run, Failure("InvokeRefused", f"{error.what}; {error.do}", retriable=False))
        return
    cause = entropy(b"invoke\0%s\0%s" % (run_key, asked.step))
    child_run_id = run_id_of(cause, asked.function_id, turn.now_ms)
    _plan(turn, asked, run, child_run_id)
    start = Start(asked.function_id, child_run_id, [event], turn.now_ms, quiet=run.quiet)
    start.replies = [Reply(turn.partition, asked.run_id, asked.step)]
    # By its own id: a run that invokes thousands spreads them over all partitions.
    turn.command(partition_of(child_run_id.encode(), turn.partitions), start)


def _event(turn: Turn, asked: InvokeAsked, run: Run) -> KnownEvent:
    caller = turn.definition(run.function_id)
    route: dict[str, Any] = {
        "fn_id": asked.function_id,
        "correlation_id": correlation_id(asked.run_id, asked.step),
        "source_fn_id": run.function_id,
        "source_app_id": "" if caller is None else caller.app,
    }
    if asked.timeout_ms:
        route["expire"] = turn.now_ms + asked.timeout_ms
    event_id = derive_ulid(turn.now_ms, b"%s\0%s\0invoked" % (asked.run_id.encode(), asked.step))
    return invoked_event(event_id, asked.data, route, turn.now_ms, asked.meta)


def _plan(turn: Turn, asked: InvokeAsked, run: Run, child_run_id: str) -> None:
    step_id, occurrence = split_step_name(asked.step)
    due_ms = turn.now_ms + asked.timeout_ms if asked.timeout_ms else 0
    child = pack_value([child_run_id, asked.function_id])
    row = Step(step_id, StepOp.INVOKE, StepState.PENDING, 0, turn.next_order(), child, None, due_ms, turn.now_ms)
    turn.state.steps.put(asked.run_id.encode() + asked.step, row)
    if due_ms:
        timer = Timer(TimerKind.STEP, asked.run_id, asked.step)
        turn.state.timers.put(timer_key(due_ms, TimerKind.STEP, asked.run_id, asked.step), timer)
    turn.history(
        Kind.StepPlanned,
        asked.run_id,
        run.function_id,
        step_id=step_id,
        occurrence=occurrence,
        op="invoke",
        started_ms=turn.now_ms,
        due_ms=due_ms,
        explanation=f"run {child_run_id} of {asked.function_id}",
    )
    turn.resolve(asked.run_id, asked.step, row)


def _fail(turn: Turn, asked: InvokeAsked, run: Run, failure: Failure) -> None:
    step_id, _ = split_step_name(asked.step)
    row = Step(step_id, StepOp.INVOKE, StepState.FAILED, 1, turn.next_order(), None, failure, turn.now_ms, turn.now_ms)
    if record_result(turn, asked.run_id, run, asked.step, row):
        turn.resolve(asked.run_id, asked.step, row)


def _not_found(turn: Turn, function_id: str) -> str:
    known = [key.decode() for key, _ in turn.state.definitions.scan(b"")]
    nearest = [known_id for known_id in known if known_id.endswith(f"-{function_id}")]
    nearest = nearest or get_close_matches(function_id, known, 1, 0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "a full id is the app's id, a dash, and the function's id"
    return f"there is no function {function_id!r}; {hint}"


def time_out(row: Step, order: int, now_ms: int) -> Step:
    """Make the result of an invoked run that has not ended in time; it goes on, and its end is nothing any more."""
    child_run_id, function_id = unpack_value(row.output or b"")
    failure = Failure(
        "InvokeTimeout",
        f"run {child_run_id} of {function_id} did not end within {row.due_ms - row.started_ms} ms; it goes on",
        retriable=False,
        run_id=child_run_id,
    )
    return Step(row.id, row.op, StepState.FAILED, 1, order, None, failure, now_ms, row.started_ms)
