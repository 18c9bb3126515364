"""The side of a node where workers of SDKs connect: the gateway on a port of its own, and what they ask over HTTP."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from headrace.adapters.web_sockets import WebSocketListener
from headrace.cli.listening import take_port
from headrace.cli.logs import tell
from headrace.cli.peers import Peers
from headrace.cli.plan import Plan
from headrace.console.connect_api import ConnectApi
from headrace.console.connect_tokens import ConnectTokens
from headrace.errors import NotReady
from headrace.execution.connect.gateway import ConnectGateway
from headrace.execution.connect.messages import Reply
from headrace.execution.connect.settings import FRAME_BYTES_MAX, PATH, PROTOCOL
from headrace.execution.connect.wire import Malformed, decode, encode
from headrace.intake.access import KeyRing
from headrace.intake.registrations import Registrations

if TYPE_CHECKING:
    from headrace.cli.assembly import Assembly

ADDRESS_VARIABLE = "HEADRACE_CONNECT_GATEWAY_URL"


class ConnectSide:
    """The parts, wired: runs of this node and of its peers are called through the workers that connect here."""

    def __init__(self, plan: Plan, parts: Assembly, registrations: Registrations, peers: Peers) -> None:
        # All nodes take each other's tokens where they share a signing key; without one they last as long as this node.
        signing = [key for key in (plan.keys.signing, plan.keys.signing_fallback) if key] or [secrets.token_hex(32)]
        tokens = ConnectTokens(KeyRing(signing), parts.clock)
        self._gateway = ConnectGateway(registrations.take, tokens.admit, parts.clock, pass_on=self._pass_on)
        self._gateway.on_ready(parts.sdk.app_is_back)
        self._peers = peers
        self._passing: set[asyncio.Task[None]] = set()
        peers.serve_workers(self._gateway, self._gateway.ready_apps)
        peers.on_reply = self._take_passed
        bound = take_gateway_port(plan)
        self._listener = WebSocketListener(bound, PATH, PROTOCOL, FRAME_BYTES_MAX, self._gateway.attend)
        address = plan.variables.get(ADDRESS_VARIABLE, "").strip()
        self._api = ConnectApi(self._gateway, tokens, parts.clock, port=int(bound.getsockname()[1]), address=address)

    def _pass_on(self, reply: Reply) -> None:
        if not self._peers.alone:
            passing = asyncio.create_task(self._peers.pass_reply(encode(reply)), name="reply-passed-on")
            self._passing.add(passing)
            passing.add_done_callback(self._passing.discard)

    def _take_passed(self, body: bytes) -> None:
        with suppress(Malformed):
            self._gateway.take_passed(decode(Reply, body))

    def routes(self) -> list[BaseRoute]:
        """List the routes."""
        return [*self._api.routes()]

    async def start(self) -> None:
        """Let workers connect."""
        await self._listener.start()

    def begin_drain(self) -> None:
        """Give workers no more calls, and tell them to connect elsewhere."""
        self._gateway.begin_drain()

    async def stop(self) -> None:
        """Close the connections of all workers."""
        await self._gateway.stop()
        await self._listener.stop()


def take_gateway_port(plan: Plan) -> socket.socket:
    """Listen on the gateway's port, or any other one where it was not named and is taken; NotReady where it was named.

    Workers are told which one it is.
    """
    try:
        return take_port(plan.host, plan.gateway_port)
    except NotReady as error:
        if plan.connect_port is not None:
            do = "stop it, or choose another port: --connect-gateway-port"
            raise NotReady(error.code, error.what, why=error.why, do=do) from None
        bound = take_port(plan.host, 0)
        port = bound.getsockname()[1]
        tell("gateway_port_taken", f"{error.what}; workers that connect are sent to port {port} instead")
        return bound
