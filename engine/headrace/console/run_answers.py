"""Runs and steps as the API shows them: the SDK protocol's names, and ours beside them."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.console.answers import json_value
from headrace.console.metadata import Kept, put_together
from headrace.console.moments import iso
from headrace.console.run_queries import FoundRun
from headrace.console.run_rows import RunRow
from headrace.console.steps import Attempt, Mistake, RunTold, StepTold
from headrace.console.whole_run import WholeRun

ACCOUNT_ID = "00000000-0000-4000-a000-000000000000"
ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000"


def phase_now(row: RunRow, now_ms: int) -> str:
    """Tell what a run does now; "" when it has ended. A back-off that is over is no record of its own."""
    if row.phase == "backing_off" and 0 < row.due_ms <= now_ms:
        return "executing"
    return row.phase


def explain(row: RunRow, now_ms: int) -> str:
    """Say why a run is where it is."""
    if row.explanation:
        return row.explanation
    phase = phase_now(row, now_ms)
    if phase == "backing_off":
        failed = f" ({row.error_name}: {row.error_message})" if row.error_name else ""
        return f"attempt {row.attempt + 1} failed{failed}; the next one is made at {iso(row.due_ms)}"
    if phase == "sleeping" and row.due_ms:
        return f"sleeps until {iso(row.due_ms)}"
    if phase == "queued":
        return "waits for its turn"
    return ""


def run_fields(found: FoundRun, now_ms: int) -> dict[str, Any]:
    """Show a run as it stands in lists."""
    row = found.row
    phase = phase_now(row, now_ms)
    # An error from which the code went on is no error of the run.
    failed = bool(row.error_name or row.error_message) and (row.ended_ms > 0 or phase != "executing")
    error = Mistake(row.error_name, row.error_message, row.error_stack, row.error_more) if failed else None
    return {
        "run_id": row.run_id,
        "function_id": row.function_id,
        "function_version": 1,
        "environment_id": ENVIRONMENT_ID,
        "status": row.status,
        "phase": phase or None,
        "event_id": row.event_id or None,
        "event_ids": found.event_ids,
        "event_name": found.event_name or None,
        "queued_at": iso(row.queued_ms),
        "run_started_at": iso(row.started_ms or row.queued_ms),
        "ended_at": iso(row.ended_ms),
        "due_at": iso(row.due_ms) if phase in ("sleeping", "backing_off", "waiting") else None,
        "attempt": row.attempt,
        "output": error_object(error) if error and row.status == "Failed" else output_value(row.output),
        "error": mistake_fields(error),
        "code": row.code or None,
        "explanation": explain(row, now_ms) or None,
        "action": row.action or None,
        "partition": row.partition,
    }


def origin_fields(whole: WholeRun) -> dict[str, Any]:
    """Show where a single run comes from, beside its events, and what is kept beside it."""
    return {
        "original_run_id": whole.original_run_id,
        "cron": whole.cron,
        "batch_id": whole.batch_id,
        "metadata": [kept_fields(kept) for kept in put_together(note for note in whole.notes if not note.step_id)],
    }


def kept_fields(kept: Kept) -> dict[str, Any]:
    """Show what is kept beside a run or a step under one kind."""
    return {"scope": kept.scope, "kind": kept.kind, "values": kept.values, "updated_at": iso(kept.updated_ms)}


def told_fields(told: RunTold) -> dict[str, Any]:
    """Show what a single run has beside the fields of lists."""
    return {
        "steps": [step_fields(step) for step in told.steps],
        "failed_attempts": [attempt_fields(attempt) for attempt in told.attempts],
        "phases": [
            {"phase": stretch.phase, "started_at": iso(stretch.begin_ms), "ended_at": iso(stretch.end_ms)}
            for stretch in told.stretches
        ],
    }


def step_fields(step: StepTold) -> dict[str, Any]:
    """Show a step; `attempts` is their number, `attempt_log` tells each."""
    return {
        "id": step.id,
        "name": step.step_id,
        "occurrence": step.occurrence,
        "op": step.op,
        "status": step.status,
        "phase": step.phase or None,
        "attempts": max((attempt.number + 1 for attempt in step.attempts), default=0),
        "attempt_log": [attempt_fields(attempt) for attempt in step.attempts],
        "output": json_value(step.output) if step.output else None,
        "error": mistake_fields(step.mistake) if step.status != "Completed" else None,
        "started_at": iso(step.started_ms),
        "ended_at": iso(step.ended_ms),
        "due_at": iso(step.due_ms) if step.phase else None,
    }


def attempt_fields(attempt: Attempt) -> dict[str, Any]:
    """Show one attempt that has ended."""
    return {
        "attempt": attempt.number,
        "started_at": iso(attempt.started_ms),
        "ended_at": iso(attempt.ended_ms),
        "error": mistake_fields(attempt.mistake),
        "next_at": iso(attempt.next_ms),
    }


def output_value(output: str) -> Any:
    """Show a result, None while there is none."""
    return json_value(output) if output else None


def mistake_fields(mistake: Mistake | None) -> dict[str, Any] | None:
    """Show an error."""
    if mistake is None:
        return None
    return {**_more(mistake), "name": mistake.name, "message": mistake.message, "stack": mistake.stack}


def error_object(mistake: Mistake) -> dict[str, Any]:
    """Give an error as an SDK wrote it: without a stack, unless it gave one or said that there is none."""
    more = _more(mistake)
    stack = {"stack": mistake.stack} if mistake.stack else {}
    return {**more, "name": mistake.name, "message": mistake.message, **stack}


def _more(mistake: Mistake) -> dict[str, Any]:
    if not mistake.more:
        return {}
    try:
        return msgspec.json.decode(mistake.more, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}
