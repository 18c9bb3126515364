"""A node's HTTP side with realtime alone, on a real port, and subscribers that connect to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware

from headrace.adapters.system_clock import SystemClock
from headrace.cli.listening import WebServer, take_port
from headrace.console.guard import Guard, GuardSettings
from headrace.console.realtime import Realtime
from headrace.console.realtime_bus import BusLimits, LocalBus
from headrace.console.realtime_streams import StreamTimes
from headrace.console.realtime_tokens import ISSUER, RealtimeTokens
from headrace.console.sessions import Sessions
from headrace.console.web_tokens import TokenKeys
from headrace.intake.access import Access

DEADLINE_S = 10.0
TOPICS = [{"channel": "user:7", "name": "chat", "kind": "run"}]


class World:
    """A server under `url`, and a client."""

    def __init__(self, access: Access, limits: BusLimits | None, times: StreamTimes | None) -> None:
        clock = SystemClock()
        self.bus = LocalBus(limits)
        self.keys = TokenKeys([b"secret"])
        self.tokens = RealtimeTokens(self.keys, clock)
        self.realtime = Realtime(self.bus, self.tokens, access, clock, times)
        guard = GuardSettings(access, keyless_paths=("/v1/realtime/",))
        self.app = Starlette(
            routes=self.realtime.routes(),
            middleware=[Middleware(Guard, settings=guard, sessions=Sessions(access.api_keys, clock))],
        )
        self.url = ""
        self.client: aiohttp.ClientSession

    async def post(
        self, path: str, body: Any, *, key: str = "", content_type: str = "application/json", **more: Any
    ) -> tuple[int, bytes]:
        """Send a request; the status and the body of its answer."""
        data = msgspec.json.encode(body) if isinstance(body, dict | list) else body
        headers = {"content-type": content_type, **({"authorization": f"Bearer {key}"} if key else {})}
        async with self.client.post(self.url + path, data=data, headers=headers, **more) as answer:
            return answer.status, await answer.read()

    async def token(self, topics: Any = None) -> str:
        """Get a subscriber's token."""
        status, body = await self.post("/v1/realtime/token", TOPICS if topics is None else topics)
        assert status == 201, body
        jwt = msgspec.json.decode(body)["jwt"]
        assert isinstance(jwt, str)
        return jwt

    def publisher(self, expiry_s: int = 60) -> str:
        """Make a publisher's token."""
        now_s = SystemClock().wall_ms() // 1000
        return self.keys.sign({"iss": ISSUER, "iat": now_s, "exp": now_s + expiry_s, "publish": True})

    @contextlib.asynccontextmanager
    async def socket(self, token: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Listen on a WebSocket, until the server knows of it."""
        before = self.bus.subscribers
        async with self.client.ws_connect(f"{self.url}/v1/realtime/connect", params={"token": token}) as socket:
            await self.until(lambda: self.bus.subscribers == before + 1)
            yield socket

    @contextlib.asynccontextmanager
    async def events(self, token: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Listen for server-sent events, until the server knows of it."""
        async with self.client.get(f"{self.url}/v1/realtime/sse", params={"token": token}) as answer:
            assert answer.status == 200, await answer.read()
            yield answer

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                await asyncio.sleep(0.002)


async def heard(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """Take the next message from a socket."""
    message = msgspec.json.decode(await socket.receive_str(timeout=DEADLINE_S))
    assert isinstance(message, dict)
    return message


async def read_until(answer: aiohttp.ClientResponse, end: bytes) -> bytes:
    """Read server-sent events up to some bytes."""
    read = b""
    async with asyncio.timeout(DEADLINE_S):
        while end not in read:
            chunk = await answer.content.readany()
            assert chunk, f"it ended behind {read[-200:]!r}"
            read += chunk
    return read


async def next_event(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """Take the next server-sent event that carries a message."""
    event = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), DEADLINE_S)
    message = msgspec.json.decode(event.removeprefix(b"data: "))
    assert isinstance(message, dict)
    return message


def in_world(
    play: Callable[[World], Awaitable[None]],
    *,
    access: Access | None = None,
    limits: BusLimits | None = None,
    times: StreamTimes | None = None,
) -> None:
    """Play a test against a server that listens."""

    async def run() -> None:
        world = World(access or Access(), limits, times)
        bound = take_port("127.0.0.1", 0)
        world.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        server = WebServer(world.app, bound)
        await server.start()
        try:
            async with aiohttp.ClientSession() as client:
                world.client = client
                await play(world)
        finally:
            world.realtime.close()
            await server.stop()

    asyncio.run(run())
