"""The queries that GraphQL answers. Source: the SDK protocol page, section 6.3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from graphql import GraphQLError

from headrace.console.event_queries import EventFilter, FoundEvent, Place, find_event, list_events
from headrace.console.graph.app_objects import Object, app_object, function_object
from headrace.console.graph.event_json import payload
from headrace.console.graph.lists import list_events_v2, list_runs_v2
from headrace.console.graph.look import Look
from headrace.console.graph.objects import (
    event_object,
    event_v2_object,
    run_object,
    run_v2_object,
    runs_of,
    trace_object,
)
from headrace.console.graph.outputs import span_output
from headrace.console.moments import iso
from headrace.console.run_queries import FoundRun, find_run
from headrace.console.whole_run import batch_of, cron_of, events_of
from headrace.records.events import RESERVED_PREFIX
from headrace.records.ids import is_ulid

_EVENTS_MAX = 51  # of `events`, which has no limit of its own
_STREAM_MAX = 1_000

Resolver = Callable[..., Any]


def query_root(look: Look) -> dict[str, Resolver]:
    """Give what answers each query, by its name."""
    resolvers: dict[str, Callable[..., Any]] = {
        "apps": _apps,
        "app": _app,
        "functions": _functions,
        "functionBySlug": _function_by_slug,
        "functionRun": _function_run,
        "event": _event,
        "events": _events,
        "eventV2": _event_v2,
        "eventsV2": list_events_v2,
        "stream": _stream,
        "run": _run,
        "runs": list_runs_v2,
        "runTrace": _run_trace,
        "runTrigger": _run_trigger,
        "runTraceSpanOutputByID": _run_trace_span_output,
    }
    return {name: partial(resolve, look) for name, resolve in resolvers.items()}


def _apps(look: Look, _info: Any, filter: Object | None = None) -> list[Object]:
    found = [app_object(look.shown, app) for app in look.shown.apps.values()]
    method = (filter or {}).get("method")
    return [app for app in found if method is None or app["method"] == method]


def _app(look: Look, _info: Any, id: str) -> Object:
    app = look.shown.find_app(id)
    if app is None:
        raise GraphQLError(f"there is no app {id[:60]!r}")
    return app_object(look.shown, app)


def _functions(look: Look, _info: Any) -> list[Object]:
    return [function_object(look.shown, definition) for _, definition in sorted(look.shown.functions.items())]


def _function_by_slug(look: Look, _info: Any, query: Object) -> Object:
    slug = query["functionSlug"]
    definition = look.shown.find_function(slug)
    if definition is None:
        raise GraphQLError(f"there is no function {slug[:60]!r}")
    return function_object(look.shown, definition)


# --- runs ---------------------------------------------------------------------------------------------------------


def _found_run(look: Look, run_id: str) -> FoundRun:
    # An error, never null: who polls takes null for an answer.
    found = find_run(look.rows, run_id)
    if found is None:
        raise GraphQLError(f"error retrieving run: there is no run {run_id[:60]!r}, or it is not known here yet")
    return found


def _run(look: Look, _info: Any, runID: str) -> Object:
    return run_v2_object(look, _found_run(look, runID))


def _function_run(look: Look, _info: Any, query: Object) -> Object:
    return run_object(look, _found_run(look, query["functionRunId"]))


def _run_trace(look: Look, _info: Any, runID: str) -> Object:
    return trace_object(look, _found_run(look, runID))


def _run_trace_span_output(look: Look, _info: Any, outputID: str) -> Object:
    return span_output(look, outputID)


def _run_trigger(look: Look, _info: Any, runID: str) -> Object:
    found = _found_run(look, runID)
    events = events_of(look.rows, found)
    if not events:
        raise GraphQLError(f"error retrieving events: those of the run {runID} are not known here")
    cron = cron_of(events[0])
    names = {event.name for event in events}
    return {
        "eventName": names.pop() if cron is None and len(names) == 1 else None,
        "IDs": found.event_ids,
        "payloads": [payload(event) for event in events],
        "timestamp": iso(min(event.received_ms for event in events)),
        "isBatch": found.row.event_count > 1,
        "batchID": batch_of(found),
        "cron": cron,
    }


# --- events -------------------------------------------------------------------------------------------------------


def _found_event(look: Look, event_id: str) -> FoundEvent:
    found = find_event(look.rows, event_id)
    if found is None:
        raise GraphQLError(f"there is no event {event_id[:60]!r}, or it is not known here yet")
    return found


def _event(look: Look, _info: Any, query: Object) -> Object:
    return event_object(look, _found_event(look, query["eventId"]))


def _event_v2(look: Look, _info: Any, id: str) -> Object:
    return event_v2_object(look, _found_event(look, id))


def _events(look: Look, _info: Any, query: Object) -> list[Object]:
    last = query.get("lastEventId") or ""
    before = Place(last, 0) if is_ulid(last) else None
    return [event_object(look, event) for event in _take(_outside(look, before), _EVENTS_MAX)]


def _stream(look: Look, _info: Any, query: Object) -> list[Object]:
    limit = min(max(query["limit"], 1), _STREAM_MAX)
    before, after = query.get("before") or "", query.get("after") or ""
    place = Place(before, 0) if is_ulid(before) else None
    internal = bool(query.get("includeInternalEvents"))
    events = list_events(look.rows, EventFilter(), place) if internal else _outside(look, place)
    items = []
    for event in _take(events, limit):
        if after and event.event_id <= after:
            break
        items.append(_stream_item(look, event))
    return items


def _stream_item(look: Look, event: FoundEvent) -> Object:
    cron = cron_of(event)
    return {
        "id": event.event_id,
        "trigger": cron or event.name,
        "type": "CRON" if cron else "EVENT",
        "createdAt": iso(event.ts_ms),
        "runs": lambda _info: [run_object(look, found) for found in runs_of(look, event)],
        "inBatch": False,
    }


def _outside(look: Look, before: Place | None) -> Iterator[FoundEvent]:
    """Give events that somebody has sent, not those that the engine makes."""
    for event in list_events(look.rows, EventFilter(), before):
        if not event.name.startswith(RESERVED_PREFIX):
            yield event


def _take(events: Iterator[FoundEvent], limit: int) -> Iterator[FoundEvent]:
    seen: set[str] = set()
    for event in events:
        if event.event_id in seen:  # delivered twice
            continue
        seen.add(event.event_id)
        yield event
        if len(seen) >= limit:
            return
