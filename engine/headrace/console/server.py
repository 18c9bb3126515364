"""Puts the front door, the API and the pages together into one ASGI application.

It can be served by itself or mounted in another one (`Mount("/headrace", app)`): all links go by the place where it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from headrace.adapters.seams import Clock
from headrace.console.answers import json_answer, refusal
from headrace.console.archive_reader import ArchiveReader
from headrace.console.guard import Guard, GuardSettings
from headrace.console.lag_queries import read_lag
from headrace.console.metrics import CONTENT_TYPE, Measure, render_metrics
from headrace.console.pages.routes import Pages
from headrace.console.rest import RestApi, answered
from headrace.console.sessions import Sessions
from headrace.console.static_files import ShippedFiles
from headrace.console.status import CancelRun, Status
from headrace.errors import BadRequest
from headrace.intake.http import EventDoor
from headrace.version import __version__

Endpoint = Callable[[Request], Awaitable[Response]]


def create_asgi_app(
    *,
    archive: ArchiveReader,
    status: Status,
    clock: Clock,
    door: EventDoor | None = None,
    cancel_run: CancelRun | None = None,
    settings: GuardSettings | None = None,
    registry: CollectorRegistry | None = None,
    measure: Measure | None = None,
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """Make the application.

    `routes` are further ones, such as the SDK protocol's; they come first and are guarded like all others. Without a
    `door` no events are taken, without `cancel_run` no run can be cancelled. `registry` and `measure` are what
    `/metrics` shows beside the console's own numbers.
    """
    settings = settings or GuardSettings()
    sessions = Sessions(settings.access.api_keys, clock)
    api = RestApi(archive, status, clock, cancel_run)
    files = ShippedFiles()
    pages = Pages(archive, status, clock, api, sessions, files, door, can_cancel=cancel_run is not None)
    machinery = _Machinery(archive, status, clock, registry, measure)
    all_routes: list[BaseRoute] = [*routes]
    if door is not None:
        all_routes += [Route(where, door.receive, methods=["POST"]) for where in ("/e/{key:path}", "/e")]
    all_routes += [
        Route("/health", machinery.health, methods=["GET"]),
        Route("/ready", machinery.ready, methods=["GET"]),
        Route("/metrics", answered(machinery.metrics), methods=["GET"]),
        Route("/static/{name}", files.show, methods=["GET"]),
        *api.routes(),
        *pages.routes(),
    ]
    return Starlette(
        routes=all_routes,
        middleware=[Middleware(Guard, settings=settings, sessions=sessions)],
        exception_handlers={HTTPException: _refuse(pages)},
    )


class _Machinery:
    """What operators' tools ask."""

    def __init__(
        self,
        archive: ArchiveReader,
        status: Status,
        clock: Clock,
        registry: CollectorRegistry | None,
        measure: Measure | None,
    ) -> None:
        self._archive = archive
        self._status = status
        self._clock = clock
        self._registry = registry
        self._measure = measure

    async def health(self, _request: Request) -> Response:
        """Answer `GET /health`: the process lives."""
        return json_answer(200, {"status": 200, "message": "OK", "version": __version__})

    async def ready(self, _request: Request) -> Response:
        """Answer `GET /ready`: 200 when every partition assigned here runs, else 503 with the reason."""
        is_ready, reason = self._status.ready()
        if is_ready:
            return json_answer(200, {"ready": True, "status": 200})
        fields = {"ready": False, "status": 503, "error": reason, "code": "not_ready", "reason": reason}
        return json_answer(503, fields, {"retry-after": "1"})

    async def metrics(self, _request: Request) -> Response:
        """Answer `GET /metrics`."""
        now_ms = self._clock.wall_ms()
        lag = await self._archive.ask(lambda archive: read_lag(archive, now_ms))
        return Response(
            render_metrics(self._registry, self._measure, lag), media_type=None, headers={"content-type": CONTENT_TYPE}
        )


def _refuse(pages: Pages) -> Callable[[Request, Exception], Response]:
    """Answer what no route takes: with a page to browsers, with the API's error to programs."""

    def answer(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        status = problem.status_code
        headers = dict(problem.headers or {})
        if status == 405:
            headers["Allow"] = ", ".join(_methods_of(request))
        error = _refusal_of(request, status, str(problem.detail), headers.get("Allow", ""))
        if "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD"):
            page = pages.problem(request, status, error.what, "", "The links above lead to every page.")
            page.headers.update(headers)
            return page
        answer = refusal(error)
        answer.headers.update(headers)
        return answer

    return answer


def _refusal_of(request: Request, status: int, detail: str, methods: str) -> BadRequest:
    where = repr(request.url.path[:100])
    if status == 404:
        return BadRequest(
            "not_found",
            f"there is nothing at {where}",
            status=404,
            why="the API is below /v1, and events go to /e/KEY, right behind the node's address",
            do="check the path; for the command line, --url is the node's address alone: http://HOST:PORT",
        )
    if status == 405:
        return BadRequest(
            "method_not_allowed",
            f"{request.method} is not possible at {where}",
            status=405,
            why=f"it takes {methods}",
            do="send one of those, or check the path",
        )
    return BadRequest("refused", detail, status=status, why=f"{where} cannot be answered like that", do="check it")


def _methods_of(request: Request) -> list[str]:
    """List the methods that a path takes; several routes may share it."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)
