"""The pages' endpoints: ask the archive, make the page, answer."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console import event_queries, function_queries
from headrace.console.archive_reader import ArchiveReader
from headrace.console.event_answers import key_text
from headrace.console.event_queries import FoundEvent
from headrace.console.lag_queries import Lag, read_lag
from headrace.console.pages.event_pages import (
    Draft,
    EventList,
    EventShown,
    render_event_list,
    render_event_page,
    render_send_page,
)
from headrace.console.pages.frame import Frame
from headrace.console.pages.node_pages import (
    render_dead_letters,
    render_functions,
    render_login,
    render_partitions,
    render_problem,
)
from headrace.console.pages.parts import path
from headrace.console.pages.run_list import RunList, render_run_list
from headrace.console.pages.run_page import RunShown, render_run_page
from headrace.console.parameters import (
    read_event_cursor,
    read_event_filter,
    read_limit,
    read_number_cursor,
    read_run_cursor,
    read_run_filter,
)
from headrace.console.rest import RestApi, explain, take_page, unknown_event, unknown_run
from headrace.console.run_queries import FoundRun, RunFilter, find_run, list_runs, read_run_records
from headrace.console.sessions import Sessions
from headrace.console.static_files import ShippedFiles
from headrace.console.status import Status
from headrace.console.steps import tell_run
from headrace.errors import BadRequest, HeadraceError
from headrace.intake.body import read_body
from headrace.intake.http import EventDoor

logger = logging.getLogger("headrace.console")

_FORM_BYTES_MAX = 10 << 20  # three times an event: a form writes every odd byte as three
_BUCKETS = 96
_SMALL_BUCKETS = 48
_NAMES_MAX = 200


class Pages:
    """All pages of one application. Without a `door` no event can be sent from them."""

    def __init__(
        self,
        archive: ArchiveReader,
        status: Status,
        clock: Clock,
        api: RestApi,
        sessions: Sessions,
        files: ShippedFiles,
        door: EventDoor | None,
        *,
        can_cancel: bool,
    ) -> None:
        self._archive = archive
        self._status = status
        self._clock = clock
        self._api = api
        self._sessions = sessions
        self._files = files
        self._door = door
        self._can_cancel = can_cancel

    def routes(self) -> list[Route]:
        """List the routes."""
        pages: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
            ("/", self.runs, "GET"),
            ("/runs/{run_id}", self.run, "GET"),
            ("/runs/{run_id}/cancel", self.cancel, "POST"),
            ("/events", self.events, "GET"),
            ("/events/{event_id}", self.event, "GET"),
            ("/functions", self.functions, "GET"),
            ("/partitions", self.partitions, "GET"),
            ("/dead", self.dead_letters, "GET"),
            ("/send", self.write, "GET"),
            ("/send", self.send, "POST"),
            ("/login", self.ask_key, "GET"),
            ("/login", self.sign_in, "POST"),
        ]
        return [Route(where, self._shown(endpoint), methods=[method]) for where, endpoint, method in pages]

    async def runs(self, request: Request) -> Response:
        """Show the list of runs."""
        now_ms = self._clock.wall_ms()
        wanted, before, limit = read_run_filter(request, now_ms), read_run_cursor(request), read_limit(request)
        query = _query(request, "status", "function", "event_id", "since", "cursor", "limit")

        def ask(archive: sqlite3.Connection) -> tuple[RunList, Lag]:
            rows, more = take_page(list_runs(archive, wanted, before, outputs=False), limit, lambda _: 0)
            series = function_queries.count_series(archive, now_ms, span_ms=function_queries.DAY_MS, buckets=_BUCKETS)
            if wanted.functions:
                series = {name: counts for name, counts in series.items() if name in wanted.functions}
            found = RunList(
                rows,
                rows[-1].row.run_id if more else None,
                function_queries.function_ids(archive),
                function_queries.sum_series(series.values(), _BUCKETS),
                function_queries.phase_counts(archive),
                query,
                now_ms,
            )
            return found, read_lag(archive, now_ms)

        shown, lag = await self._archive.ask(ask)
        content = render_run_list(request.scope["root_path"], shown)
        return self._page(request, "Runs", content, place="runs", lag=lag, live=not before)

    async def run(self, request: Request) -> Response:
        """Show one run."""
        now_ms = self._clock.wall_ms()
        run_id = request.path_params["run_id"]

        def ask(archive: sqlite3.Connection) -> tuple[RunShown | None, Lag]:
            found, lag = find_run(archive, run_id), read_lag(archive, now_ms)
            if found is None:
                return None, lag
            told = tell_run(read_run_records(archive, run_id), now_ms)
            events = event_queries.find_events(archive, found.event_ids[:20])
            even = request.query_params.get("scale") == "even"
            return RunShown(found, told, events, even, self._can_cancel, now_ms), lag

        shown, lag = await self._archive.ask(ask)
        if shown is None:
            raise unknown_run(run_id, lag)
        content = render_run_page(request.scope["root_path"], shown)
        live = shown.found.row.ended_ms == 0
        return self._page(request, f"{shown.found.row.function_id} run", content, place="runs", lag=lag, live=live)

    async def cancel(self, request: Request) -> Response:
        """Cancel a run, and go back to its page."""
        run_id = request.path_params["run_id"]
        await self._api.cancel(run_id, "cancelled from the console")
        return RedirectResponse(path(request.scope["root_path"], "runs", run_id), 303)

    async def events(self, request: Request) -> Response:
        """Show the list of events."""
        now_ms = self._clock.wall_ms()
        wanted, before, limit = read_event_filter(request, now_ms), read_event_cursor(request), read_limit(request)
        query = _query(request, "name", "since", "cursor", "limit")

        def ask(archive: sqlite3.Connection) -> EventList:
            rows, more = take_page(
                event_queries.list_events(archive, wanted, before), limit, lambda event: len(event.body)
            )
            cursor = f"{rows[-1].event_id}.{rows[-1].number}" if more else None
            started = event_queries.runs_started(archive, [event.event_id for event in rows])
            names = event_queries.event_names(archive, _NAMES_MAX)
            return EventList(rows, cursor, started, names, query, read_lag(archive, now_ms))

        shown = await self._archive.ask(ask)
        content = render_event_list(request.scope["root_path"], shown)
        return self._page(request, "Events", content, place="events", lag=shown.lag, live=before is None)

    async def event(self, request: Request) -> Response:
        """Show one event."""
        now_ms = self._clock.wall_ms()
        event_id = request.path_params["event_id"]

        def ask(archive: sqlite3.Connection) -> tuple[EventShown | None, Lag]:
            explained, lag = explain(archive, event_id, now_ms), read_lag(archive, now_ms)
            if explained is None:
                return None, lag
            event, reasons = explained
            runs: list[FoundRun] = take_page(
                list_runs(archive, RunFilter(event_id=event.event_id), "", outputs=False), 200, lambda _: 0
            )[0]
            return EventShown(event, runs, reasons, now_ms), lag

        shown, lag = await self._archive.ask(ask)
        if shown is None:
            if request.query_params.get("sent"):
                content = render_problem(
                    "Sent", "The event is on Kafka.", "It shows here as soon as the console has read it."
                )
                return self._page(request, "Sent", content, place="events", lag=lag, live=True)
            raise unknown_event(event_id, lag)
        content = render_event_page(request.scope["root_path"], shown)
        return self._page(request, shown.event.name, content, place="events", lag=lag, live=True)

    async def functions(self, request: Request) -> Response:
        """Show the functions."""
        now_ms = self._clock.wall_ms()
        found, series, lag = await self._archive.ask(
            lambda archive: (
                function_queries.list_functions(archive, now_ms),
                function_queries.count_series(archive, now_ms, span_ms=function_queries.DAY_MS, buckets=_SMALL_BUCKETS),
                read_lag(archive, now_ms),
            )
        )
        content = render_functions(request.scope["root_path"], found, series)
        return self._page(request, "Functions", content, place="functions", lag=lag, live=True)

    async def partitions(self, request: Request) -> Response:
        """Show the partitions, as the node tells them."""
        now_ms = self._clock.wall_ms()
        lag = await self._archive.ask(lambda archive: read_lag(archive, now_ms))
        content = render_partitions(self._status.partitions(), self._status.ready(), lag)
        return self._page(request, "Partitions", content, place="partitions", lag=lag, live=True)

    async def dead_letters(self, request: Request) -> Response:
        """Show the dead letters."""
        now_ms = self._clock.wall_ms()
        before, limit = read_number_cursor(request), read_limit(request)
        rows, lag = await self._archive.ask(
            lambda archive: (
                event_queries.list_dead_letters(archive, before, limit + 1),
                read_lag(archive, now_ms),
            )
        )
        cursor = str(rows[limit - 1].number) if len(rows) > limit else None
        content = render_dead_letters(request.scope["root_path"], rows[:limit], cursor, before)
        return self._page(request, "Dead letters", content, place="dead", lag=lag, live=not before)

    async def write(self, request: Request) -> Response:
        """Show the form for an event; with `event=` the fields of that event stand in it already."""
        return await self._write(request, None, 200)

    async def _write(self, request: Request, draft: Draft | None, status: int) -> Response:
        asked = request.query_params.get("event", "")
        names, event = await self._archive.ask(
            lambda archive: (
                event_queries.event_names(archive, _NAMES_MAX),
                event_queries.find_event(archive, asked) if asked else None,
            )
        )
        if draft is None:
            draft = Draft(request.query_params.get("name", "")) if event is None else _draft_of(event)
        content = render_send_page(request.scope["root_path"], draft, names)
        return self._page(request, "Send an event", content, place="send", status=status)

    async def send(self, request: Request) -> Response:
        """Send the event that was written, and go to its page; or show the form again, with what is wrong."""
        if self._door is None:
            raise BadRequest("send_unavailable", "this server takes no events", status=501, do="ask a node")
        form = await _read_form(request)
        draft = Draft(form.get("name", "").strip(), form.get("data", ""), form.get("id", ""), form.get("key", ""))
        try:
            (event_id,) = await self._door.accept(_event_of(draft), key=draft.key.encode() or None)
        except HeadraceError as error:
            mistake = (error.what, error.why, error.do)
            status = error.status if isinstance(error, BadRequest) else 503
            return await self._write(request, draft._replace(mistake=mistake), status)
        return RedirectResponse(path(request.scope["root_path"], "events", event_id, sent="1"), 303)

    async def ask_key(self, request: Request) -> Response:
        """Show the page that asks for an API key."""
        return self._page(request, "Sign in", render_login(request.scope["root_path"], refused=False))

    async def sign_in(self, request: Request) -> Response:
        """Begin a session."""
        root = request.scope["root_path"]
        form = await _read_form(request)
        answer = RedirectResponse(path(root), 303)
        if self._sessions.open(form.get("key", ""), answer, secure=request.url.scheme == "https", path=root or "/"):
            return answer
        return self._page(request, "Sign in", render_login(root, refused=True), status=401)

    def _page(
        self,
        request: Request,
        title: str,
        content: object,
        *,
        place: str = "",
        lag: Lag | None = None,
        live: bool = False,
        status: int = 200,
    ) -> Response:
        frame = Frame(request.scope["root_path"], self._files.version)
        body = frame.render(title, content, place=place, lag=lag, live=live)
        tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return HTMLResponse(body, status, {"etag": tag})

    def _shown(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except HeadraceError as error:
                status = error.status if isinstance(error, BadRequest) else 503
                return self.problem(request, status, error.what, error.why, error.do)
            except Exception:
                logger.exception("%s %s failed", request.method, request.url.path)
                return self.problem(request, 500, "This page could not be made", "", "See the node's log.")

        return answer

    def problem(self, request: Request, status: int, what: str, why: str = "", do: str = "") -> Response:
        """Show a page that says what went wrong."""
        words = (text[:1].upper() + text[1:] for text in (why, do) if text)
        content = render_problem(what[:1].upper() + what[1:], *words)
        return self._page(request, what[:60], content, status=status)


def _query(request: Request, *names: str) -> dict[str, str]:
    return {name: request.query_params[name] for name in names if request.query_params.get(name)}


async def _read_form(request: Request) -> dict[str, str]:
    body = await read_body(request, _FORM_BYTES_MAX)
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("form_unreadable", f"the form cannot be read: {error}", do="send it from its page") from None
    return {name: values[-1] for name, values in fields.items()}


def _event_of(draft: Draft) -> bytes:
    data = draft.data.strip() or "{}"
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(
            "event_not_json",
            f"the data is not JSON: {error}",
            why="data is a JSON object",
            do="mend it, and send again",
        ) from None
    fields: dict[str, object] = {"name": draft.name, "data": msgspec.Raw(data.encode())}
    if draft.id:
        fields["id"] = draft.id
    return msgspec.json.encode(fields)


def _draft_of(event: FoundEvent) -> Draft:
    try:
        written = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
        data = msgspec.json.format(bytes(written.get("data", b"{}")), indent=2).decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        data = "{}"
    # Its own id is left out: with it, nothing would start again.
    return Draft(
        event.name, data, "", key_text(event.key) or "" if event.key != (event.given_id or "").encode() else ""
    )
