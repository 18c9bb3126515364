"""What apps of SDKs ask in the middle of a call: what started the run, what its steps came to; and what they report.

`GET /v0/runs/{id}/batch|actions`: events and memos that were too large for the call. `POST /v1/checkpoint/{id}/async`:
steps that the app has made and goes on behind. Source: the SDK protocol page, sections 3.1 and 3.8.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.console.answers import json_answer
from headrace.console.rest import answered
from headrace.errors import BadRequest
from headrace.execution.sdk.answer import ANSWER_BYTES_MAX, OPS_MAX, Op
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.intake.body import read_body
from headrace.records.ids import is_ulid


class _Checkpoint(msgspec.Struct):
    steps: list[Op]
    request_id: str = ""


class AppCalls:
    """The endpoints, over the runs that this node owns."""

    def __init__(self, execution: SdkExecution) -> None:
        self._execution = execution

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v0/runs/{run_id}/batch", answered(self.show_events), methods=["GET"]),
            Route("/v0/runs/{run_id}/actions", answered(self.show_memos), methods=["GET"]),
            Route("/v1/checkpoint/{run_id}/async", answered(self.checkpoint), methods=["POST"]),
        ]

    async def show_events(self, request: Request) -> Response:
        """Answer `GET /v0/runs/{id}/batch` with the run's events."""
        return _found(request, self._execution.events_of)

    async def show_memos(self, request: Request) -> Response:
        """Answer `GET /v0/runs/{id}/actions` with the memos of the run's steps, by hash."""
        return _found(request, self._execution.memos_of)

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
        if not await self._execution.checkpoint(_run_id(request), told.request_id, told.steps):
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


def _found(request: Request, read: Callable[[str], bytes | None]) -> Response:
    content = read(_run_id(request))
    if content is None:
        raise BadRequest("run_gone", "the run has ended, or is not on this node", status=410, do="stop executing it")
    return Response(content, media_type="application/json")
