"""Orders: what the API has the cluster do with functions. An order is given once it stands on Kafka.

`POST /v1/functions/{id}/invoke` starts a run whatever the triggers say; all limits of the function apply.
`POST /v1/cancellations` cancels the runs of a function that were made in some time, and match an expression; the names
are those of the SDK protocol page, section 6.1.
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
from headrace.console.moments import iso, parse_since
from headrace.console.rest import answered
from headrace.errors import BadDeclaration, BadRequest
from headrace.expressions import compile_expression
from headrace.functions.mistakes import nearest
from headrace.intake.body import read_body
from headrace.records.commands import CancelRuns, Travelling
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import derive_ulid, entropy, partition_of
from headrace.records.invoked import invoked_event
from headrace.records.rows import Start
from headrace.runs import run_id_of

# Have a partition do something (None: all of them). Done once that is on Kafka.
GiveOrder = Callable[[int | None, Travelling], Awaitable[None]]


class _Invocation(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _BulkCancel(msgspec.Struct):
    function_id: str
    app_id: str = ""
    started_after: str | int | None = None
    started_before: str | int | None = None
    expression: str | None = msgspec.field(default=None, name="if")


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
            Route("/v1/cancellations", answered(self.cancel_runs), methods=["POST"]),
        ]

    async def invoke(self, request: Request) -> Response:
        """Answer `POST /v1/functions/{id}/invoke`, body `{"data": {…}}`, with the id of the run that is to be."""
        function_id = self._known(request.path_params["function_id"])
        asked = _read(await read_body(request, EVENT_BYTES_MAX), _Invocation, 'send {"data": {…}}')
        now_ms = self._clock.wall_ms()
        event_id = derive_ulid(now_ms, uuid.uuid4().bytes)
        event = invoked_event(event_id, bytes(asked.data), {"fn_id": function_id}, now_ms)
        run_id = run_id_of(entropy(b"console\0" + event_id.encode()), function_id, now_ms)
        start = Start(function_id, run_id, [event], now_ms)
        await self._give(partition_of(run_id.encode(), self._partitions), start)
        return enveloped({"run_id": run_id, "function_id": function_id, "event_id": event_id}, now_ms)

    async def cancel_runs(self, request: Request) -> Response:
        """Answer `POST /v1/cancellations`; every partition goes through the runs that it has."""
        example = 'send {"function_id": "shop-process-order", "started_after": "2h", "if": "event.data.total > 100"}'
        asked = _read(await read_body(request, 64 << 10), _BulkCancel, example)
        full_id = f"{asked.app_id}-{asked.function_id}" if asked.app_id else asked.function_id
        function_id = self._known(asked.function_id if asked.function_id in self._functions() else full_id)
        now_ms = self._clock.wall_ms()
        after_ms = _moment(asked.started_after, 0, now_ms, "started_after")
        before_ms = _moment(asked.started_before, now_ms, now_ms, "started_before")
        if not after_ms < before_ms <= now_ms:
            raise BadRequest(
                "cancellation_window_invalid",
                f"the window goes from {iso(after_ms) or '1970'} to {iso(before_ms)}; it is {iso(now_ms)} now",
                why="it begins before it ends, and ends in the past: what starts later is not cancelled",
                do="leave started_before out for all runs up to now",
            )
        if asked.expression:
            try:
                compile_expression(asked.expression, variables=("event",), option="if")
            except BadDeclaration as error:
                raise BadRequest(error.code, error.what, why=error.why, do=error.do) from None
        cancellation_id = derive_ulid(now_ms, uuid.uuid4().bytes)
        # The partitions' clocks need not be this one: the millisecond that is running belongs to the past as well.
        await self._give(
            None, CancelRuns(cancellation_id, function_id, after_ms, before_ms + 1, asked.expression or "")
        )
        shown = {
            "id": cancellation_id,
            "function_id": function_id,
            "started_after": iso(after_ms),
            "started_before": iso(before_ms),
            "if": asked.expression,
        }
        return enveloped(shown, now_ms)

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


def _moment(value: str | int | None, default_ms: int, now_ms: int, name: str) -> int:
    return default_ms if value is None else parse_since(str(value), now_ms, name=name)
