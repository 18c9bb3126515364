"""Park: a run whose retries are spent waits for an operator, if its function says so (`on_exhausted="park"`).

Nothing is recorded of the failure: a step that used up its retries stays pending, at a time that never comes, and is
tried afresh when the run is resumed. So its code never sees a result that an operator could still change.
"""

from __future__ import annotations

from headrace.records.history import Kind
from headrace.records.rows import Phase, Run, Step, StepState
from headrace.state import Turn

PARKED_MS = 1 << 53  # a due time without a timer


def is_parked(row: Step) -> bool:
    """Tell whether a step waits for an operator."""
    return row.state == StepState.PENDING and row.due_ms == PARKED_MS


def tell_parked(turn: Turn, run_id: str, run: Run) -> None:
    """Write that the run waits for an operator."""
    turn.history(
        Kind.RunPhase,
        run_id,
        run.function_id,
        phase=Phase.PARKED.name.lower(),
        code="retries_spent",
        explanation="the retries are spent, and the function parks such runs",
        action=f"when the cause is mended: headrace resume {run_id}; or headrace cancel {run_id}",
    )
