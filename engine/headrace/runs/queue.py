"""Queue: a limited run waits for its slots, and begins, or goes on, when it has them."""

from __future__ import annotations

from headrace.records.commands import Granted
from headrace.records.history import Kind
from headrace.records.rows import Failure, Phase, Run, Slots, Timer, TimerKind, timer_key
from headrace.runs.ending import end_run
from headrace.runs.pauses import hold_run
from headrace.runs.slots import ask_gates, ask_next, release_slots
from headrace.runs.timeouts import begin_finish
from headrace.state import Turn


def queue_run(turn: Turn, run_id: str, run: Run, slots: Slots) -> None:
    """Take up a new run that is limited: its code begins when it has its slots, if its function is not paused."""
    run.slots = slots
    run.phase = Phase.QUEUED
    run.suspended = True  # its code need not be started
    turn.state.runs.put(run_id.encode(), run)
    if slots.expires_ms:
        if slots.expires_ms <= turn.now_ms:
            _expire(turn, run_id, run, slots)
            return
        turn.state.timers.put(timer_key(slots.expires_ms, TimerKind.QUEUE, run_id), Timer(TimerKind.QUEUE, run_id))
    enter_queue(turn, run_id, run, slots)


def enter_queue(turn: Turn, run_id: str, run: Run, slots: Slots) -> None:
    """Have a run that has not begun wait for its slots; one whose function or key is paused waits for that first."""
    pause = turn.paused(run.function_id, run.place)
    if pause:
        hold_run(turn, run_id, run, slots, pause)
    else:
        ask_slots(turn, run_id, run, slots)


def ask_slots(turn: Turn, run_id: str, run: Run, slots: Slots) -> None:
    """Ask for what the run needs; it goes on when all of it is granted."""
    if ask_gates(turn, run_id, run, slots):
        _go(turn, run_id, run, slots)
        return
    turn.state.runs.put(run_id.encode(), run)
    turn.queued(run_id)


def take_granted(turn: Turn, granted: Granted) -> None:
    """Ask the next gate, or let the run go on; a slot for a run that has ended, or has moved on, is nothing.

    Such a slot is not lost: the run's `Release` is on its way to the gate.
    """
    run = turn.state.runs.get(granted.run_id.encode())
    slots = None if run is None else run.slots
    if run is None or slots is None or granted.number != slots.number or granted.index != slots.granted:
        return
    if slots.granted == slots.asked:
        return
    slots.granted += 1
    if not slots.begun:
        pause = turn.paused(run.function_id, run.place)
        if pause:  # it came while the slot was on its way
            release_slots(turn, granted.run_id, slots)
            hold_run(turn, granted.run_id, run, slots, pause)
            return
    if slots.granted < len(slots.gates):
        ask_next(turn, granted.run_id, run, slots)
        turn.state.runs.put(granted.run_id.encode(), run)
    else:
        _go(turn, granted.run_id, run, slots)


def _go(turn: Turn, run_id: str, run: Run, slots: Slots) -> None:
    run.phase = Phase.EXECUTING
    if slots.told:
        slots.told = False
        turn.history(Kind.RunPhase, run_id, run.function_id, phase="executing")
    news, slots.news = slots.news, []
    afresh, slots.afresh = slots.afresh or not slots.begun, False
    if not slots.begun:
        slots.begun = True
        if slots.expires_ms:
            turn.state.timers.delete(timer_key(slots.expires_ms, TimerKind.QUEUE, run_id))
        definition = turn.definition(run.function_id)
        if definition is not None and definition.timeouts is not None:
            begin_finish(turn, run_id, run, definition.timeouts)
    if not slots.gates:
        run.slots = None
    run_key = run_id.encode()
    turn.state.runs.resume(run_key, run)
    if afresh:
        turn.execute(run_id)
    for step in news:
        row = turn.state.steps.get(run_key + step)
        if row is not None:
            turn.resolve(run_id, step, row)


def queue_timed_out(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Cancel a run that has not begun in time; a timer of one that has is nothing."""
    run = turn.state.runs.get(timer.run_id.encode())
    slots = None if run is None else run.slots
    if run is not None and slots is not None and not slots.begun and slots.expires_ms == due_ms:
        _expire(turn, timer.run_id, run, slots)


def _expire(turn: Turn, run_id: str, run: Run, slots: Slots) -> None:
    waited_ms = turn.now_ms - run.created_ms
    end_run(
        turn,
        run_id,
        run,
        "Cancelled",
        failure=Failure("QueueTimeout", "the run had not begun when its time in the queue was over", retriable=False),
        code="queue_timed_out",
        explanation=f"timeouts.start was over before the run could begin; it waited {waited_ms} ms for a slot",
        action="raise the limit (headrace limits set), or timeouts.start",
    )
