"""Answer: a run that was invoked has ended, or never began."""

from __future__ import annotations

import msgspec

from headrace.records.commands import Answer
from headrace.records.rows import Step, StepOp, StepState, TimerKind, timer_key
from headrace.runs.cron import line_free
from headrace.runs.going_on import go_on
from headrace.runs.recording import record_result
from headrace.state import Turn


def take_answer(turn: Turn, answer: Answer) -> None:
    """Give the step its result, unless the run has ended or the step has timed out: the first of the two counts."""
    if not answer.run_id:
        line_free(turn, answer.step, answer.child_run_id)
        return
    run_key = answer.run_id.encode()
    run = turn.state.runs.get(run_key)
    row = turn.state.steps.get(run_key + answer.step)
    if run is None or row is None or row.op != StepOp.INVOKE or row.state != StepState.PENDING:
        return
    if row.due_ms:
        turn.state.timers.delete(timer_key(row.due_ms, TimerKind.STEP, answer.run_id, answer.step))
    failure = answer.failure
    if failure is not None:
        failure = msgspec.structs.replace(failure, retriable=False, retry_after_ms=-1, run_id=answer.child_run_id)
    state = StepState.DONE if failure is None else StepState.FAILED
    order = turn.next_order()
    row = Step(row.id, row.op, state, 1, order, answer.output, failure, turn.now_ms, row.started_ms)
    if not record_result(turn, answer.run_id, run, answer.step, row):
        return
    go_on(turn, answer.run_id, run, answer.step, row)
