"""Weight: a run that grows beyond the published limits fails, and nothing else is touched."""

from __future__ import annotations

from headrace.records.rows import Failure, Run
from headrace.runs.ending import end_run
from headrace.state import Turn


def grows_too_large(turn: Turn, run_id: str, run: Run, step: bytes, output_bytes: int) -> bool:
    """Tell whether one more step with so large a result is too much for the run; then the run has failed."""
    run_key = run_id.encode()
    limits = turn.limits
    steps, size = turn.state.steps.weight(run_key)
    if steps < limits.steps and size + output_bytes <= limits.run_state_bytes:
        return False
    if size + output_bytes > limits.run_state_bytes:
        fail_beyond(
            turn,
            run_id,
            run,
            "run_state_too_large",
            f"the results of the run's {steps} steps have {size + output_bytes} bytes; "
            f"{limits.run_state_bytes} are allowed",
            "keep large results elsewhere and return references, or hand parts of the work to other runs by invoke",
        )
        return True
    if turn.state.steps.get(run_key + step) is not None:  # it is one of those that are counted already
        return False
    fail_beyond(
        turn,
        run_id,
        run,
        "run_steps_too_many",
        f"the run has {steps} steps and asks for another one; {limits.steps} are allowed",
        "do more in one step, or hand parts of the work to other runs by invoke or send_event",
    )
    return True


def fail_beyond(turn: Turn, run_id: str, run: Run, code: str, what: str, do: str) -> None:
    """Fail a run that asks for more than the limits allow."""
    failure = Failure("LimitExceeded", f"{what}; {do}", retriable=False)
    end_run(turn, run_id, run, "Failed", failure=failure, code=code, explanation=what, action=do)
    turn.stop(run_id)
