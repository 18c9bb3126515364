"""Orders: what the API has the cluster do with functions. An order is given once it stands on Kafka.

`POST /v1/functions/{id}/invoke` starts a run whatever the triggers say; all limits of the function apply.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import enveloped
from headrace.console.rest import answered
from headrace.errors import BadRequest
from headrace.functions.mistakes import nearest
from headrace.intake.body import read_body
from headrace.records.commands import Travelling
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import derive_ulid, entropy, partition_of
from headrace.records.invoked import invoked_event
from headrace.records.rows import Start
from headrace.runs import run_id_of

# Have a partition do something (None: all of them). Done once that is on Kafka.
GiveOrder = Callable[[int | None, Travelling], Awaitable[None]]


class _Invocation(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Orders:
    """The endpoints. `functions` gives the ids of those that the cluster knows; `partitions` is how many there are."""

    def __init__(
        self, give: GiveOrder, functions: Callable[[], Collection[str]], partitions: int, clock: Clock
    ) -> None:
        self._give = give
        self._functions = functions
        self._partitions = partitions
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/functions/{function_id}/invoke", answered(self.invoke), methods=["POST"]),
        ]

    async def invoke(self, request: Request) -> Response:
        """Answer `POST /v1/functions/{id}/invoke`, body `{"data": {…}}`, with the id of the run that is to be."""
        function_id = self._known(request.path_params["function_id"])
        asked = _read(await read_body(request, EVENT_BYTES_MAX), _Invocation, 'send {"data": {…}}')
        run_id, event_id = await self.start(function_id, bytes(asked.data))
        shown = {"run_id": run_id, "function_id": function_id, "event_id": event_id}
        return enveloped(shown, self._clock.wall_ms())

    async def start(self, function_id: str, data: bytes) -> tuple[str, str]:
        """Start a run of a function with this data (JSON); gives the ids of the run and its event.

        Errors: BadRequest for a function that nobody knows, and for data that is none.
        """
        function_id = self._known(function_id)
        now_ms = self._clock.wall_ms()
        event_id = derive_ulid(now_ms, uuid.uuid4().bytes)
        event = invoked_event(event_id, data, {"fn_id": function_id}, now_ms)
        run_id = run_id_of(entropy(b"console\0" + event_id.encode()), function_id, now_ms)
        start = Start(function_id, run_id, [event], now_ms)
        await self._give(partition_of(run_id.encode(), self._partitions), start)
        return run_id, event_id

    def _known(self, function_id: str) -> str:
        return known_function(function_id, self._functions())


def known_function(function_id: str, known: Collection[str]) -> str:
    """Give the id of a function that the cluster knows. Errors: BadRequest, with the one that may be meant."""
    if function_id in known:
        return function_id
    meant = next((one for one in sorted(known) if one.endswith(f"-{function_id}")), "")
    meant = meant or nearest(function_id, known)
    raise BadRequest(
        "function_unknown",
        f"there is no function {function_id[:100]!r}",
        status=404,
        why="a full id is the app's id, a dash, and the function's id",
        do=f"did you mean {meant!r}?" if meant else "GET /v1/functions lists those there are",
    )


def read_json(body: bytes, kind: type[Any], example: str) -> Any:
    """Decode a body to a struct. Errors: BadRequest, with the example."""
    return _read(body, kind, example)


def _read(body: bytes, kind: type[Any], example: str) -> Any:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            "body_invalid", f"the body cannot be read: {error}", why="it is a JSON object", do=example
        ) from None
