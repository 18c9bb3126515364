"""What SDKs ask a dev server: `GET /dev`, and what they send it to be thrown away. Source: SDK protocol page, 2.6."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.errors import BadRequest, HeadraceError
from headrace.intake.answers import json_answer, refusal
from headrace.intake.app_records import apps_of, definitions_of
from headrace.intake.body import read_body
from headrace.records.definitions import Definition
from headrace.version import __version__

_TELEMETRY_BYTES_MAX = 16 << 20


class DevAnswers:
    """The endpoints. `known` is what stands on the functions topic; `start_options` are shown as they are."""

    def __init__(
        self, known: Callable[[], Mapping[bytes, bytes]], *, dev: bool, start_options: Mapping[str, Any] | None = None
    ) -> None:
        self._known = known
        self._dev = dev
        self._start_options = dict(start_options or {})

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/dev", self.show, methods=["GET"]),
            Route("/dev/traces", self.take, methods=["POST"]),
            Route("/v0/telemetry", self.take, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Answer `GET /dev`; 404 in production, where SDKs would take this for a dev server."""
        if not self._dev:
            return refusal(
                BadRequest(
                    "not_a_dev_server",
                    "this is no dev server",
                    status=404,
                    why="SDKs ask here whether they talk to one",
                    do="ask /health, or headrace apps",
                )
            )
        # A page of another site may ask whether this is a dev server, and learns nothing else.
        known = {} if _from_elsewhere(request) else self._known()
        return json_answer(
            200,
            {
                "version": __version__,
                "authed": False,
                "startOpts": self._start_options if known else {},
                "functions": [_function_fields(one) for _, one in sorted(definitions_of(known).items())],
                "handlers": [
                    {"appName": app.name, "url": app.url, "sdk": app.sdk, "framework": app.framework}
                    for app in apps_of(known).values()
                    if not app.removed
                ],
                "isSingleNodeService": False,
                "isMissingSigningKey": False,
                "isMissingEventKeys": False,
                "features": {},
            },
        )

    async def take(self, request: Request) -> Response:
        """Answer `POST /dev/traces` and `POST /v0/telemetry`: taken, and thrown away."""
        try:
            await read_body(request, _TELEMETRY_BYTES_MAX)
        except HeadraceError as error:
            return refusal(error)
        return json_answer(200, {})


def _from_elsewhere(request: Request) -> bool:
    origin = request.headers.get("origin", "")
    return bool(origin) and origin.partition("://")[2] != request.headers.get("host", "")


def _function_fields(definition: Definition) -> dict[str, Any]:
    triggers: list[dict[str, str]] = [
        {"event": one.event, "expression": one.expression} if one.expression else {"event": one.event}
        for one in definition.triggers
    ]
    triggers += [{"cron": f"TZ={one.timezone} {one.line}" if one.timezone else one.line} for one in definition.crons]
    step = {"id": "step", "name": "step", "uri": definition.url, "retries": definition.retries}
    return {
        "id": definition.id,
        "slug": definition.id,
        "name": definition.name,
        "triggers": triggers,
        "steps": [step] if definition.url else [],
    }
