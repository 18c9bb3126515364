"""Loading: a live run as its code may see it."""

from __future__ import annotations

from headrace.records.rows import Run, Step, StepState
from headrace.worker.overlay import Overlay


def load_run(overlay: Overlay, run_id: str, honoured_seq: int) -> tuple[Run, dict[bytes, Step]] | None:
    """Read a run and what is committed of its steps, by name; every seq below `honoured_seq` is honoured.

    A result whose commit is on its way must not be seen by code yet (I10): it is shown as pending with `due_ms` -1,
    and `resolve` follows.
    """
    key = run_id.encode()
    run = overlay.runs.get(key)
    if run is None:
        return None
    steps: dict[bytes, Step] = {}
    for step_key, row in overlay.steps.scan(key):
        if row.order >= honoured_seq:
            row = Step(row.id, row.op, StepState.PENDING, row.attempt, row.order, None, None, -1, row.started_ms)
        steps[step_key[len(key) :]] = row
    return run, steps
