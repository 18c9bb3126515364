"""Cancel: someone ends a run before its code does."""

from __future__ import annotations

from headrace.records.commands import CancelRun
from headrace.records.rows import Failure
from headrace.runs.ending import end_run
from headrace.state import Turn


def cancel_run(turn: Turn, command: CancelRun) -> None:
    """End the run as cancelled, and interrupt its code; a run that has ended stays as it is."""
    run = turn.state.runs.get(command.run_id.encode())
    if run is None:
        return
    end_run(turn, command.run_id, run, "Cancelled", failure=Failure("Cancelled", command.reason, retriable=False))
    turn.stop(command.run_id)
