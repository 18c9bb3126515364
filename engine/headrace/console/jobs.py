"""What a run has pending, as the jobs of a queue: `GET /v1/runs/{id}/jobs`, SDK protocol page, section 6.1. Pure.

There is no such queue here; a job is a step that waits for its time or for somebody else, or the code itself.
"""

from __future__ import annotations

from typing import Any

from headrace.console.moments import iso
from headrace.console.run_answers import phase_now
from headrace.console.run_rows import ENDED, RunRow
from headrace.console.steps import RunTold, StepTold

_KINDS = {"sleep": "sleep", "wait": "pause", "signal": "pause", "invoke": "pause"}
JOBS_MAX = 10


def list_jobs(row: RunRow, told: RunTold, now_ms: int) -> list[dict[str, Any]]:
    """List what is pending, the soonest first; a run that has ended has nothing."""
    if row.status in ENDED:
        return []
    jobs = [_step_job(row, step, now_ms) for step in told.steps if step.phase in ("sleeping", "waiting", "backing_off")]
    phase = phase_now(row, now_ms)
    if phase == "queued":
        jobs.append(_job(row, "", "start", row.queued_ms, row.attempt))
    elif phase == "backing_off" and not any(step.phase == "backing_off" for step in told.steps):
        jobs.append(_job(row, "", "edge-error", row.due_ms, row.attempt + 1))
    elif phase in ("executing", "no_code", "parked"):
        jobs.append(_job(row, "", "edge", now_ms, row.attempt))
    jobs.sort(key=_time)
    return [{**job, "position": place} for place, job in enumerate(jobs[:JOBS_MAX])]


def _time(job: dict[str, Any]) -> str:
    return str(job["at"])


def _step_job(row: RunRow, step: StepTold, now_ms: int) -> dict[str, Any]:
    if step.phase == "backing_off":
        return _job(row, step.id, "edge-error", step.due_ms, step.attempts[-1].number + 1 if step.attempts else 0)
    return _job(row, step.id, _KINDS.get(step.op, "edge"), step.due_ms or now_ms, 0)


def _job(row: RunRow, step: str, kind: str, at_ms: int, attempt: int) -> dict[str, Any]:
    return {
        "JobID": f"{row.run_id}-{step or 'step'}",
        "at": iso(at_ms),
        "kind": kind,
        "attempt": attempt,
    }
