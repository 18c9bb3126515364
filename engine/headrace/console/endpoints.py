"""Durable endpoints: runs that begin in an app, within a request of somebody else (SDK protocol page, section 3.9).

`POST /v1/checkpoint` says that one has begun, `POST /v1/checkpoint/{id}/steps` what it did since, and whoever asked for
the endpoint learns what it came to at `GET /v1/http/runs/{id}/output?token=` if that takes longer than the request.

The run is placed on a partition that this node owns, so that what the app reports arrives where the run is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import json_answer
from headrace.console.endpoint_reports import (
    NewRun,
    Reported,
    Steps,
    definition_of,
    event_of,
    read_steps,
    stable_uuid,
)
from headrace.console.orders import GiveOrder, read_json
from headrace.console.realtime_messages import ENVIRONMENT, RAW_TOPIC, Topic
from headrace.console.realtime_tokens import RealtimeTokens
from headrace.console.rest import answered
from headrace.console.web_tokens import TokenKeys
from headrace.errors import BadRequest
from headrace.execution.sdk.answer import ANSWER_BYTES_MAX
from headrace.execution.sdk.endpoint_caller import EndpointCaller, UnderWay
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.intake.body import read_body
from headrace.records.definitions import Backoff, Definition, encode_definition
from headrace.records.ids import is_ulid, partition_of
from headrace.records.rows import Start

ISSUER = "api.inngest.com"
_SUBJECT = "run-claim"
_TOKEN_S = 3_600
_STREAM_S = 16 * 60
_BEGIN_S = 10.0  # the SDK asks again
_DEFINED_S = 10.0
_SETTLED_S = 10.0
_LOOK_S = 0.002
_ENDED_MAX = 10_000

Broadcast = Callable[[bytes, bytes], Awaitable[None]]


class Endpoints:
    """The endpoints that the SDK reports to. `owned` gives the partitions that run on this node."""

    def __init__(
        self,
        caller: EndpointCaller,
        execution: SdkExecution,
        give: GiveOrder,
        broadcast: Broadcast,
        owned: Callable[[], Sequence[int]],
        tokens: RealtimeTokens,
        keys: TokenKeys,
        clock: Clock,
        backoff: Backoff | None = None,
    ) -> None:
        self._caller = caller
        self._execution = execution
        self._give = give
        self._broadcast = broadcast
        self._owned = owned
        self._tokens = tokens
        self._keys = keys
        self._clock = clock
        self._backoff = backoff or Backoff("sdk")
        self._over: OrderedDict[str, None] = OrderedDict()  # runs whose own call has come to something
        self._functions: dict[str, set[str]] = {}  # by app

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/checkpoint", answered(self.begin), methods=["POST"]),
            Route("/v1/checkpoint/{run_id}/steps", answered(self.report), methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Answer `POST /v1/checkpoint` once the run is there and what it has done so far is recorded."""
        body = await read_body(request, 2 * ANSWER_BYTES_MAX)
        told: NewRun = read_json(body, NewRun, 'send {"run_id", "event", "steps", "request_version", "retries"}')
        run_id = told.run_id
        if not is_ulid(run_id):
            raise BadRequest("run_id_invalid", f"{run_id[:60]!r} is no id of a run", why="it is a ULID")
        reported = read_steps(told.steps or [], told.request_version)
        definition = self._definition(told)
        if run_id not in self._over:
            began = self._caller.under_way(run_id) or await self._begin(body, told, definition)
            await self._begun(began)
            await self._take(run_id, began, reported)
        return self._begin_answer(run_id, definition)

    async def report(self, request: Request) -> Response:
        """Answer `POST /v1/checkpoint/{id}/steps` once what is reported is recorded."""
        run_id: str = request.path_params["run_id"]
        body = await read_body(request, 2 * ANSWER_BYTES_MAX)
        told: Steps = read_json(body, Steps, 'send {"steps": [...]}')
        reported = read_steps(told.steps, 2)
        if run_id not in self._over:
            began = self._caller.under_way(run_id)
            if began is None:
                raise _superseded()
            await self._take(run_id, began, reported)
        return json_answer(200, {"data": {}})

    def _definition(self, told: NewRun) -> Definition:
        app = definition_of(told, 0, self._backoff)
        functions = self._functions.setdefault(app.app, set())
        known = 0 if app.id in functions else len(functions)
        definition = definition_of(told, known, self._backoff)
        functions.add(definition.id)
        return definition

    async def _begin(self, body: bytes, told: NewRun, definition: Definition) -> UnderWay:
        now_ms = self._clock.wall_ms()
        event = event_of(body, told, now_ms)
        partitions = sorted(self._owned())
        began = self._caller.expect(told.run_id) if partitions else None
        if began is None:
            raise _not_now("no partition runs on this node" if not partitions else "too many runs of endpoints go on")
        try:
            await self._define(definition)
            place = partitions[partition_of(told.run_id.encode(), len(partitions))]
            await self._give(place, Start(definition.id, told.run_id, [event], now_ms))
        except BaseException:
            self._caller.forget(told.run_id)
            raise
        return began

    async def _define(self, definition: Definition) -> None:
        """Have the whole cluster know an endpoint's function, before a run of it begins."""
        if self._execution.definition(definition.id) == definition:
            return
        await self._broadcast(definition.id.encode(), encode_definition(definition))
        if not await _until(lambda: self._execution.definition(definition.id) == definition, _DEFINED_S):
            raise _not_now("the endpoint's function is not known yet")

    async def _begun(self, began: UnderWay) -> None:
        try:
            async with asyncio.timeout(_BEGIN_S):
                await began.begun.wait()
        except TimeoutError:
            raise _not_now("the run has not begun yet") from None

    async def _take(self, run_id: str, began: UnderWay, reported: Reported) -> None:
        began.hear()
        if reported.made and not await self._execution.checkpoint(run_id, "", reported.made):
            raise _superseded()
        if reported.answer is None:
            return
        if began.answer.done():
            raise _superseded()
        began.answer.set_result(reported.answer)
        self._over[run_id] = None
        if len(self._over) > _ENDED_MAX:
            self._over.popitem(last=False)
        # The app answers whoever asked once this is answered: from then on it should not have to do it again.
        if not await _until(lambda: self._is_settled(run_id), _SETTLED_S):
            raise _not_now("what the run came to is not recorded yet")

    def _is_settled(self, run_id: str) -> bool:
        return self._caller.under_way(run_id) is None and self._execution.settled(run_id)

    def _begin_answer(self, run_id: str, definition: Definition) -> Response:
        now_s = self._clock.wall_ms() // 1_000
        claims = {"iss": ISSUER, "sub": _SUBJECT, "iat": now_s, "exp": now_s + _TOKEN_S}
        told: dict[str, Any] = {
            "fn_id": stable_uuid(definition.id),
            "app_id": stable_uuid(definition.app),
            "run_id": run_id,
            "token": self._keys.sign({**claims, "Env": ENVIRONMENT, "RunID": run_id}),
            "realtime_token": self._tokens.for_subscriber([Topic(run_id, RAW_TOPIC)], _STREAM_S),
        }
        return json_answer(200, {"data": told})


async def _until(holds: Callable[[], bool], within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while not holds():
        if loop.time() > deadline_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


def _superseded() -> BadRequest:
    return BadRequest(
        "call_superseded",
        "this call of the endpoint counts no more",
        status=409,
        why="its run has ended, goes on without it, or is on another node",
        do="stop executing it; let the app talk to one node",
    )


def _not_now(what: str) -> BadRequest:
    return BadRequest(
        "run_not_taken", what, status=503, why="Kafka or this node is not ready", do="report it again in a moment"
    )
