"""The REST API: runs, events, functions, partitions. Names and envelope are those of the SDK protocol page, 6.1."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import enveloped, json_answer, not_found, refusal
from headrace.console.archive_reader import ArchiveReader
from headrace.console.event_answers import (
    dead_letter_fields,
    event_fields,
    function_fields,
    reason_fields,
    verdict_fields,
)
from headrace.console.event_queries import (
    FoundEvent,
    find_event,
    list_dead_letters,
    list_events,
    runs_started,
    same_given_id,
    verdicts_of,
)
from headrace.console.function_queries import list_functions
from headrace.console.jobs import list_jobs
from headrace.console.lag_queries import Lag, read_lag
from headrace.console.moments import iso
from headrace.console.parameters import (
    read_event_cursor,
    read_event_filter,
    read_limit,
    read_number_cursor,
    read_run_cursor,
    read_run_filter,
    refuse_unknown,
)
from headrace.console.run_answers import origin_fields, run_fields, told_fields
from headrace.console.run_queries import FoundRun, RunFilter, find_run, list_runs, read_run_records
from headrace.console.run_rows import ENDED
from headrace.console.status import CancelRun, Status
from headrace.console.steps import tell_run
from headrace.console.whole_run import WholeRun, read_whole_run
from headrace.console.why import Reason, explain_event
from headrace.console.young_runs import find_soon
from headrace.errors import BadRequest, HeadraceError
from headrace.records.history import Lifecycle

logger = logging.getLogger("headrace.console")

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]
_PAGE = ("limit", "cursor")
_SAME_ID_MAX = 100
_ANSWER_BYTES_MAX = 8 << 20  # of one page of a list; a page that would be larger is shorter, and has a cursor


class RestApi:
    """The API's endpoints, over an archive and what the node says of itself."""

    def __init__(self, archive: ArchiveReader, status: Status, clock: Clock, cancel_run: CancelRun | None) -> None:
        self._archive = archive
        self._status = status
        self._clock = clock
        self._cancel_run = cancel_run

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/runs", answered(self.list_runs), methods=["GET"]),
            Route("/v1/runs/{run_id}", answered(self.show_run), methods=["GET"]),
            Route("/v1/runs/{run_id}", answered(self.cancel_run), methods=["DELETE"]),
            Route("/v1/runs/{run_id}/jobs", answered(self.list_jobs), methods=["GET"]),
            Route("/v1/events", answered(self.list_events), methods=["GET"]),
            Route("/v1/events/{event_id}", answered(self.show_event), methods=["GET"]),
            Route("/v1/events/{event_id}/runs", answered(self.list_event_runs), methods=["GET"]),
            Route("/v1/events/{event_id}/why", answered(self.explain_event), methods=["GET"]),
            Route("/v1/functions", answered(self.list_functions), methods=["GET"]),
            Route("/v1/partitions", answered(self.list_partitions), methods=["GET"]),
            Route("/v1/dead", answered(self.list_dead_letters), methods=["GET"]),
        ]

    async def list_runs(self, request: Request) -> Response:
        """Answer `GET /v1/runs`."""
        now_ms = self._clock.wall_ms()
        refuse_unknown(request, "function", "function_id", "status", "event_id", "since", *_PAGE)
        wanted = read_run_filter(request, now_ms)
        return await self._runs(wanted, read_run_cursor(request), read_limit(request), now_ms)

    async def _runs(self, wanted: RunFilter, before: str, limit: int, now_ms: int) -> Response:
        def query(archive: sqlite3.Connection) -> tuple[list[FoundRun], bool, Lag]:
            rows, more = take_page(list_runs(archive, wanted, before), limit, lambda found: len(found.row.output))
            return rows, more, read_lag(archive, now_ms)

        rows, more, lag = await self._archive.ask(query)
        cursor = rows[-1].row.run_id if more else None
        return enveloped([run_fields(found, now_ms) for found in rows], now_ms, lag=lag, cursor=cursor)

    async def show_run(self, request: Request) -> Response:
        """Answer `GET /v1/runs/{id}`, with the run's steps."""
        now_ms = self._clock.wall_ms()
        run_id = request.path_params["run_id"]

        def query(archive: sqlite3.Connection) -> tuple[WholeRun | None, Lag]:
            return read_whole_run(archive, run_id), read_lag(archive, now_ms)

        whole, lag = await self._archive.ask(query)
        if whole is None:
            raise unknown_run(run_id, lag)
        told = tell_run(whole.records, now_ms)
        shown = {**run_fields(whole.found, now_ms), **origin_fields(whole), **told_fields(told)}
        return enveloped(shown, now_ms, lag=lag)

    async def list_jobs(self, request: Request) -> Response:
        """Answer `GET /v1/runs/{id}/jobs`: what the run has pending."""
        now_ms = self._clock.wall_ms()
        run_id = request.path_params["run_id"]

        def query(archive: sqlite3.Connection) -> tuple[FoundRun | None, list[Lifecycle], Lag]:
            return find_run(archive, run_id), read_run_records(archive, run_id), read_lag(archive, now_ms)

        found, records, lag = await self._archive.ask(query)
        if found is None:
            raise unknown_run(run_id, lag)
        return enveloped(list_jobs(found.row, tell_run(records, now_ms), now_ms), now_ms, lag=lag)

    async def cancel_run(self, request: Request) -> Response:
        """Answer `DELETE /v1/runs/{id}`: 200 once the command is on Kafka, 409 for a run that has ended otherwise."""
        await self.cancel(request.path_params["run_id"], "cancelled through the API")
        return Response(status_code=200, media_type="application/json")

    async def cancel(self, run_id: str, reason: str) -> None:
        """Ask for a run to be cancelled. Errors: BadRequest for one that is unknown or has ended."""
        found, lag = await find_soon(self._archive, run_id, self._clock.wall_ms())
        if found is None:
            raise unknown_run(run_id, lag)
        if found.row.status == "Cancelled":
            return
        if found.row.status in ENDED:
            raise BadRequest(
                "run_ended",
                f"the run {run_id} has ended already: {found.row.status}",
                status=409,
                why="only a run that lives can be cancelled",
                do="leave it; status=Scheduled,Running lists those that live",
            )
        if self._cancel_run is None:
            raise BadRequest(
                "cancel_unavailable",
                "this server only shows what happened",
                status=501,
                do="ask a node of the cluster",
            )
        await self._cancel_run(run_id, found.row.partition, reason)

    async def list_events(self, request: Request) -> Response:
        """Answer `GET /v1/events`."""
        now_ms = self._clock.wall_ms()
        refuse_unknown(request, "name", "since", "received_after", "received_before", *_PAGE)
        wanted, before, limit = read_event_filter(request, now_ms), read_event_cursor(request), read_limit(request)

        def query(archive: sqlite3.Connection) -> tuple[list[FoundEvent], bool, Lag]:
            rows, more = take_page(list_events(archive, wanted, before), limit, lambda event: len(event.body))
            return rows, more, read_lag(archive, now_ms)

        rows, more, lag = await self._archive.ask(query)
        cursor = f"{rows[-1].event_id}.{rows[-1].number}" if more else None
        return enveloped([event_fields(event) for event in rows], now_ms, lag=lag, cursor=cursor)

    async def show_event(self, request: Request) -> Response:
        """Answer `GET /v1/events/{id}`: by the internal id, or by the sender's."""
        now_ms = self._clock.wall_ms()
        event_id = request.path_params["event_id"]

        def query(archive: sqlite3.Connection) -> tuple[dict[str, Any] | None, Lag]:
            event, lag = find_event(archive, event_id), read_lag(archive, now_ms)
            if event is None:
                return None, lag
            shown = {
                **event_fields(event),
                "runs": [
                    {"run_id": run_id, "function_id": function_id, "status": status}
                    for run_id, function_id, status in runs_started(archive, [event.event_id])[event.event_id]
                ],
                "verdicts": [verdict_fields(verdict) for verdict in verdicts_of(archive, event.event_id)],
                "same_id": [
                    {"internal_id": other, "received_at": iso(received_ms)}
                    for other, received_ms in same_given_id(archive, event, _SAME_ID_MAX)
                ],
            }
            return shown, lag

        shown, lag = await self._archive.ask(query)
        if shown is None:
            raise unknown_event(event_id, lag)
        return enveloped(shown, now_ms, lag=lag)

    async def list_event_runs(self, request: Request) -> Response:
        """Answer `GET /v1/events/{id}/runs`; an event that started none has an empty list."""
        now_ms = self._clock.wall_ms()
        refuse_unknown(request, *_PAGE)
        wanted = RunFilter(event_id=request.path_params["event_id"])
        return await self._runs(wanted, read_run_cursor(request), read_limit(request), now_ms)

    async def explain_event(self, request: Request) -> Response:
        """Answer `GET /v1/events/{id}/why`: for each function, what became of the event and why."""
        now_ms = self._clock.wall_ms()
        event_id = request.path_params["event_id"]
        found, lag = await self._archive.ask(
            lambda archive: (explain(archive, event_id, now_ms), read_lag(archive, now_ms))
        )
        if found is None:
            raise unknown_event(event_id, lag)
        return enveloped([reason_fields(reason) for reason in found[1]], now_ms, lag=lag, cursor=None)

    async def list_functions(self, request: Request) -> Response:
        """Answer `GET /v1/functions`; all of them, there is no cursor."""
        now_ms = self._clock.wall_ms()
        rows, lag = await self._archive.ask(
            lambda archive: (list_functions(archive, now_ms), read_lag(archive, now_ms))
        )
        return enveloped([function_fields(found) for found in rows], now_ms, lag=lag, cursor=None)

    async def list_partitions(self, request: Request) -> Response:
        """Answer `GET /v1/partitions`, as the node tells it."""
        return json_answer(200, {"data": list(self._status.partitions())})

    async def list_dead_letters(self, request: Request) -> Response:
        """Answer `GET /v1/dead`: records that nobody could use, with the reason."""
        now_ms = self._clock.wall_ms()
        refuse_unknown(request, *_PAGE)
        before, limit = read_number_cursor(request), read_limit(request)
        rows, lag = await self._archive.ask(
            lambda archive: (list_dead_letters(archive, before, limit + 1), read_lag(archive, now_ms))
        )
        cursor = str(rows[limit - 1].number) if len(rows) > limit else None
        return enveloped([dead_letter_fields(letter) for letter in rows[:limit]], now_ms, lag=lag, cursor=cursor)


def take_page(rows: Iterable[T], limit: int, size: Callable[[T], int]) -> tuple[list[T], bool]:
    """Take up to `limit` rows, and fewer if they are large; tells whether there are more."""
    page: list[T] = []
    total = 0
    for row in rows:
        total += size(row)
        if len(page) == limit or (page and total > _ANSWER_BYTES_MAX):
            return page, True
        page.append(row)
    return page, False


def explain(archive: sqlite3.Connection, event_id: str, now_ms: int) -> tuple[FoundEvent, list[Reason]] | None:
    """Look up an event with all that is known of why it started what it started."""
    event = find_event(archive, event_id)
    if event is None:
        return None
    started = runs_started(archive, [event.event_id])[event.event_id]
    verdicts = verdicts_of(archive, event.event_id)
    return event, explain_event(event, list_functions(archive, now_ms), started, verdicts, now_ms)


def unknown_run(run_id: str, lag: Lag) -> BadRequest:
    """Make the error for a run that the archive does not have."""
    return not_found(f"there is no run {run_id[:60]!r}", _why_missing(lag))


def unknown_event(event_id: str, lag: Lag) -> BadRequest:
    """Make the error for an event that the archive does not have."""
    kept = (
        f"; of the last hour's events only {lag.events_kept} of {lag.events_seen} were kept" if lag.events_seen else ""
    )
    return not_found(f"there is no event {event_id[:60]!r}", _why_missing(lag) + kept)


def _why_missing(lag: Lag) -> str:
    if not lag.running:
        return "the projection that fills the console's database is not running"
    if lag.records_behind:
        return f"the console is {lag.records_behind} records behind: it may come yet"
    return "it never was, or it is older than what the console keeps"


def answered(endpoint: Endpoint) -> Endpoint:
    """Turn what goes wrong in an endpoint into an answer of the API's shape."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HeadraceError as error:
            return refusal(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            return refusal(
                BadRequest("internal", "the request could not be answered", status=500, do="see the node's log")
            )

    return answer
