"""Recording: what the engine itself did for a step stands in the state and in the history."""

from __future__ import annotations

from typing import Any

from headrace.records.history import Kind
from headrace.records.rows import Run, Step, StepOp, StepState, split_step_name
from headrace.records.values import json_text
from headrace.runs.telling import failure_fields
from headrace.runs.weight import grows_too_large
from headrace.state import Turn


def record_result(turn: Turn, run_id: str, run: Run, step: bytes, row: Step) -> bool:
    """Record a result; False if that was too much for the run, which has failed then.

    Telling the code of it is left to the caller.
    """
    run_key = run_id.encode()
    if grows_too_large(turn, run_id, run, step, 0 if row.output is None else len(row.output)):
        return False
    turn.state.steps.put(run_key + step, row)
    if run.attempt:  # a recorded step gives the function body its full number of attempts again
        run.attempt = 0
        turn.state.runs.put(run_key, run)
    step_id, occurrence = split_step_name(step)
    more: dict[str, Any] = {
        "status": "Completed" if row.state == StepState.DONE else "Failed",
        "step_id": step_id,
        "occurrence": occurrence,
        "op": StepOp(row.op).name.lower(),
        "started_ms": row.started_ms,
    }
    if row.failure is None:
        more["output"] = json_text(row.output)
    else:
        more.update(failure_fields(row.failure))
        if row.failure.run_id:
            more["explanation"] = f"run {row.failure.run_id}"
    turn.history(Kind.StepEnded, run_id, run.function_id, **more)
    return True
