"""Wait: the code asked for the first of several events, or for a signal.

Each wait is decided at the partition of its digest, time-out included. The home decides between them: the first answer
with an event wins, and the others are withdrawn in that commit; when all are timed out, the step is. An event that has
resolved a wait of the run resolves no other: the wait that it was found for as well is registered again without it.
"""

from __future__ import annotations

import msgspec

from headrace.errors import HeadraceError
from headrace.functions.bindings import event_bindings
from headrace.functions.correlation import criteria_of
from headrace.records.commands import CancelRun, SignalAsked, Wait, WaitAsked
from headrace.records.history import Kind
from headrace.records.rows import Failure, Run, Step, StepOp, StepState, split_step_name
from headrace.records.values import NONE, pack_value
from headrace.records.wait_rows import CANCEL_STEP, Registered, WaitRow, wait_key
from headrace.records.waits import SIGNAL_CONFLICT, Purpose, WaitAnswer
from headrace.runs.announce import announce
from headrace.runs.asked import may_be_asked
from headrace.runs.cancel import cancel_run
from headrace.runs.ending import end_run
from headrace.runs.gather_again import events_after, gather_again
from headrace.runs.going_on import go_on
from headrace.runs.recording import record_result
from headrace.runs.registering import (
    matched_events,
    note_matched,
    place_wait,
    register,
    signal_place,
    stored_of,
    withdraw,
)
from headrace.runs.start import begin_run
from headrace.state import Turn

SKEW_MS = 5_000  # a wait counts events from so long before it was asked: clocks of owners differ


def ask_wait(turn: Turn, asked: WaitAsked) -> None:
    """Register each of the waits where it is decided. Without a time-out (0) it is over when an event comes."""
    run_key = asked.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or not may_be_asked(turn, run_key + asked.step):
        return
    stored = stored_of(run.events[0])
    try:
        placed = [
            place_wait(asked.run_id, wait, criteria_of(wait.match, wait.expression), stored) for wait in asked.waits
        ]
    except HeadraceError as error:
        announce(turn, asked.run_id, run)
        failure = Failure("InvalidExpression", str(error), retriable=False)
        _end(turn, asked.run_id, run, asked.step, _pending(turn, asked.step, StepOp.WAIT, 0), failure=failure)
        return
    from_ms = run.events[0].at_ms if asked.since_run else turn.now_ms - SKEW_MS
    _plan(turn, asked.run_id, run, asked.step, StepOp.WAIT, asked.waits, placed, asked.timeout_ms, from_ms)


def ask_signal(turn: Turn, asked: SignalAsked) -> None:
    """Wait for a signal by its name: what is sent from now on."""
    run_key = asked.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or not may_be_asked(turn, run_key + asked.step):
        return
    waits = [Wait(asked.signal)]
    placed = [signal_place(asked.signal)]
    step, timeout_ms = asked.step, asked.timeout_ms
    _plan(turn, asked.run_id, run, step, StepOp.SIGNAL, waits, placed, timeout_ms, turn.now_ms, asked.conflict)


def _plan(
    turn: Turn,
    run_id: str,
    run: Run,
    step: bytes,
    op: StepOp,
    waits: list[Wait],
    placed: list[Registered],
    timeout_ms: int,
    from_ms: int,
    conflict: str = "",
) -> None:
    now_ms = turn.now_ms
    announce(turn, run_id, run)
    due_ms = now_ms + min(timeout_ms, turn.limits.sleep_ms) if timeout_ms else 0
    purpose = Purpose.SIGNAL if op == StepOp.SIGNAL else Purpose.RESOLVE
    strict = from_ms < now_ms - SKEW_MS
    row = WaitRow(purpose, waits, placed, from_ms, due_ms, now_ms, strict, conflict=conflict)
    turn.state.waiting.asked.put(wait_key(run_id, step), row)
    pending = _pending(turn, step, op, due_ms)
    turn.state.steps.put(run_id.encode() + step, pending)
    if not run.waited:
        run.waited = True
        turn.state.runs.put(run_id.encode(), run)
    for index in range(len(waits)):
        register(turn, run_id, step, run, row, index)
    step_id, occurrence = split_step_name(step)
    turn.history(
        Kind.StepPlanned,
        run_id,
        run.function_id,
        step_id=step_id,
        occurrence=occurrence,
        op=op.name.lower(),
        started_ms=now_ms,
        due_ms=due_ms,
        explanation="waits for " + " or ".join(_told(purpose, wait) for wait in waits),
    )
    turn.resolve(run_id, step, pending)


def _pending(turn: Turn, step: bytes, op: StepOp, due_ms: int) -> Step:
    step_id, _ = split_step_name(step)
    return Step(step_id, op, StepState.PENDING, 0, turn.next_order(), None, None, due_ms, turn.now_ms)


def _told(purpose: Purpose, wait: Wait) -> str:
    if purpose == Purpose.SIGNAL:
        return f"the signal {wait.event!r}"
    condition = f" with the same {wait.match}" if wait.match else f" where {wait.expression}" if wait.expression else ""
    return wait.event + condition


def take_wait_answer(turn: Turn, answer: WaitAnswer) -> None:
    """Take what was decided about one of a run's waits; an answer that comes too late is nothing."""
    run = turn.state.runs.get(answer.run_id.encode())
    row = turn.state.waiting.asked.get(wait_key(answer.run_id, answer.step))
    if run is None or row is None:
        return
    placed = row.registered[answer.index]
    if placed.n != answer.n or not placed.open:
        return
    if answer.step == CANCEL_STEP:
        _take_cancel_answer(turn, run, row, answer)
        return
    step = turn.state.steps.get(answer.run_id.encode() + answer.step)
    if step is None or step.state != StepState.PENDING:
        return
    if answer.failure is not None and answer.failure.name == SIGNAL_CONFLICT:
        _fail_in_conflict(turn, answer.run_id, run, answer.failure)
        return
    found = answer.found
    if found is not None:
        if any(event_id == found.event.id for _, event_id in matched_events(turn, answer.run_id)):
            placed.n += 1
            turn.state.waiting.asked.put(wait_key(answer.run_id, answer.step), row)
            register(turn, answer.run_id, answer.step, run, row, answer.index)
            return
        note_matched(turn, answer.run_id, found.event)
        value: object = {"index": answer.index, "event": event_bindings(found.event)}
    elif answer.signal is not None:
        value = {"signal": row.waits[answer.index].event, "data": msgspec.json.decode(answer.signal)}
    elif answer.failure is None:
        placed.open = False
        if any(other.open for other in row.registered):
            turn.state.waiting.asked.put(wait_key(answer.run_id, answer.step), row)
            return
        value = None
    else:
        value = None
    withdraw(turn, answer.run_id, answer.step, row, but=answer.index)
    _end(turn, answer.run_id, run, answer.step, step, value, answer.failure)


def _fail_in_conflict(turn: Turn, run_id: str, run: Run, failure: Failure) -> None:
    """Fail the run itself, as the SDKs that ask for this expect (protocol page, 4.4): its code is not asked."""
    todo = "wait for another signal, or ask to take the place of who waits (onConflict: 'replace')"
    what = failure.message
    end_run(turn, run_id, run, "Failed", failure=failure, code="signal_conflict", explanation=what, action=todo)
    turn.stop(run_id)


def _take_cancel_answer(turn: Turn, run: Run, row: WaitRow, answer: WaitAnswer) -> None:
    row.registered[answer.index].open = answer.clear
    if answer.found is not None:
        turn.state.waiting.asked.put(wait_key(answer.run_id, CANCEL_STEP), row)
        event = answer.found.event
        reason = f"cancelled by the event {event.name} ({event.given_id or event.id})"
        later = events_after(run, event.at_ms) if row.unconfirmed else []
        cancel_run(turn, CancelRun(answer.run_id, reason))
        gather_again(turn, run.function_id, later)
        return
    held = bool(row.unconfirmed)
    row.unconfirmed = [index for index in row.unconfirmed if index != answer.index]
    turn.state.waiting.asked.put(wait_key(answer.run_id, CANCEL_STEP), row)
    if held and not row.unconfirmed:
        begin_run(turn, answer.run_id, run)


def _end(
    turn: Turn, run_id: str, run: Run, name: bytes, step: Step, value: object = None, failure: Failure | None = None
) -> None:
    output = None if failure is not None else NONE if value is None else pack_value(value)
    state = StepState.DONE if failure is None else StepState.FAILED
    row = Step(step.id, step.op, state, 0, turn.next_order(), output, failure, turn.now_ms, step.started_ms)
    if not record_result(turn, run_id, run, name, row):
        return
    go_on(turn, run_id, run, name, row)
