"""Events and runs as objects of GraphQL: dictionaries; a callable in one is a field that is made when asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from headrace.console.event_queries import FoundEvent, find_events, runs_started
from headrace.console.graph.app_objects import Object, app_object, function_object, gone_function
from headrace.console.graph.event_json import data_json, payload, raw, version
from headrace.console.graph.look import Look
from headrace.console.graph.outputs import run_output
from headrace.console.graph.statuses import run_status
from headrace.console.graph.trace import Trace
from headrace.console.metadata import notes_of, origin_of
from headrace.console.moments import iso
from headrace.console.run_answers import ENVIRONMENT_ID
from headrace.console.run_queries import FoundRun, RunFilter, list_runs, read_run_records
from headrace.console.steps import tell_run
from headrace.console.whole_run import batch_of, cron_of, events_of
from headrace.functions.sdk_config import app_uuid, function_uuid
from headrace.records.definitions import Definition
from headrace.records.trace_ids import trace_id

RUNS_MAX = 1_000  # that one event has started, in one answer


def event_object(look: Look, event: FoundEvent) -> Object:
    """Show an event."""
    return {
        "id": event.event_id,
        "externalID": event.given_id,
        "name": event.name,
        "createdAt": iso(event.ts_ms),
        "payload": lambda _info: data_json(event),
        "status": lambda _info: _event_status(_statuses(look, event)),
        "pendingRuns": lambda _info: sum(status in ("Scheduled", "Running") for status in _statuses(look, event)),
        "totalRuns": lambda _info: len(_statuses(look, event)),
        "raw": lambda _info: payload(event),
        "functionRuns": lambda _info: [run_object(look, found) for found in runs_of(look, event)],
    }


def event_v2_object(look: Look, event: FoundEvent) -> Object:
    """Show an event, the newer way."""
    return {
        "envID": ENVIRONMENT_ID,
        "id": event.event_id,
        "idempotencyKey": event.given_id or event.event_id,
        "name": event.name,
        "occurredAt": iso(event.ts_ms),
        "raw": lambda _info: raw(event),
        "receivedAt": iso(event.received_ms),
        "runs": lambda _info: [run_v2_object(look, found) for found in runs_of(look, event)],
        "source": {"id": ENVIRONMENT_ID, "name": "kafka", "sourceKind": "kafka"},
        "version": lambda _info: version(event),
    }


def runs_of(look: Look, event: FoundEvent) -> list[FoundRun]:
    """Give the runs that an event started, the oldest first."""
    found: list[FoundRun] = []
    for run in list_runs(look.rows, RunFilter(event_id=event.event_id), ""):
        found.append(run)
        if len(found) == RUNS_MAX:
            break
    return found[::-1]


def _statuses(look: Look, event: FoundEvent) -> list[str]:
    return [status for _, _, status in runs_started(look.rows, [event.event_id])[event.event_id]]


def _event_status(statuses: list[str]) -> str:
    failed = statuses.count("Failed")
    if not statuses:
        return "NO_FUNCTIONS"
    if failed:
        return "FAILED" if failed == len(statuses) else "PARTIALLY_FAILED"
    return "RUNNING" if {"Scheduled", "Running"} & set(statuses) else "COMPLETED"


def definition_of(look: Look, found: FoundRun) -> Definition:
    """Give the function of a run, or what is known of one that is gone."""
    function_id = found.row.function_id
    return look.shown.functions.get(function_id) or gone_function(function_id)


def first_event(look: Look, found: FoundRun) -> FoundEvent | None:
    """Give the event that started a run, the first of several."""
    return next(iter(find_events(look.rows, found.event_ids[:1])), None) if found.event_ids else None


def run_object(look: Look, found: FoundRun) -> Object:
    """Show a run, the older way."""
    row = found.row
    definition = definition_of(look, found)
    return {
        "id": row.run_id,
        "functionID": str(function_uuid(row.function_id)),
        "function": lambda _info: function_object(look.shown, definition),
        "event": partial(_first_event, look, found),
        "events": lambda _info: [event_object(look, event) for event in events_of(look.rows, found)],
        "batchID": batch_of(found),
        "batchCreatedAt": iso(row.queued_ms) if row.event_count > 1 else None,
        "status": run_status(row.status),
        "pendingSteps": partial(_pending_steps, look, found),
        "startedAt": iso(row.started_ms or row.queued_ms),
        "finishedAt": iso(row.ended_ms),
        "output": lambda _info: run_output(row),
        "eventID": row.event_id,
        "cron": lambda _info: cron_of(first_event(look, found)),
    }


def _first_event(look: Look, found: FoundRun, _info: Any) -> Object | None:
    event = first_event(look, found)
    return None if event is None else event_object(look, event)


def _pending_steps(look: Look, found: FoundRun, _info: Any) -> int:
    told = tell_run(read_run_records(look.rows, found.row.run_id), look.now_ms)
    return sum(step.status == "Running" for step in told.steps)


def run_v2_object(look: Look, found: FoundRun) -> Object:
    """Show a run, the newer way."""
    row = found.row
    definition = definition_of(look, found)
    is_batch = row.event_count > 1
    return {
        "id": row.run_id,
        "appID": str(app_uuid(definition.app)),
        "app": lambda _info: app_object(look.shown, look.shown.app_of(definition)),
        "functionID": str(function_uuid(row.function_id)),
        "function": lambda _info: function_object(look.shown, definition),
        "traceID": trace_id(row.run_id),
        "queuedAt": iso(row.queued_ms),
        "startedAt": iso(row.started_ms),
        "endedAt": iso(row.ended_ms),
        "status": run_status(row.status),
        "sourceID": None,
        "originalRunID": lambda _info: origin_of(notes_of(look.rows, row.run_id)),
        "triggerIDs": found.event_ids,
        "eventName": found.event_name or None,
        "isBatch": is_batch,
        "batchCreatedAt": iso(row.queued_ms) if is_batch else None,
        "cronSchedule": lambda _info: cron_of(first_event(look, found)),
        "output": lambda _info: run_output(row),
        "trace": lambda _info, preview=None: trace_object(look, found),
        "hasAI": False,
    }


def trace_object(look: Look, found: FoundRun) -> Object:
    """Show what a run has done, as a tree."""
    run_id = found.row.run_id
    told = tell_run(read_run_records(look.rows, run_id), look.now_ms)
    trace = Trace(found, told, notes_of(look.rows, run_id), definition_of(look, found).app)
    return trace.root(lambda _info: run_object(look, found))
