"""What apps of SDKs ask in the middle of a call: what started the run, what its steps came to; and what they report.

`GET /v0/runs/{id}/batch|actions`: events and memos that were too large for the call. `POST /v1/checkpoint/{id}/async`:
steps that the app has made and goes on behind. Source: the SDK protocol page, sections 3.1 and 3.8.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.console.answers import json_answer
from headrace.console.rest import answered
from headrace.errors import BadRequest
from headrace.execution.sdk.answer import ANSWER_BYTES_MAX, OPS_MAX, Op
from headrace.intake.body import read_body
from headrace.records.ids import is_ulid


class _Checkpoint(msgspec.Struct):
    steps: list[Op]
    request_id: str = ""


class RunsUnderWay(Protocol):
    """The runs of the cluster, whichever node owns them."""

    async def events_of(self, run_id: str) -> bytes | None:
        """Give what started a run, a JSON array; None for one that is not alive."""
        ...

    async def memos_of(self, run_id: str) -> bytes | None:
        """Give what is recorded of a run's steps, a JSON object by hash; None for one that is not alive."""
        ...

    async def checkpoint(self, run_id: str, request_id: str, ops: list[Op]) -> bool:
        """Record steps that were made in the middle of a call; False if that call counts no more."""
        ...


class AppCalls:
    """The endpoints."""

    def __init__(self, runs: RunsUnderWay) -> None:
        self._runs = runs

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v0/runs/{run_id}/batch", answered(self.show_events), methods=["GET"]),
            Route("/v0/runs/{run_id}/actions", answered(self.show_memos), methods=["GET"]),
            Route("/v1/checkpoint/{run_id}/async", answered(self.checkpoint), methods=["POST"]),
        ]

    async def show_events(self, request: Request) -> Response:
        """Answer `GET /v0/runs/{id}/batch` with the run's events."""
        return await _found(request, self._runs.events_of)

    async def show_memos(self, request: Request) -> Response:
        """Answer `GET /v0/runs/{id}/actions` with the memos of the run's steps, by hash."""
        return await _found(request, self._runs.memos_of)

    async def checkpoint(self, request: Request) -> Response:
        """Answer `POST /v1/checkpoint/{id}/async` once the steps are recorded; 409 for a call that counts no more."""
        body = await read_body(request, 2 * ANSWER_BYTES_MAX)
        try:
            told = msgspec.json.decode(body, type=_Checkpoint)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(
                "checkpoint_invalid", f"the checkpoint cannot be read: {error}", why="it is JSON with a list of steps"
            ) from None
        if len(told.steps) > OPS_MAX:
            raise BadRequest(
                "checkpoint_too_large", f"the checkpoint has {len(told.steps)} steps; {OPS_MAX} are allowed", status=413
            )
        if not await self._runs.checkpoint(_run_id(request), told.request_id, told.steps):
            raise BadRequest(
                "call_superseded",
                "this call of the function counts no more",
                status=409,
                why="the run has ended, or was taken up by another call or node",
                do="stop executing it",
            )
        return json_answer(200, {"data": {}})


def _run_id(request: Request) -> str:
    run_id: str = request.path_params["run_id"]
    if not is_ulid(run_id):
        raise BadRequest("run_id_invalid", f"{run_id[:60]!r} is no id of a run", status=400)
    return run_id


async def _found(request: Request, read: Callable[[str], Awaitable[bytes | None]]) -> Response:
    content = await read(_run_id(request))
    if content is None:
        raise BadRequest("run_gone", "the run has ended", status=410, do="stop executing it")
    return Response(content, media_type="application/json")
