"""How GraphQL calls the statuses of runs and steps. Source: the SDK protocol page, sections 6.3 and 7.10. Pure."""

from __future__ import annotations

from headrace.console.steps import StepTold

_OF_RUNS = {
    "Scheduled": "QUEUED",
    "Running": "RUNNING",
    "Completed": "COMPLETED",
    "Failed": "FAILED",
    "Cancelled": "CANCELLED",
    "Skipped": "SKIPPED",
}
RUN_STATUSES = {shown: status for status, shown in _OF_RUNS.items()}
_WAITING = ("sleeping", "waiting", "backing_off", "parked")


def run_status(status: str) -> str:
    """Name the status of a run."""
    return _OF_RUNS.get(status, "RUNNING")


def step_status(step: StepTold) -> str:
    """Name the status of a step; one that has invoked a run is at work, as far as its own run is concerned."""
    if step.status == "Running":
        return "WAITING" if step.phase in _WAITING and step.op != "invoke" else "RUNNING"
    return _OF_RUNS.get(step.status, "RUNNING")
