"""Lists of runs and of events, a page at a time. Source: the SDK protocol page, section 6.3.

Rows are in the order of their ids, which is that of the times at which runs were queued and events came; other orders
that may be asked for are answered in this one.
"""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError

from headrace.console.event_queries import EventFilter, FoundEvent, Place, list_events
from headrace.console.graph.app_objects import Object
from headrace.console.graph.look import Look
from headrace.console.graph.objects import event_v2_object, run_v2_object
from headrace.console.graph.statuses import RUN_STATUSES
from headrace.console.moments import parse_since
from headrace.console.run_queries import FoundRun, RunFilter, count_runs, list_runs
from headrace.errors import BadRequest
from headrace.records.events import RESERVED_PREFIX
from headrace.records.ids import is_ulid

PAGE_MAX = 400
_LOOKED_AT_MAX = 20_000  # rows that one page is looked for in


def moment_ms(look: Look, text: str | None) -> int:
    """Read a time; 0 for none."""
    if not text:
        return 0
    try:
        return parse_since(str(text), look.now_ms, name="time")
    except BadRequest as error:
        raise GraphQLError(f"{error.what}: {error.do}") from None


def list_runs_v2(
    look: Look, _info: Any, first: int, orderBy: list[Object], filter: Object, after: str | None = None, **_more: Any
) -> Object:
    """Answer `runs`: the newest first, unless the first order asked for is ascending."""
    wanted = _run_filter(look, filter)
    until_ms = moment_ms(look, filter.get("until"))
    limit = min(max(first, 1), PAGE_MAX)
    _check_cursor(after)
    ascending = bool(orderBy) and orderBy[0].get("direction") == "ASC"
    page: list[FoundRun] = []
    more = False
    for number, found in enumerate(list_runs(look.rows, wanted, after or "", ascending=ascending, until_ms=until_ms)):
        if len(page) == limit or number >= _LOOKED_AT_MAX:
            more = True
            break
        page.append(found)
    edges = [{"node": run_v2_object(look, found), "cursor": found.row.run_id} for found in page]
    return {
        "edges": edges,
        "pageInfo": _page_info(edges, more, after),
        "totalCount": lambda _info, preview=None: count_runs(look.rows, wanted, until_ms=until_ms),
    }


def _run_filter(look: Look, filter: Object) -> RunFilter:
    if filter.get("query"):
        raise GraphQLError("runs cannot be searched by an expression here: leave query out")
    functions: list[str] = []
    for wanted in filter.get("functionIDs") or []:
        found = look.shown.find_function(wanted)
        functions.append(found.id if found else wanted)
    for wanted in filter.get("appIDs") or []:
        app = look.shown.find_app(wanted)
        functions += [definition.id for definition in app.functions] if app else [wanted]
    statuses = tuple(RUN_STATUSES[status] for status in filter.get("status") or [])
    return RunFilter(tuple(functions), statuses, since_ms=moment_ms(look, filter["from"]))


def list_events_v2(look: Look, _info: Any, first: int, filter: Object, after: str | None = None) -> Object:
    """Answer `eventsV2`: the newest first."""
    if filter.get("query"):
        raise GraphQLError("events cannot be searched by an expression here: leave query out")
    _check_cursor(after)
    limit = min(max(first, 1), PAGE_MAX)
    names = set(filter.get("eventNames") or [])
    internal = filter.get("includeInternalEvents", False)
    # One name is looked for by its index, several among all events.
    name = next(iter(names)) if len(names) == 1 else ""
    wanted = EventFilter(name, moment_ms(look, filter["from"]), moment_ms(look, filter.get("until")))
    page: dict[str, FoundEvent] = {}
    more = False
    for number, event in enumerate(list_events(look.rows, wanted, Place(after, 0) if after else None)):
        if len(page) == limit or number >= _LOOKED_AT_MAX:
            more = True
            break
        if (not names or event.name in names) and (internal or not event.name.startswith(RESERVED_PREFIX)):
            page.setdefault(event.event_id, event)  # one that was delivered twice has two rows
    edges = [{"node": event_v2_object(look, event), "cursor": event_id} for event_id, event in page.items()]
    return {"edges": edges, "pageInfo": _page_info(edges, more, after), "totalCount": len(edges)}


def _check_cursor(after: str | None) -> None:
    if after and not is_ulid(after):
        raise GraphQLError(f"after is {after[:60]!r}, which is no cursor: a cursor comes from the page before")


def _page_info(edges: list[Object], more: bool, after: str | None) -> Object:
    return {
        "hasNextPage": more,
        "hasPreviousPage": bool(after),
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
