"""What a durable endpoint came to, for whoever asked for it: `GET /v1/http/runs/{id}/output?token=`.

The answer is the endpoint's own: its status, its headers, its body. It waits for up to five minutes.
"""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import json_answer
from headrace.console.archive_reader import ArchiveReader
from headrace.console.endpoints import ISSUER
from headrace.console.rest import answered
from headrace.console.run_queries import FoundRun, find_run
from headrace.console.run_rows import ENDED
from headrace.console.web_tokens import TokenKeys
from headrace.errors import BadRequest

_WAIT_S = 300.0
_LOOK_S = (0.02, 0.05, 0.1, 0.25, 0.5)  # between two looks; the last one from then on
_OF_CONNECTIONS = frozenset(
    ("connection", "content-length", "content-encoding", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer")
)
_OPEN = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


class _Result(msgspec.Struct):
    status: int
    headers: dict[str, str] | None = None
    body: str = ""


class EndpointOutputs:
    """The endpoint. It checks a token of its own; `wait_s` is how long it waits for the run to end."""

    def __init__(self, archive: ArchiveReader, keys: TokenKeys, clock: Clock, *, wait_s: float = _WAIT_S) -> None:
        self._archive = archive
        self._keys = keys
        self._clock = clock
        self._wait_s = wait_s

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v1/http/runs/{run_id}/output", answered(self.show), methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """Answer with what the run came to."""
        run_id: str = request.path_params["run_id"]
        claims = self._keys.read(request.query_params.get("token", ""), ISSUER, self._clock.wall_ms())
        if claims is None or claims.get("RunID") != run_id:
            raise BadRequest(
                "token_invalid",
                "Unable to find run with auth token",
                status=401,
                why="a token is for one run, and for an hour",
                do="take the token that the app was given when the run began",
            )
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._wait_s
        look = 0
        while True:
            found = await self._archive.ask(lambda archive: find_run(archive, run_id))
            if found is not None and found.row.status in ENDED:
                return _ended(found)
            if loop.time() > deadline_s:
                break
            await asyncio.sleep(_LOOK_S[min(look, len(_LOOK_S) - 1)])
            look += 1
        told = {"status": "running", "message": f"run did not end within {self._wait_s / 60:g} minutes"}
        return json_answer(200, told, _OPEN)


def _ended(found: FoundRun) -> Response:
    row = found.row
    if row.status == "Cancelled":
        return json_answer(410, {"error": "the run was cancelled", "status": 410}, _OPEN)
    if row.status == "Failed":
        error = {"name": row.error_name, "message": row.error_message}
        return json_answer(500, {"error": row.error_message or row.error_name, "status": 500, "data": error}, _OPEN)
    try:
        result = msgspec.json.decode(row.output, type=_Result)
    except (msgspec.MsgspecError, RecursionError):
        result = None
    if result is None or not 200 <= result.status <= 599:
        return Response(row.output.encode(), 200, _OPEN, media_type="application/json")
    headers = {name: value for name, value in (result.headers or {}).items() if name.lower() not in _OF_CONNECTIONS}
    return Response(result.body.encode(), result.status, {**headers, **_OPEN})
