"""Wake: a timer of a run is due."""

from __future__ import annotations

from headrace.records.history import Kind
from headrace.records.rows import Step, StepOp, StepState, split_step_name
from headrace.records.values import NONE
from headrace.runs.going_on import go_on, start_again
from headrace.runs.invoke import time_out
from headrace.runs.recording import record_result
from headrace.runs.slots import has_slots
from headrace.state import Turn


def wake_step(turn: Turn, run_id: str, step: bytes, due_ms: int) -> None:
    """End a sleep, or have a step tried again; a timer whose step has moved on is nothing."""
    run_key = run_id.encode()
    run = turn.state.runs.get(run_key)
    row = turn.state.steps.get(run_key + step)
    if run is None or row is None or row.state != StepState.PENDING or row.due_ms != due_ms:
        return
    if row.op == StepOp.INVOKE:
        row = time_out(row, turn.next_order(), turn.now_ms)
        if not record_result(turn, run_id, run, step, row):
            return
    elif row.op == StepOp.SLEEP:
        row = Step(row.id, row.op, StepState.DONE, 0, turn.next_order(), NONE, None, row.due_ms, row.started_ms)
        step_id, occurrence = split_step_name(step)
        turn.history(
            Kind.StepEnded,
            run_id,
            run.function_id,
            status="Completed",
            step_id=step_id,
            occurrence=occurrence,
            op="sleep",
            started_ms=row.started_ms,
            due_ms=row.due_ms,
            output="null",
        )
        run.attempt = 0
    else:
        # due_ms 0: the attempt is outstanding from now on, and a new owner makes it at once.
        row = Step(row.id, row.op, row.state, row.attempt, turn.next_order(), None, row.failure, 0, row.started_ms)
    turn.state.steps.put(run_key + step, row)
    go_on(turn, run_id, run, step, row)


def wake_run(turn: Turn, run_id: str, due_ms: int) -> None:
    """Try the function body again."""
    run_key = run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or run.retry_due_ms != due_ms:
        return
    run.retry_due_ms = 0
    phase = "executing"
    if run.slots is not None and not has_slots(run):
        phase = "queued"
        run.slots.told = True
    turn.history(Kind.RunPhase, run_id, run.function_id, phase=phase, attempt=run.attempt)
    start_again(turn, run_id, run)
