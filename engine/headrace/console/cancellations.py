"""Bulk cancellation: `POST`, `GET` and `DELETE /v1/cancellations`. Source: the SDK protocol page, section 6.1.

One that is given cancels the runs of a function that were made in some time, and match an expression; what starts later
is not cancelled. Which were given stands on the functions topic, so that every node lists them.
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
from headrace.console.answers import enveloped, not_found
from headrace.console.catalog import Known
from headrace.console.moments import iso, parse_since
from headrace.console.orders import GiveOrder, known_function, read_json
from headrace.console.rest import answered
from headrace.console.run_answers import ACCOUNT_ID, ENVIRONMENT_ID
from headrace.errors import BadDeclaration, BadRequest
from headrace.expressions import compile_expression
from headrace.intake.body import read_body
from headrace.records.broadcasts import broadcast_key, split_broadcast_key
from headrace.records.commands import CancelRuns
from headrace.records.ids import derive_ulid

# Write a record to the functions topic. Done once it is there.
GiveBroadcast = Callable[[bytes, bytes], Awaitable[None]]
CANCELLATION = "cancellation"  # the kind of these broadcasts
_SKEW_MS = 5_000  # clocks of those who ask go before ours
_BODY_BYTES_MAX = 64 << 10
_EXAMPLE = 'send {"function_id": "shop-process-order", "started_after": "2h", "if": "event.data.total > 100"}'


class _Asked(msgspec.Struct):
    function_id: str
    app_id: str = ""
    started_after: str | int | None = None
    started_before: str | int | None = None
    expression: str | None = msgspec.field(default=None, name="if")


class Cancellation(msgspec.Struct, omit_defaults=True):
    """One that was given, as it stands on the functions topic."""

    id: str
    function_id: str
    created_ms: int
    after_ms: int
    before_ms: int
    expression: str = ""
    removed: bool = False


_DECODER = msgspec.json.Decoder(Cancellation)


class Cancellations:
    """The endpoints. `functions` gives the ids of those that the cluster knows, `known` the functions topic."""

    def __init__(
        self,
        give: GiveOrder,
        broadcast: GiveBroadcast,
        known: Known,
        functions: Callable[[], Collection[str]],
        clock: Clock,
    ) -> None:
        self._give = give
        self._broadcast = broadcast
        self._known = known
        self._functions = functions
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/cancellations", answered(self.add), methods=["POST"]),
            Route("/v1/cancellations", answered(self.list_all), methods=["GET"]),
            Route("/v1/cancellations/{cancellation_id}", answered(self.show), methods=["GET"]),
            Route("/v1/cancellations/{cancellation_id}", answered(self.remove), methods=["DELETE"]),
        ]

    async def add(self, request: Request) -> Response:
        """Answer `POST /v1/cancellations`; every partition goes through the runs that it has."""
        asked: _Asked = read_json(await read_body(request, _BODY_BYTES_MAX), _Asked, _EXAMPLE)
        functions = self._functions()
        full_id = f"{asked.app_id}-{asked.function_id}" if asked.app_id else asked.function_id
        function_id = known_function(asked.function_id if asked.function_id in functions else full_id, functions)
        now_ms = self._clock.wall_ms()
        after_ms = _moment(asked.started_after, 0, now_ms, "started_after")
        before_ms = _moment(asked.started_before, now_ms, now_ms, "started_before")
        if now_ms < before_ms <= now_ms + _SKEW_MS:
            before_ms = now_ms
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
        given = Cancellation(
            derive_ulid(now_ms, uuid.uuid4().bytes), function_id, now_ms, after_ms, before_ms, asked.expression or ""
        )
        # The partitions' clocks need not be this one: the millisecond that is running belongs to the past as well.
        await self._give(None, CancelRuns(given.id, function_id, after_ms, before_ms + 1, given.expression))
        await self._broadcast(broadcast_key(CANCELLATION, given.id), msgspec.json.encode(given))
        return enveloped(_fields(given), now_ms)

    async def list_all(self, request: Request) -> Response:
        """Answer `GET /v1/cancellations`: those that were given, the newest first."""
        given = sorted(self._given().values(), key=lambda one: one.id, reverse=True)
        return enveloped([_fields(one) for one in given], self._clock.wall_ms())

    async def show(self, request: Request) -> Response:
        """Answer `GET /v1/cancellations/{id}`."""
        return enveloped(_fields(self._find(request)), self._clock.wall_ms())

    async def remove(self, request: Request) -> Response:
        """Answer `DELETE /v1/cancellations/{id}`: it is listed no more; what it has cancelled stays so."""
        given = self._find(request)
        removed = msgspec.structs.replace(given, removed=True)
        await self._broadcast(broadcast_key(CANCELLATION, given.id), msgspec.json.encode(removed))
        return enveloped({"ok": True}, self._clock.wall_ms())

    def _find(self, request: Request) -> Cancellation:
        wanted = request.path_params["cancellation_id"]
        given = self._given().get(wanted)
        if given is None:
            raise not_found(f"there is no cancellation {wanted[:60]!r}", "it never was, or was removed")
        return given

    def _given(self) -> dict[str, Cancellation]:
        found: dict[str, Cancellation] = {}
        for key, value in self._known().items():
            if split_broadcast_key(key)[0] == CANCELLATION:
                try:
                    given = _DECODER.decode(value)
                except msgspec.MsgspecError:
                    continue  # a newer version's
                if not given.removed:
                    found[given.id] = given
        return found


def _fields(given: Cancellation) -> dict[str, Any]:
    return {
        "id": given.id,
        "created_at": iso(given.created_ms),
        "name": None,
        "account_id": ACCOUNT_ID,
        "environment_id": ENVIRONMENT_ID,
        "function_id": given.function_id,
        "started_after": iso(given.after_ms),
        "started_before": iso(given.before_ms),
        "if": given.expression or None,
    }


def _moment(value: str | int | None, default_ms: int, now_ms: int, name: str) -> int:
    return default_ms if value is None else parse_since(str(value), now_ms, name=name)
