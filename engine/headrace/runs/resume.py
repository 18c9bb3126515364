"""Resume: an operator lets go on what a pause has held, or what was parked."""

from __future__ import annotations

from headrace.functions.settings import is_paused
from headrace.records.commands import ResumeRun
from headrace.records.history import Kind
from headrace.records.rows import Step, Timer, TimerKind, timer_key
from headrace.runs.going_on import go_on, start_again
from headrace.runs.park import PARKED_MS, is_parked
from headrace.runs.pauses import paused_queue
from headrace.runs.queue import enter_queue
from headrace.state import Turn

AT_ONCE_MAX = 500  # runs of a turn; the rest follows in the next ones


def pause_changed(turn: Turn, name: str, value: bytes | None) -> None:
    """Let the runs go on that a pause has held, once it is over."""
    if value is None or not is_paused(value):
        resume_held(turn, name)


def resume_more(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Let the next ones go on, unless the pause is in force again."""
    resume_held(turn, timer.run_id)


def resume_held(turn: Turn, name: str) -> None:
    """Let some runs go on that a pause has held, in their order."""
    function_id, _, key = name.partition("/")
    place = key.encode() if key else None
    if turn.paused(function_id, place) == name:
        return
    queue = paused_queue(name)
    paused = turn.state.gates.paused
    for _ in range(AT_ONCE_MAX):
        row = paused.first(queue)
        if row is None:
            return
        run_id = (paused.get(row) or b"").decode()
        paused.delete(row)
        run = turn.state.runs.get(run_id.encode())
        if run is not None and run.slots is not None and run.slots.paused == row:
            run.slots.paused = b""
            enter_queue(turn, run_id, run, run.slots)
    again_ms = turn.now_ms + 1
    turn.state.timers.put(timer_key(again_ms, TimerKind.PAUSE, name), Timer(TimerKind.PAUSE, name))


def resume_run(turn: Turn, command: ResumeRun) -> None:
    """Let a parked run go on: its steps whose retries were spent, or its body, have all of them again."""
    run_id = command.run_id
    run_key = run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None:
        return
    parked = [(key, row) for key, row in turn.state.steps.scan(run_key) if is_parked(row)]
    if not parked and run.retry_due_ms != PARKED_MS:
        return
    turn.history(Kind.RunPhase, run_id, run.function_id, phase="executing", explanation="resumed by an operator")
    body = run.retry_due_ms == PARKED_MS
    if body:
        run.retry_due_ms = 0
        run.attempt = 0
    for key, row in parked:
        fresh = Step(row.id, row.op, row.state, 0, turn.next_order(), None, None, 0, row.started_ms)
        turn.state.steps.put(key, fresh)
        if not body:
            go_on(turn, run_id, run, key[len(run_key) :], fresh)
    if body:
        start_again(turn, run_id, run)
