"""Workers over real WebSockets. Goal: sub-protocol, frames, limits and closing codes are those that SDKs expect."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from headrace.adapters.system_clock import SystemClock
from headrace.adapters.web_sockets import WebSocketListener
from headrace.cli.listening import take_port
from headrace.execution.connect.gateway import ConnectGateway
from headrace.execution.connect.messages import Envelope, ExecutorRequest, Kind, Named, Reply, frame
from headrace.execution.connect.settings import FRAME_BYTES_MAX, PATH, PROTOCOL
from headrace.execution.connect.wire import decode
from headrace.execution.sdk.seams import AppUnreachable
from tests.execution.connect.workers import app, app_call, hello, reply

PATIENCE_S = 20


async def _registered(_body: bytes, _platform: str) -> None:
    """Register nothing, and be content."""


class Node:
    """A gateway that listens."""

    def __init__(self) -> None:
        self.gateway = ConnectGateway(_registered, lambda told: True, SystemClock())
        bound = take_port("127.0.0.1", _free_port())
        self.url = f"ws://127.0.0.1:{bound.getsockname()[1]}{PATH}"
        self.listener = WebSocketListener(bound, PATH, PROTOCOL, FRAME_BYTES_MAX, self.gateway.attend)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def play(story: Callable[[Node, ClientSession], Awaitable[None]]) -> None:
    """Play a story against a gateway that listens."""

    async def whole() -> None:
        node = Node()
        await node.listener.start()
        try:
            async with ClientSession() as session, asyncio.timeout(PATIENCE_S):
                await story(node, session)
        finally:
            await node.gateway.stop()
            await node.listener.stop()

    asyncio.run(whole())


async def read(worker: ClientWebSocketResponse) -> Envelope:
    """Wait for a frame."""
    message = await worker.receive()
    assert message.type is WSMsgType.BINARY, message
    return decode(Envelope, message.data)


async def ready(node: Node, session: ClientSession) -> ClientWebSocketResponse:
    """Connect a worker."""
    worker = await session.ws_connect(node.url, protocols=(PROTOCOL,), max_msg_size=0)
    assert (await read(worker)).kind == Kind.GATEWAY_HELLO
    await worker.send_bytes(hello(app()))
    assert (await read(worker)).kind == Kind.GATEWAY_CONNECTION_READY
    return worker


def test_8_1_the_sub_protocol_is_agreed() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await session.ws_connect(node.url, protocols=(PROTOCOL,))
        assert worker.protocol == PROTOCOL
        assert await read(worker) == Envelope(Kind.GATEWAY_HELLO, b"")
        await worker.close()

    play(story)


def test_8_4_a_call_of_four_megabytes_comes_back_with_eight() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await ready(node, session)
        calling = asyncio.create_task(node.gateway.call(app_call()._replace(body=b"a" * (4 << 20))))
        envelope = await read(worker)
        request = decode(ExecutorRequest, envelope.payload)
        assert len(request.request_payload) == 4 << 20
        await worker.send_bytes(frame(Kind.WORKER_REQUEST_ACK, Named(request.request_id)))
        body = b"b" * (FRAME_BYTES_MAX - 1000)
        await worker.send_bytes(frame(Kind.WORKER_REPLY, Reply(request.request_id, 1, body)))
        assert (await calling).body == body
        assert (await read(worker)).kind == Kind.WORKER_REPLY_ACK
        await worker.close()

    play(story)


def test_8_3_a_frame_over_the_limit_ends_the_connection() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await ready(node, session)
        with suppress(ConnectionError):  # it may be closed before all of it is sent
            await worker.send_bytes(b"\0" * (FRAME_BYTES_MAX + 1))
        while node.gateway.workers:
            await asyncio.sleep(0.005)
        await worker.close()

    play(story)


def test_8_3_closing_codes_and_reasons_arrive() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await session.ws_connect(node.url, protocols=(PROTOCOL,))
        await read(worker)
        await worker.send_bytes(frame(Kind.WORKER_READY))
        message = await worker.receive()
        assert (message.type, message.data, message.extra) == (
            WSMsgType.CLOSE,
            1008,
            "connect_worker_hello_invalid_msg",
        )
        await worker.close()

    play(story)


def test_8_5_workers_are_told_when_a_node_stops() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await ready(node, session)
        await node.gateway.stop()
        assert (await read(worker)).kind == Kind.GATEWAY_CLOSING
        message = await worker.receive()
        assert (message.data, message.extra) == (1001, "connect_gateway_closing")
        await worker.close()

    play(story)


def test_8_4_a_worker_whose_process_dies_is_noticed_at_once() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await ready(node, session)
        calling = asyncio.create_task(node.gateway.call(app_call()))
        await read(worker)
        transport = worker._response.connection.transport  # type: ignore[union-attr]  # nothing polite closes it
        transport.abort()  # type: ignore[union-attr]
        with pytest.raises(AppUnreachable):
            await calling
        assert node.gateway.workers == []
        await worker.close()

    play(story)


def test_frames_of_text_are_read_as_bytes() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await ready(node, session)
        await worker.send_str(frame(Kind.WORKER_HEARTBEAT).decode())
        assert (await read(worker)).kind == Kind.GATEWAY_HEARTBEAT
        await worker.close()

    play(story)


def test_many_calls_at_a_time() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        worker = await ready(node, session)
        calls = [asyncio.create_task(node.gateway.call(app_call(number))) for number in range(500)]
        for _ in calls:
            while (envelope := await read(worker)).kind != Kind.GATEWAY_EXECUTOR_REQUEST:
                pass
            request = decode(ExecutorRequest, envelope.payload)
            await worker.send_bytes(frame(Kind.WORKER_REPLY, reply(request.request_id, request.request_id.encode())))
        answers = await asyncio.gather(*calls)
        assert [answer.body for answer in answers] == [f"request-{number}".encode() for number in range(500)]
        await worker.close()

    play(story)


@pytest.mark.parametrize(("path", "status"), [(PATH, 400), ("/elsewhere", 404)])
def test_what_is_no_web_socket_is_refused(path: str, status: int) -> None:
    async def story(node: Node, session: ClientSession) -> None:
        answer = await session.get(node.url.replace("ws://", "http://").replace(PATH, path))
        assert answer.status == status

    play(story)


def test_no_other_path_is_a_web_socket() -> None:
    async def story(node: Node, session: ClientSession) -> None:
        with pytest.raises(WSServerHandshakeError):
            await session.ws_connect(node.url + "/more", protocols=(PROTOCOL,))

    play(story)
