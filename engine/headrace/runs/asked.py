"""Asked: whether the code may have a step done under this id now."""

from __future__ import annotations

from headrace.records.rows import StepOp, StepState
from headrace.state import Turn


def may_be_asked(turn: Turn, key: bytes) -> bool:
    """Tell whether nothing is recorded or planned of the step.

    An attempt of a callable that failed and is outstanding is no record: the code may have been changed meanwhile, and
    ask for something else under the same id.
    """
    row = turn.state.steps.get(key)
    return row is None or (row.state == StepState.PENDING and row.op == StepOp.RUN and row.due_ms == 0)
