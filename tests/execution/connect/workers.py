"""Workers of apps, played by tests: frames as SDKs send them, over sockets in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from headrace.execution.connect.gateway import ConnectGateway
from headrace.execution.connect.messages import (
    Envelope,
    ExecutorRequest,
    ExtendLease,
    ExtendLeaseAck,
    Kind,
    Named,
    Reply,
    Tokens,
    WorkerApp,
    WorkerConnect,
    frame,
)
from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.connect.wire import M, decode
from headrace.execution.sdk.seams import AppCall

CONNECTION = "01KAM0000000000000000000AA"
WALL_MS = 1_767_225_600_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def monotonic_ms(self) -> int:
        """Return the time."""
        return self.now_ms

    def wall_ms(self) -> int:
        """Return the time of the calendar."""
        return WALL_MS + self.now_ms


def function(function_id: str) -> dict[str, Any]:
    """Write a function as SDKs register it."""
    runtime = {"type": "http", "url": f"wss://connect?fnId={function_id}&stepId=step"}
    return {
        "id": function_id,
        "name": function_id,
        "triggers": [{"event": "a/b"}],
        "steps": {"step": {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": 3}}},
    }


def app(name: str = "shop", functions: tuple[str, ...] = ("shop-pay",)) -> WorkerApp:
    """Make an app as a worker names it."""
    return WorkerApp(name, "v7", msgspec.json.encode([function(one) for one in functions]))


def hello(
    *apps: WorkerApp,
    instance: str = "one",
    connection: str = CONNECTION,
    token: str = "good",
    manual: bool = False,
    capacity: int | None = None,
) -> bytes:
    """Write the frame with which a worker introduces itself."""
    return frame(
        Kind.WORKER_CONNECT,
        WorkerConnect(
            connection_id=connection,
            instance_id=instance,
            auth_data=Tokens(token, ""),
            capabilities=b'{"connect":"v1"}',
            apps=list(apps),
            worker_manual_readiness_ack=manual,
            framework="connect",
            sdk_language="py",
            sdk_version="0.5.18",
            max_worker_concurrency=capacity,
        ),
    )


def reply(request_id: str, body: bytes = b'"done"', status: int = 1) -> Reply:
    """Make a worker's answer."""
    return Reply(request_id, status, body, False, None, "inngest-py:v0.5.18", 2)


def app_call(number: int = 1, *, app_name: str = "shop", function_id: str = "shop-pay") -> AppCall:
    """Make a call."""
    return AppCall(
        app_name,
        function_id,
        f"wss://connect?fnId={function_id}&stepId=step",
        "01KAM0000000000000000000RR",
        "step",
        f"request-{number}",
        f"job-{number}",
        -1,
        b'{"event":{}}',
    )


class PlayedSocket:
    """A WebSocket whose other end is the test."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[Envelope] = []
        self.closed: tuple[int, str] | None = None

    def send(self, data: bytes) -> None:
        """Take a frame from the gateway."""
        if self.closed is None:
            self.sent.append(decode(Envelope, data))

    def close(self, code: int, reason: str) -> None:
        """Be closed by the gateway."""
        if self.closed is None:
            self.closed = (code, reason)
            self._inbox.put_nowait(None)

    async def receive(self) -> bytes | None:
        """Give the gateway a frame."""
        return await self._inbox.get()

    def say(self, data: bytes) -> None:
        """Send a frame to the gateway."""
        self._inbox.put_nowait(data)

    def break_off(self) -> None:
        """Lose the connection."""
        self._inbox.put_nowait(None)

    def kinds(self) -> list[int]:
        """List the kinds of the frames that came."""
        return [envelope.kind for envelope in self.sent]

    def last(self, kind: Kind, message: type[M]) -> M:
        """Read the newest message of a kind."""
        return decode(message, [envelope.payload for envelope in self.sent if envelope.kind == kind][-1])

    def requests(self) -> list[ExecutorRequest]:
        """List the calls that came."""
        return [
            decode(ExecutorRequest, envelope.payload)
            for envelope in self.sent
            if envelope.kind == Kind.GATEWAY_EXECUTOR_REQUEST
        ]

    def take(self, request_id: str) -> None:
        """Acknowledge a call."""
        self.say(frame(Kind.WORKER_REQUEST_ACK, Named(request_id)))

    def answer(self, given: Reply) -> None:
        """Answer a call."""
        self.say(frame(Kind.WORKER_REPLY, given))

    async def extend(self, request_id: str, lease: str) -> ExtendLeaseAck:
        """Ask for a longer lease; the answer."""
        before = len(self.sent)
        asked = ExtendLease(request_id, "a", "e", "p", "shop-pay", lease)
        self.say(frame(Kind.WORKER_REQUEST_EXTEND_LEASE, asked))
        await until(lambda: len(self.sent) > before)
        return self.last(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, ExtendLeaseAck)


class World:
    """A gateway and what is around it."""

    def __init__(self, settings: ConnectSettings | None = None) -> None:
        self.clock = Clock()
        self.registered: list[dict[str, Any]] = []
        self.refusal: Exception | None = None
        self.strays: list[Reply] = []
        self.gateway = ConnectGateway(
            self._register, lambda told: told.auth_data.session_token == "good", self.clock, settings=settings,
            pick=lambda n: 0, pass_on=self.strays.append,
        )  # fmt: skip
        self._attending: list[asyncio.Task[None]] = []

    async def _register(self, body: bytes, platform: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.registered.append(msgspec.json.decode(body))

    def connect(self) -> PlayedSocket:
        """Connect a worker that says nothing yet."""
        socket = PlayedSocket()
        self._attending.append(asyncio.create_task(self.gateway.attend(socket)))
        return socket

    async def worker(self, *apps: WorkerApp, instance: str = "one", capacity: int | None = None) -> PlayedSocket:
        """Connect a worker that is ready."""
        socket = self.connect()
        socket.say(hello(*(apps or (app(),)), instance=instance, capacity=capacity))
        await until(lambda: Kind.GATEWAY_CONNECTION_READY in socket.kinds())
        return socket

    async def pass_time(self, ms: int) -> None:
        """Let time pass."""
        self.clock.now_ms += ms
        await self.gateway.sweep()

    async def end(self) -> None:
        """Let everything go."""
        await self.gateway.stop()
        for task in self._attending:
            task.cancel()
        await asyncio.gather(*self._attending, return_exceptions=True)


async def until(holds: Callable[[], object]) -> None:
    """Let the loop go round until something holds."""
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def quiet() -> None:
    """Let everything happen that is about to."""
    for _ in range(50):
        await asyncio.sleep(0)


def play(story: Callable[[World], Awaitable[None]], settings: ConnectSettings | None = None) -> None:
    """Play a story with a gateway."""

    async def whole() -> None:
        world = World(settings)
        try:
            await story(world)
        finally:
            await world.end()

    asyncio.run(whole())
