"""A node's side for who listens, and for apps with durable endpoints: messages, tokens, outputs of endpoints."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from starlette.routing import BaseRoute

from headrace.cli.assembly import Assembly
from headrace.cli.logs import tell
from headrace.cli.peers import Peers
from headrace.cli.plan import Plan
from headrace.console.archive_reader import ArchiveReader
from headrace.console.endpoint_outputs import EndpointOutputs
from headrace.console.endpoints import Endpoints
from headrace.console.orders import GiveOrder
from headrace.console.realtime import Realtime
from headrace.console.realtime_relay import RelayBus
from headrace.console.realtime_tokens import RealtimeTokens
from headrace.console.web_tokens import TokenKeys
from headrace.intake.access import Access
from headrace.records.definitions import Backoff
from headrace.worker.ownership import State

# What checks keys or tokens by itself: whoever listens has a token and no key.
KEYLESS_PATHS = ("/v1/realtime/", "/v1/http/")


class RealtimeSide:
    """The endpoints, on the bus of this node, which passes on to its peers."""

    def __init__(
        self,
        plan: Plan,
        parts: Assembly,
        peers: Peers,
        archive: ArchiveReader,
        access: Access,
        give: GiveOrder,
        broadcast: Callable[[bytes, bytes], Awaitable[None]],
    ) -> None:
        clock = parts.clock
        self._bus = RelayBus(peers, tell)
        peers.on_passed = self._bus.take
        # All nodes take each other's tokens where they share a signing key; without one they last as long as this node.
        signing = [key for key in (plan.keys.signing, plan.keys.signing_fallback) if key] or [secrets.token_hex(32)]
        tokens = RealtimeTokens(TokenKeys.derive(signing, "realtime"), clock)
        outputs = TokenKeys.derive(signing, "outputs of runs")
        interval_ms = plan.retry_interval_ms
        backoff = Backoff("sdk") if interval_ms is None else Backoff("fixed", interval_ms, interval_ms, 0.0)
        node = parts.node
        self._realtime = Realtime(self._bus, tokens, access, clock)
        self._endpoints = Endpoints(
            parts.endpoints,
            parts.sdk,
            give,
            broadcast,
            lambda: [partition for partition, owned in node.owned.items() if owned.state is State.RUNNING],
            tokens,
            outputs,
            clock,
            backoff,
        )
        self._outputs = EndpointOutputs(archive, outputs, clock)

    def routes(self) -> list[BaseRoute]:
        """List the routes."""
        return [*self._realtime.routes(), *self._endpoints.routes(), *self._outputs.routes()]

    async def stop(self) -> None:
        """Let all listeners go, so that the server can stop."""
        self._realtime.close()
        await self._bus.stop()
