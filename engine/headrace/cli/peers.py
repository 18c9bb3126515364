"""Peers: what nodes of a cluster ask each other for, because only one of them has it.

A run's events and memos are with the node that owns it, and so is the call that an app reports about; an app's workers
are connected to one node, and whoever listens for messages to another. Each node listens on a port for the others
alone, and says on the control topic where that is, with a token: whoever may read that topic is a node.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.http_client import HttpAnswer, HttpClient, NoAnswer, NotReached
from headrace.cli.listening import WebServer, take_port
from headrace.console.realtime_relay import RELAYED_BYTES_MAX
from headrace.execution.sdk.answer import ANSWER_BYTES_MAX, Op
from headrace.execution.sdk.http_caller import CALL_S
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.execution.sdk.seams import Answer, AppCall, AppCaller, AppUnreachable, CallBroken
from headrace.intake.body import read_body
from headrace.worker.adverts import Adverts, NodeAdvert

_TOKEN_HEADER = "x-headrace-peer"
_ASK_S = 10.0
_PASS_S = 2.0
_STATE_BYTES_MAX = 128 << 20
_LOOK_S = 0.5


class _Checkpoint(msgspec.Struct):
    run_id: str
    request_id: str
    steps: list[Op]


class _Told(msgspec.Struct):
    """What a call over another node came to."""

    answer: tuple[int, dict[str, str], bytes] | None = None
    unreachable: str = ""
    broken: tuple[str, str] | None = None


class Peers:
    """The other nodes, as far as they have said where they are; and this one's port for them.

    `workers` calls the workers that are connected here, and `ready_apps` names their apps. Without them no app is
    called through this node.
    """

    def __init__(
        self,
        node: str,
        host: str,
        adverts: Adverts,
        execution: SdkExecution,
        workers: AppCaller | None = None,
        ready_apps: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._node = node
        self._host = host
        self._adverts = adverts
        self._execution = execution
        self._workers = workers
        self._ready_apps = ready_apps
        self._token = secrets.token_urlsafe(24)
        self._client = HttpClient()  # nodes of a cluster are where they are
        self._server: WebServer | None = None
        self._address = ""
        self._said: NodeAdvert | None = None
        self._telling: asyncio.Task[None] | None = None
        self.on_passed: Callable[[bytes], None] | None = None  # takes what other nodes pass on to all
        self.on_reply: Callable[[bytes], object] | None = None  # takes answers of workers that came to another node

    def serve_workers(self, workers: AppCaller, ready_apps: Callable[[], Iterable[str]]) -> None:
        """Have apps called through the workers that are connected here."""
        self._workers = workers
        self._ready_apps = ready_apps

    async def start(self) -> None:
        """Listen for other nodes, and tell them where."""
        bound = take_port(self._host, 0)
        self._address = _address(self._host, bound)
        routes = [
            Route("/runs/{run_id}/batch", self._answer_events, methods=["GET"]),
            Route("/runs/{run_id}/actions", self._answer_memos, methods=["GET"]),
            Route("/checkpoint", self._answer_checkpoint, methods=["POST"]),
            Route("/call", self._answer_call, methods=["POST"]),
            Route("/passed", self._take_passed, methods=["POST"]),
            Route("/reply", self._take_reply, methods=["POST"]),
        ]
        self._server = WebServer(Starlette(routes=routes), bound)
        await self._server.start()
        self._adverts.on_node = self._hear
        self._telling = asyncio.create_task(self._tell(), name="peers")

    async def stop(self) -> None:
        """Listen no more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            self._adverts.say_node(NodeAdvert(self._node))
        if self._server is not None:
            await self._server.stop()
        await self._client.close()

    async def _tell(self) -> None:
        while True:
            advert = NodeAdvert(self._node, self._address, self._token, sorted(set(self._ready_apps())))
            if advert != self._said or self._adverts.nodes.get(self._node, advert) != advert:
                self._said = advert
                self._adverts.say_node(advert)
            await asyncio.sleep(_LOOK_S)

    def _hear(self, advert: NodeAdvert) -> None:
        for app in advert.apps:
            self._execution.app_is_back(app)

    # --- what this node asks --------------------------------------------------------------------------------------

    async def events_of(self, run_id: str) -> bytes | None:
        """Give what started a run, JSON, whoever owns it; None for one that nobody has."""
        found = self._execution.events_of(run_id)
        return found if found is not None else await self._ask_all(f"/runs/{run_id}/batch")

    async def memos_of(self, run_id: str) -> bytes | None:
        """Give what a run's steps came to, JSON, whoever owns it; None for one that nobody has."""
        found = self._execution.memos_of(run_id)
        return found if found is not None else await self._ask_all(f"/runs/{run_id}/actions")

    async def checkpoint(self, run_id: str, request_id: str, ops: list[Op]) -> bool:
        """Record steps with the node that owns their run; False if the call that made them counts no more."""
        if self._execution.find(run_id) is not None:
            return await self._execution.checkpoint(run_id, request_id, ops)
        body = msgspec.json.encode(_Checkpoint(run_id, request_id, ops))
        return await self._ask_all("/checkpoint", body) is not None

    async def _ask_all(self, path: str, body: bytes | None = None) -> bytes | None:
        answers = await asyncio.gather(*(self._ask(peer, path, body, _ASK_S) for peer in self._others()))
        return next((answer.body for answer in answers if answer is not None and answer.status == 200), None)

    async def _ask(self, peer: NodeAdvert, path: str, body: bytes | None, timeout_s: float) -> HttpAnswer | None:
        try:
            return await self._request(peer, path, body, timeout_s)
        except (NotReached, NoAnswer):
            return None  # it has ended, and another one has its runs

    def _request(self, peer: NodeAdvert, path: str, body: bytes | None, timeout_s: float) -> Awaitable[HttpAnswer]:
        return self._client.request(
            "GET" if body is None else "POST",
            f"http://{peer.address}{path}",
            {_TOKEN_HEADER: peer.token},
            body,
            timeout_s=timeout_s,
            bytes_max=_STATE_BYTES_MAX,
        )

    def _others(self) -> list[NodeAdvert]:
        return [peer for peer in self._adverts.nodes.values() if peer.address and peer.node != self._node]

    @property
    def alone(self) -> bool:
        """Whether there are no other nodes, as far as is known."""
        return not self._others()

    async def pass_on(self, content: bytes) -> None:
        """Give something to all other nodes (their `on_passed`); one that cannot be reached in time goes without."""
        await asyncio.gather(*(self._ask(peer, "/passed", content, _PASS_S) for peer in self._others()))

    async def pass_reply(self, reply: bytes) -> None:
        """Give the answer of a worker to whichever node has called it: the worker may be connected here by now."""
        await asyncio.gather(*(self._ask(peer, "/reply", reply, _PASS_S) for peer in self._others()))

    async def call(self, call: AppCall) -> Answer:
        """Call an app through the workers that are connected here, or to another node; see `AppCaller`."""
        others = [peer for peer in self._others() if call.app in peer.apps]
        if self._workers is not None and (not others or call.app in self._ready_apps()):
            return await self._workers.call(call)
        reason = f"no worker of the app {call.app!r} is connected"
        for peer in others:
            try:
                answer = await self._request(peer, "/call", msgspec.json.encode(call), CALL_S)
            except NotReached as error:
                reason = str(error)
                continue
            except NoAnswer as error:
                raise CallBroken(error.name, str(error)) from None
            if answer.status != 200:
                continue
            told = msgspec.json.decode(answer.body, type=_Told)
            if told.answer is not None:
                return Answer(*told.answer)
            if told.broken is not None:
                raise CallBroken(*told.broken)
            reason = told.unreachable
        raise AppUnreachable(reason)

    # --- what other nodes ask ---------------------------------------------------------------------------------------

    def _refused(self, request: Request) -> Response | None:
        shown = request.headers.get(_TOKEN_HEADER, "")
        known = hmac.compare_digest(shown.encode("utf-8", "replace"), self._token.encode())
        return None if known else Response(status_code=401)

    async def _answer_events(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        found = self._execution.events_of(request.path_params["run_id"])
        return Response(status_code=404) if found is None else Response(found)

    async def _answer_memos(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        found = self._execution.memos_of(request.path_params["run_id"])
        return Response(status_code=404) if found is None else Response(found)

    async def _answer_checkpoint(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        told = msgspec.json.decode(await read_body(request, 2 * ANSWER_BYTES_MAX), type=_Checkpoint)
        recorded = await self._execution.checkpoint(told.run_id, told.request_id, told.steps)
        return Response(status_code=200 if recorded else 409)

    async def _take_passed(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is None and self.on_passed is not None:
            self.on_passed(await read_body(request, RELAYED_BYTES_MAX))
        return refused or Response(status_code=204)

    async def _take_reply(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is None and self.on_reply is not None:
            self.on_reply(await read_body(request, 2 * ANSWER_BYTES_MAX))
        return refused or Response()

    async def _answer_call(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None or self._workers is None:
            return refused or Response(status_code=404)
        call = msgspec.json.decode(await read_body(request, _STATE_BYTES_MAX), type=AppCall)
        try:
            status, headers, body = await self._workers.call(call)
            told = _Told((status, dict(headers), body))
        except AppUnreachable as error:
            told = _Told(unreachable=str(error))
        except CallBroken as error:
            told = _Told(broken=(error.name, error.message))
        return Response(msgspec.json.encode(told))


def _address(host: str, bound: socket.socket) -> str:
    """Tell where other nodes find a port: on a node that listens everywhere, under the machine's name."""
    port: int = bound.getsockname()[1]
    if host in ("0.0.0.0", "::", "[::]"):
        host = socket.getfqdn()
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
