"""The second version of Inngest's API, as far as it makes sense here: below `/v2` and `/api/v2`.

Source: the SDK protocol page, section 6.2. What belongs to Inngest's cloud is answered with 501.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.archive_reader import ArchiveReader
from headrace.console.catalog import App, Catalog, Known, Shown
from headrace.console.event_queries import find_event
from headrace.console.graph.mutations import SyncApp
from headrace.console.graph.statuses import RUN_STATUSES
from headrace.console.lag_queries import Lag, read_lag
from headrace.console.moments import iso
from headrace.console.orders import Orders, read_json
from headrace.console.parameters import invalid, read_run_cursor, read_since, read_text, read_words
from headrace.console.rest import unknown_event, unknown_run
from headrace.console.run_orders import Cancel, RunOrders, from_step_refused
from headrace.console.run_queries import FoundRun, RunFilter, list_runs
from headrace.console.v2_answers import v2_answer, v2_app, v2_function, v2_refusal, v2_run
from headrace.console.whole_run import WholeRun, read_whole_run
from headrace.errors import BadRequest, HeadraceError
from headrace.functions.settings import is_paused, pause_key
from headrace.intake.body import read_body
from headrace.intake.http import EventDoor
from headrace.records.definitions import Definition
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import ulid_ms

logger = logging.getLogger("headrace.console")

PREFIXES = ("/v2", "/api/v2")
LIMIT_DEFAULT, LIMIT_MAX = 20, 100
# What only Inngest's cloud has; the first words of paths.
_CLOUD = ("partner", "envs", "env", "account", "keys", "sandboxes", "insights", "experiments", "sessions")
Endpoint = Callable[[Request], Awaitable[Response]]


class _RerunAsked(msgspec.Struct, rename="camel"):
    from_step: msgspec.Raw = msgspec.Raw(b"null")


class _InvokeAsked(msgspec.Struct, rename="camel"):
    data: msgspec.Raw = msgspec.Raw(b"{}")
    idempotency_key: str | None = None


class _SyncAsked(msgspec.Struct):
    url: str


class ApiV2:
    """The endpoints. `known` gives the functions topic; without a `door` no events are taken."""

    def __init__(
        self,
        catalog: Catalog,
        known: Known,
        archive: ArchiveReader,
        clock: Clock,
        orders: Orders,
        run_orders: RunOrders,
        *,
        door: EventDoor | None = None,
        cancel: Cancel | None = None,
        sync: SyncApp | None = None,
    ) -> None:
        self._catalog = catalog
        self._known = known
        self._archive = archive
        self._clock = clock
        self._orders = orders
        self._run_orders = run_orders
        self._door = door
        self._cancel = cancel
        self._sync = sync

    def routes(self) -> list[Route]:
        """List the routes."""
        endpoints: list[tuple[str, str, Endpoint]] = [
            ("GET", "/health", self.health),
            ("GET", "/runs", self.list_runs),
            ("GET", "/runs/{run_id}", self.show_run),
            ("POST", "/runs/{run_id}/cancel", self.cancel_run),
            ("POST", "/runs/{run_id}/rerun", self.rerun),
            ("GET", "/events/{event_id}/runs", self.list_event_runs),
            ("POST", "/events", self.send_event),
            ("GET", "/apps", self.list_apps),
            ("GET", "/apps/{app}", self.show_app),
            ("GET", "/apps/{app}/functions", self.list_functions),
            ("GET", "/apps/{app}/functions/{function}", self.show_function),
            ("GET", "/apps/{app}/functions/{function}/runs", self.list_function_runs),
            ("POST", "/apps/{app}/functions/{function}/invoke", self.invoke),
            ("POST", "/apps/{app}/syncs", self.sync_app),
        ]
        routes = [
            Route(prefix + path, _answered(endpoint), methods=[method])
            for prefix in PREFIXES
            for method, path, endpoint in endpoints
        ]
        for prefix in PREFIXES:
            for word in _CLOUD:
                for path in (f"{prefix}/{word}", f"{prefix}/{word}/{{rest:path}}"):
                    routes.append(Route(path, _answered(self.refuse_cloud), methods=["GET", "POST", "PATCH", "DELETE"]))
        return routes

    async def health(self, _request: Request) -> Response:
        """Answer `GET /health`."""
        return v2_answer({"status": "ok"}, self._clock.wall_ms())

    async def refuse_cloud(self, request: Request) -> Response:
        """Answer what only Inngest's cloud has."""
        raise BadRequest(
            "not_implemented",
            f"{request.url.path[:100]!r} is not part of this server",
            status=501,
            why="accounts, environments, keys and what is sold beside them belong to Inngest's cloud",
            do="keys are given to a node when it is started: HEADRACE_EVENT_KEYS, HEADRACE_SIGNING_KEY",
        )

    # --- runs ---------------------------------------------------------------------------------------------------

    async def list_runs(self, request: Request) -> Response:
        """Answer `GET /runs`."""
        shown = self._catalog.look()
        functions = [_function_id(shown, wanted) for wanted in read_words(request, "functionId", "function_id")]
        for wanted in read_words(request, "appId", "app_id"):
            app = shown.find_app(wanted)
            functions += [definition.id for definition in app.functions] if app else [wanted]
        return await self._runs(request, shown, tuple(functions))

    async def list_function_runs(self, request: Request) -> Response:
        """Answer `GET /apps/{app}/functions/{function}/runs`."""
        shown = self._catalog.look()
        return await self._runs(request, shown, (_function(shown, request).id,))

    async def list_event_runs(self, request: Request) -> Response:
        """Answer `GET /events/{id}/runs`."""
        event_id = request.path_params["event_id"]
        now_ms = self._clock.wall_ms()
        found, lag = await self._archive.ask(lambda archive: (find_event(archive, event_id), read_lag(archive, now_ms)))
        if found is None:
            raise unknown_event(event_id, lag)
        return await self._runs(request, self._catalog.look(), (), event_id=found.event_id)

    async def _runs(
        self, request: Request, shown: Shown, functions: tuple[str, ...], *, event_id: str = ""
    ) -> Response:
        now_ms = self._clock.wall_ms()
        statuses = tuple(_status(word) for word in read_words(request, "status"))
        wanted = RunFilter(functions, statuses, event_id, read_since(request, now_ms, "from"))
        until_ms = read_since(request, now_ms, "until")
        limit, before = _limit(request), read_run_cursor(request)
        with_output = read_text(request, "includeOutput") in ("true", "1")

        def query(archive: sqlite3.Connection) -> list[FoundRun]:
            page: list[FoundRun] = []
            for found in list_runs(archive, wanted, before, outputs=with_output, until_ms=until_ms):
                page.append(found)
                if len(page) > limit:
                    break
            return page

        page = await self._archive.ask(query)
        more = len(page) > limit
        rows = [v2_run(shown, found, None, output=with_output) for found in page[:limit]]
        cursor = page[limit - 1].row.run_id if more else None
        return v2_answer(rows, now_ms, page={"cursor": cursor, "hasMore": more, "limit": limit})

    async def show_run(self, request: Request) -> Response:
        """Answer `GET /runs/{id}`."""
        run_id, now_ms = request.path_params["run_id"], self._clock.wall_ms()

        def query(archive: sqlite3.Connection) -> tuple[WholeRun | None, Lag]:
            return read_whole_run(archive, run_id), read_lag(archive, now_ms)

        whole, lag = await self._archive.ask(query)
        if whole is None:
            raise unknown_run(run_id, lag)
        return v2_answer(v2_run(self._catalog.look(), whole.found, whole.cron, output=True), now_ms)

    async def cancel_run(self, request: Request) -> Response:
        """Answer `POST /runs/{id}/cancel`."""
        if self._cancel is None:
            raise BadRequest("cancel_unavailable", "this server only shows what happened", status=501)
        run_id = request.path_params["run_id"]
        await self._cancel(run_id, "cancelled through the API")
        return v2_answer({"runId": run_id}, self._clock.wall_ms())

    async def rerun(self, request: Request) -> Response:
        """Answer `POST /runs/{id}/rerun` with the id of the run that is to be."""
        asked: _RerunAsked = read_json(await read_body(request, EVENT_BYTES_MAX), _RerunAsked, "send {}")
        if bytes(asked.from_step) != b"null":
            raise from_step_refused()
        return v2_answer({"runId": await self._run_orders.rerun(request.path_params["run_id"])}, self._clock.wall_ms())

    # --- events -------------------------------------------------------------------------------------------------

    async def send_event(self, request: Request) -> Response:
        """Answer `POST /events`: one event, with its internal id."""
        if self._door is None:
            raise BadRequest("events_not_taken", "this server takes no events", status=501)
        body = await read_body(request, EVENT_BYTES_MAX)
        if body.lstrip()[:1] != b"{":
            raise BadRequest("body_invalid", "the body is no JSON object", why="it is one event", do='send {"name": …}')
        (event_id,) = await self._door.accept(body)
        return v2_answer({"eventId": event_id}, self._clock.wall_ms())

    # --- apps and functions -------------------------------------------------------------------------------------

    async def list_apps(self, request: Request) -> Response:
        """Answer `GET /apps`; all of them."""
        apps = [v2_app(app) for app in self._catalog.look().apps.values()]
        return v2_answer(apps, self._clock.wall_ms(), page=_whole_page(len(apps)))

    async def show_app(self, request: Request) -> Response:
        """Answer `GET /apps/{app}`."""
        return v2_answer(v2_app(_app(self._catalog.look(), request)), self._clock.wall_ms())

    async def list_functions(self, request: Request) -> Response:
        """Answer `GET /apps/{app}/functions`."""
        known = self._known()
        app = _app(self._catalog.look(), request)
        rows = [v2_function(one, _paused(known, one)) for one in app.functions]
        return v2_answer(rows, self._clock.wall_ms(), page=_whole_page(len(rows)))

    async def show_function(self, request: Request) -> Response:
        """Answer `GET /apps/{app}/functions/{function}`."""
        definition = _function(self._catalog.look(), request)
        return v2_answer(v2_function(definition, _paused(self._known(), definition)), self._clock.wall_ms())

    async def invoke(self, request: Request) -> Response:
        """Answer `POST /apps/{app}/functions/{function}/invoke` with the run that is to be."""
        definition = _function(self._catalog.look(), request)
        asked: _InvokeAsked = read_json(await read_body(request, EVENT_BYTES_MAX), _InvokeAsked, 'send {"data": {…}}')
        if asked.idempotency_key:
            raise BadRequest(
                "idempotency_key_unsupported",
                "an invocation takes no idempotency key here",
                status=501,
                why="it starts a run each time",
                do="send an event with an id, which starts a function once, or declare idempotency on the function",
            )
        run_id, _ = await self._orders.start(definition.id, bytes(asked.data))
        now_ms = self._clock.wall_ms()
        return v2_answer({"runId": run_id, "queuedAt": iso(ulid_ms(run_id))}, now_ms)

    async def sync_app(self, request: Request) -> Response:
        """Answer `POST /apps/{app}/syncs`, body `{"url": …}`: the app there is asked to register."""
        if self._sync is None:
            raise BadRequest("sync_unavailable", "apps cannot be added here", status=501)
        asked: _SyncAsked = read_json(await read_body(request, EVENT_BYTES_MAX), _SyncAsked, 'send {"url": "http://…"}')
        await self._sync(asked.url)
        app = self._catalog.look().find_app(request.path_params["app"])
        return v2_answer(None if app is None else v2_app(app), self._clock.wall_ms())


def _answered(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HeadraceError as error:
            return v2_refusal(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            return v2_refusal(BadRequest("internal", "the request could not be answered", status=500))

    return answer


def _app(shown: Shown, request: Request) -> App:
    wanted = request.path_params["app"]
    app = shown.find_app(wanted)
    if app is None:
        raise BadRequest("app_unknown", f"there is no app {wanted[:60]!r}", status=404, do="GET /v2/apps lists them")
    return app


def _function(shown: Shown, request: Request) -> Definition:
    app = _app(shown, request)
    wanted = request.path_params["function"]
    for candidate in (wanted, f"{app.name}-{wanted}"):
        definition = shown.find_function(candidate)
        if definition is not None and definition.app == app.name:
            return definition
    raise BadRequest(
        "function_unknown",
        f"the app {app.name!r} has no function {wanted[:60]!r}",
        status=404,
        do="GET /v2/apps/{app}/functions lists those it has",
    )


def _function_id(shown: Shown, wanted: str) -> str:
    definition = shown.find_function(wanted)
    return definition.id if definition else wanted


def _status(word: str) -> str:
    status = RUN_STATUSES.get(word.upper().removeprefix("FUNCTION_RUN_STATUS_"))
    if status is None:
        raise invalid("status", word, "there is no such status", f"one or more of {', '.join(RUN_STATUSES)}")
    return status


def _limit(request: Request) -> int:
    text = read_text(request, "limit")
    if not text:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= LIMIT_MAX):
        raise invalid("limit", text, f"limit is a number from 1 to {LIMIT_MAX}", "use cursor= to go on behind a page")
    return int(text)


def _whole_page(count: int) -> dict[str, object]:
    return {"cursor": None, "hasMore": False, "limit": count}


def _paused(known: Mapping[bytes, bytes], definition: Definition) -> bool:
    value = known.get(pause_key(definition.id))
    return value is not None and is_paused(value)
