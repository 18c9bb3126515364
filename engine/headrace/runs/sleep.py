"""Sleep: the code asked to go on at a later time."""

from __future__ import annotations

from headrace.records.commands import SleepAsked
from headrace.records.history import Kind
from headrace.records.limits import DEFAULTS
from headrace.records.rows import Step, StepOp, StepState, Timer, TimerKind, split_step_name, timer_key
from headrace.runs.announce import announce
from headrace.runs.asked import may_be_asked
from headrace.runs.weight import fail_beyond, grows_too_large
from headrace.state import Turn

SLEEP_MS_MAX = DEFAULTS.sleep_ms


def plan_sleep(turn: Turn, asked: SleepAsked) -> None:
    """Record when the sleep ends, and set its timer. A time that is past ends it with the next turn."""
    run_key = asked.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or not may_be_asked(turn, run_key + asked.step):
        return
    announce(turn, asked.run_id, run)
    now_ms = turn.now_ms
    step_id, occurrence = split_step_name(asked.step)
    asked_ms = min(asked.asked_ms or now_ms, now_ms)  # a busy partition comes to the wish later than it was made
    due_ms = max(asked.due_ms or asked_ms + asked.duration_ms, now_ms)
    if due_ms > now_ms + turn.limits.sleep_ms:
        what = f"the step {step_id!r} sleeps for {due_ms - now_ms} ms; {turn.limits.sleep_ms} are allowed"
        do = "sleep for ten years at most, or start another run by then"
        fail_beyond(turn, asked.run_id, run, "sleep_too_long", what, do)
        return
    if grows_too_large(turn, asked.run_id, run, asked.step, 0):
        return
    row = Step(step_id, StepOp.SLEEP, StepState.PENDING, 0, turn.next_order(), None, None, due_ms, now_ms)
    turn.state.steps.put(run_key + asked.step, row)
    turn.state.timers.put(
        timer_key(due_ms, TimerKind.STEP, asked.run_id, asked.step), Timer(TimerKind.STEP, asked.run_id, asked.step)
    )
    turn.history(
        Kind.StepPlanned,
        asked.run_id,
        run.function_id,
        step_id=step_id,
        occurrence=occurrence,
        op="sleep",
        started_ms=now_ms,
        due_ms=due_ms,
    )
    turn.resolve(asked.run_id, asked.step, row)
