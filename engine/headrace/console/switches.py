"""Switches: what the API changes while everything runs, without a deploy. It holds once every partition has read it.

`POST /v1/functions/{id}/pause|resume`, body `{"key": …}` for one key: new runs wait, those that have begun go on.
`GET /v1/limits` and `POST|DELETE /v1/functions/{id}/limits`: the numbers of concurrency, throttle and rate limit.
`POST /v1/runs/{id}/resume`: a parked run goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import enveloped
from headrace.console.archive_reader import ArchiveReader
from headrace.console.lag_queries import read_lag
from headrace.console.orders import GiveOrder, known_function, read_json
from headrace.console.rest import answered, unknown_run
from headrace.console.run_queries import find_run
from headrace.errors import BadDeclaration, BadRequest
from headrace.expressions import compile_expression, parse_duration_ms
from headrace.functions.settings import (
    PAUSE,
    LiveLimits,
    LiveRate,
    Pause,
    is_paused,
    limits_key,
    pause_key,
    read_limits,
    with_limits,
)
from headrace.intake.body import read_body
from headrace.records.broadcasts import split_broadcast_key
from headrace.records.commands import ResumeRun
from headrace.records.definitions import Concurrency, Definition, decode_definition

# Write a record to the functions topic. Done once it is there.
GiveBroadcast = Callable[[bytes, bytes], Awaitable[None]]
_BODY_BYTES_MAX = 64 << 10
_LIMIT_MAX = 1_000_000_000
_EXAMPLE = 'send {"concurrency": [{"limit": 5, "key": "event.data.userId"}], "throttle": {"limit": 10, "period": "1m"}}'


class _PauseAsked(msgspec.Struct, forbid_unknown_fields=True):
    key: str | None = None


class _ConcurrencyAsked(msgspec.Struct, forbid_unknown_fields=True):
    limit: int
    key: str = ""
    scope: str = "function"


class _RateAsked(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 0
    period: str | int | float = 0
    burst: int = -1


class _LimitsAsked(msgspec.Struct, forbid_unknown_fields=True):
    concurrency: list[_ConcurrencyAsked] = []
    throttle: _RateAsked | None = None
    rate_limit: _RateAsked | None = None


class Switches:
    """The endpoints. `known` gives what stands on the functions topic, by record key, as the node has read it."""

    def __init__(
        self,
        broadcast: GiveBroadcast,
        give: GiveOrder,
        known: Callable[[], Mapping[bytes, bytes]],
        archive: ArchiveReader,
        clock: Clock,
    ) -> None:
        self._broadcast = broadcast
        self._give = give
        self._known = known
        self._archive = archive
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/limits", answered(self.list_limits), methods=["GET"]),
            Route("/v1/functions/{function_id}/limits", answered(self.set_limits), methods=["POST"]),
            Route("/v1/functions/{function_id}/limits", answered(self.reset_limits), methods=["DELETE"]),
            Route("/v1/functions/{function_id}/pause", answered(self.pause), methods=["POST"]),
            Route("/v1/functions/{function_id}/resume", answered(self.resume), methods=["POST"]),
            Route("/v1/runs/{run_id}/resume", answered(self.resume_run), methods=["POST"]),
        ]

    async def pause(self, request: Request) -> Response:
        """Answer `POST /v1/functions/{id}/pause`."""
        return await self._switch(request, paused=True)

    async def resume(self, request: Request) -> Response:
        """Answer `POST /v1/functions/{id}/resume`."""
        return await self._switch(request, paused=False)

    async def _switch(self, request: Request, *, paused: bool) -> Response:
        definition = self._definition(request)
        body = await read_body(request, _BODY_BYTES_MAX)
        key = read_json(body, _PauseAsked, 'send {"key": "customer-7"}, or nothing for the whole function').key
        if key is not None and not any(limit.key for limit in definition.concurrency):
            raise BadRequest(
                "function_has_no_key",
                f"{definition.id} has no concurrency key, so there is no key of it to pause",
                why="a key is the value of the first keyed limit in concurrency=",
                do="pause the whole function: leave the key out",
            )
        record = pause_key(definition.id, None if key is None else key.encode())
        await self._broadcast(record, msgspec.json.encode(Pause(paused)))
        return enveloped({"function_id": definition.id, "key": key, "paused": paused}, self._clock.wall_ms())

    async def list_limits(self, request: Request) -> Response:
        """Answer `GET /v1/limits`: each function that has limits, or is paused, with what is in force."""
        known = self._known()
        paused: dict[str, list[str]] = {}
        for record, value in sorted(known.items()):
            kind, name = split_broadcast_key(record)
            if kind == PAUSE and is_paused(value):
                function_id, _, key = name.partition("/")
                paused.setdefault(function_id, []).append(key)
        shown = []
        for record, value in sorted(known.items()):
            kind, function_id = split_broadcast_key(record)
            if not kind:
                live = known.get(limits_key(function_id))
                found = _limits_fields(decode_definition(value), live, paused.get(function_id, []))
                if found["limits"] or found["paused"] or found["paused_keys"]:
                    shown.append(found)
        return enveloped(shown, self._clock.wall_ms())

    async def set_limits(self, request: Request) -> Response:
        """Answer `POST /v1/functions/{id}/limits`: numbers that are given take the place of those before."""
        definition = self._definition(request)
        asked: _LimitsAsked = read_json(await read_body(request, _BODY_BYTES_MAX), _LimitsAsked, _EXAMPLE)
        if not asked.concurrency and asked.throttle is None and asked.rate_limit is None:
            raise BadRequest("limits_missing", "no limit is given", why="there is nothing to change", do=_EXAMPLE)
        before = self._known().get(limits_key(definition.id))
        live = LiveLimits() if before is None else read_limits(before)
        limits = {(limit.scope, limit.key): limit for limit in live.concurrency}
        for wanted in asked.concurrency:
            limits[wanted.scope, wanted.key] = _concurrency(wanted)
        changed = LiveLimits(
            list(limits.values()),
            _rate(asked.throttle, definition.throttle, "throttle", live.throttle),
            _rate(asked.rate_limit, definition.rate_limit, "rate_limit", live.rate_limit),
        )
        await self._broadcast(limits_key(definition.id), msgspec.json.encode(changed))
        return enveloped(_limits_fields(definition, msgspec.json.encode(changed), []), self._clock.wall_ms())

    async def reset_limits(self, request: Request) -> Response:
        """Answer `DELETE /v1/functions/{id}/limits`: what is declared is in force again."""
        definition = self._definition(request)
        await self._broadcast(limits_key(definition.id), msgspec.json.encode(LiveLimits()))
        return enveloped(_limits_fields(definition, None, []), self._clock.wall_ms())

    async def resume_run(self, request: Request) -> Response:
        """Answer `POST /v1/runs/{id}/resume`; a run that is not parked stays as it is, and that is an error."""
        run_id, now_ms = request.path_params["run_id"], self._clock.wall_ms()
        found, lag = await self._archive.ask(lambda archive: (find_run(archive, run_id), read_lag(archive, now_ms)))
        if found is None:
            raise unknown_run(run_id, lag)
        if found.row.phase != "parked":
            raise BadRequest(
                "run_not_parked",
                f"the run {run_id} is not parked: {found.row.status}, {found.row.phase or 'no phase'}",
                status=409,
                why='a run is parked when its retries are spent, if its function says on_exhausted="park"',
                do="headrace runs shows the phase of each run",
            )
        await self._give(found.row.partition, ResumeRun(run_id))
        return enveloped({"run_id": run_id}, now_ms)

    def _definition(self, request: Request) -> Definition:
        known = self._known()
        ids = {name for kind, name in map(split_broadcast_key, known) if not kind}
        function_id = known_function(request.path_params["function_id"], ids)
        return decode_definition(known[function_id.encode()])


def _concurrency(asked: _ConcurrencyAsked) -> Concurrency:
    if asked.scope not in ("function", "app", "account"):
        raise BadRequest(
            "scope_unknown", f"the scope is {asked.scope!r}", why="it is function, app or account", do=_EXAMPLE
        )
    if asked.key:
        try:
            compile_expression(asked.key, variables=("event",), option="key")
        except BadDeclaration as error:
            raise BadRequest(error.code, error.what, why=error.why, do=error.do) from None
    return Concurrency(_limit(asked.limit, "concurrency"), asked.key, asked.scope)


def _limit(limit: int, name: str) -> int:
    if 1 <= limit <= _LIMIT_MAX:
        return limit
    raise BadRequest(
        "limit_invalid",
        f"the limit of {name} is {limit}",
        why=f"it is a whole number from 1 to {_LIMIT_MAX}",
        do="to let nothing begin, pause the function",
    )


def _rate(asked: _RateAsked | None, declared: object, name: str, before: LiveRate | None) -> LiveRate | None:
    if asked is None:
        return before
    if declared is None:
        raise BadRequest(
            "limit_not_declared",
            f"the function declares no {name}",
            why="its numbers can be changed while it runs; it cannot be added without a deploy",
            do="declare it, or set concurrency, which can be added",
        )
    try:
        period_ms = parse_duration_ms(asked.period) if asked.period else 0
    except BadDeclaration as error:
        raise BadRequest(error.code, error.what, why=error.why, do=error.do) from None
    before = before or LiveRate()
    return LiveRate(
        _limit(asked.limit, name) if asked.limit else before.limit,
        period_ms or before.period_ms,
        before.burst if asked.burst < 0 else asked.burst,
    )


def _limits_fields(declared: Definition, live: bytes | None, paused: list[str]) -> dict[str, Any]:
    limits = LiveLimits() if live is None else read_limits(live)
    now = with_limits(declared, limits)
    set_live = {(limit.scope, limit.key) for limit in limits.concurrency}
    shown: list[dict[str, Any]] = [
        {
            "kind": "concurrency",
            "limit": limit.limit,
            "key": limit.key or None,
            "scope": limit.scope,
            "live": (limit.scope, limit.key) in set_live,
        }
        for limit in now.concurrency
    ]
    for kind, rate, changed in (
        ("throttle", now.throttle, limits.throttle),
        ("rate_limit", now.rate_limit, limits.rate_limit),
    ):
        if rate is not None:
            fields = msgspec.structs.asdict(rate)
            shown.append({"kind": kind, **fields, "key": rate.key or None, "live": changed is not None})
    return {
        "function_id": declared.id,
        "limits": shown,
        "paused": "" in paused,
        "paused_keys": [key for key in paused if key],
    }
