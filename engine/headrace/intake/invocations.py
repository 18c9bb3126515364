"""`POST /invoke/{slug}`: start a run of a function with an event of one's own. Source: the SDK protocol page, 1.5.

An unknown function is no error here, as there: nothing comes of it, and that is told to the operator.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.errors import BadRequest, HeadraceError
from headrace.intake.answers import json_answer, refusal
from headrace.intake.body import read_body
from headrace.intake.event_ids import ENTROPY_BYTES, SEED_HEADER, Seed, parse_seed, seeded_id
from headrace.intake.refusals import Refusals
from headrace.records.commands import Travelling
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import entropy, partition_of
from headrace.records.invoked import INVOKED
from headrace.records.rows import KnownEvent, Start
from headrace.runs import run_id_of

_SEEDED_MAX = 4_096
_ID_MAX = 512

GiveOrder = Callable[[int | None, Travelling], Awaitable[None]]


class _Asked(msgspec.Struct):
    data: dict[str, msgspec.Raw] | None = None
    user: dict[str, msgspec.Raw] | None = None
    id: str = ""
    ts: int | None = None
    v: str | None = None


class Invocations:
    """The endpoint. `functions` gives the ids of those that the cluster knows; `partitions` is how many there are."""

    def __init__(
        self,
        give: GiveOrder,
        functions: Callable[[], Collection[str]],
        partitions: int,
        clock: Clock,
        refusals: Refusals,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._give = give
        self._functions = functions
        self._partitions = partitions
        self._clock = clock
        self._refusals = refusals
        self._random_bytes = random_bytes
        self._seeded: OrderedDict[str, None] = OrderedDict()  # ids of requests that may be sent again

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/invoke/{slug:path}", self.invoke, methods=["POST"])]

    async def invoke(self, request: Request) -> Response:
        """Answer `POST /invoke/{slug}` with the id of the event."""
        slug = request.path_params["slug"]
        try:
            if not slug:
                raise BadRequest("function_unnamed", "Function slug is required", do="send to /invoke/ and its full id")
            asked = _read(await read_body(request, EVENT_BYTES_MAX))
            seed = parse_seed(request.headers.get(SEED_HEADER))
            event_id = await self._start(slug, asked, seed)
        except HeadraceError as error:
            return refusal(error)
        return json_answer(200, {"id": event_id, "status": 200})

    async def _start(self, slug: str, asked: _Asked, seed: Seed | None) -> str:
        now_ms = self._clock.wall_ms()
        event_id = seeded_id(seed or Seed(now_ms, self._random_bytes(ENTROPY_BYTES)), 0)
        if seed is not None and event_id in self._seeded:
            return event_id  # the same request once more
        if slug in self._functions():
            event = _event(slug, asked, event_id, now_ms)
            run_id = run_id_of(entropy(b"invoke\0" + event_id.encode()), slug, now_ms)
            await self._give(partition_of(run_id.encode(), self._partitions), Start(slug, run_id, [event], now_ms))
        else:
            self._refusals.note(
                "invoked_function_unknown", f"there is no function {slug[:100]!r} to invoke", slug[:100]
            )
        if seed is not None:
            self._seeded[event_id] = None
            if len(self._seeded) > _SEEDED_MAX:
                self._seeded.popitem(last=False)
        return event_id


def _read(body: bytes) -> _Asked:
    try:
        return msgspec.json.decode(body or b"{}", type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            "body_invalid",
            "Unable to read post data request",
            why=str(error),
            do='send an event without a name, such as {"data": {"n": 1}}',
        ) from None


def _event(slug: str, asked: _Asked, event_id: str, now_ms: int) -> KnownEvent:
    fields: dict[str, Any] = {"name": INVOKED, "data": _routed(asked.data or {}, slug)}
    fields |= {name: value for name, value in (("user", asked.user), ("v", asked.v)) if value}
    body = msgspec.json.encode(fields)
    if len(body) > EVENT_BYTES_MAX:
        raise BadRequest(
            "invoke_data_too_large",
            f"the event has {len(body)} bytes; {EVENT_BYTES_MAX} are allowed",
            why="it travels through several topics",
            do="put large data elsewhere and hand over a reference to it",
        )
    ts_ms = asked.ts if asked.ts and asked.ts > 0 else now_ms
    return KnownEvent(event_id, INVOKED, body, ts_ms, now_ms, asked.id[:_ID_MAX])


def _routed(data: Mapping[str, Any], slug: str) -> dict[str, Any]:
    return {**data, "_inngest": {"fn_id": slug}}
