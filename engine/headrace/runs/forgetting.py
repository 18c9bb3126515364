"""Forgetting: what a run waits for goes with it."""

from __future__ import annotations

from headrace.records.rows import StepState
from headrace.records.wait_rows import CANCEL_STEP, MATCHED_STEP, wait_key
from headrace.runs.registering import withdraw
from headrace.state import Turn


def forget_waits(turn: Turn, run_id: str) -> None:
    """Withdraw everything that a run which ends waits for. Called while its steps are still there."""
    asked = turn.state.waiting.asked
    names = [CANCEL_STEP]
    run_key = run_id.encode()
    for key, step in turn.state.steps.scan(run_key):
        if step.state == StepState.PENDING:
            names.append(key[len(run_key) :])
    for name in names:
        row = asked.get(wait_key(run_id, name))
        if row is not None:
            withdraw(turn, run_id, name, row)
    asked.delete(wait_key(run_id, MATCHED_STEP))
