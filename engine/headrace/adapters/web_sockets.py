"""A listener for WebSockets of one kind: one path, one sub-protocol, binary frames.

It is aiohttp's server and not the one of the HTTP side: it has frames, limits and closing codes in hand, and is there
already, as the client that calls apps.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

logger = logging.getLogger("headrace.web_sockets")

_UNSENT_BYTES_MAX = 64 << 20  # of a peer that does not read
_REASON_BYTES_MAX = 123  # what a closing frame has room for
_CLOSE_S = 5.0  # for the peer to answer that it is closed
_LAST_S = 2.0  # for connections to end when the listener stops


class WebSocket:
    """One connection. Frames are queued, so nobody waits for a slow peer."""

    def __init__(self, web_socket: web.WebSocketResponse) -> None:
        self._web_socket = web_socket
        self._outgoing: asyncio.Queue[bytes | tuple[int, str]] = asyncio.Queue()
        self._unsent = 0
        self._closing = False

    def send(self, frame: bytes) -> None:
        """Queue a binary frame; nothing happens once it is closed."""
        if self._closing:
            return
        self._unsent += len(frame)
        if self._unsent > _UNSENT_BYTES_MAX:
            logger.warning("a WebSocket's peer does not read: %d bytes are unsent", self._unsent)
            self.close(WSCloseCode.GOING_AWAY, "unread")
            return
        self._outgoing.put_nowait(frame)

    def close(self, code: int, reason: str) -> None:
        """Close it once what is queued has been sent."""
        if not self._closing:
            self._closing = True
            self._outgoing.put_nowait((code, reason))

    async def receive(self) -> bytes | None:
        """Wait for a frame, also for one of text; None once the connection is over."""
        message = await self._web_socket.receive()
        if message.type is WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is WSMsgType.TEXT:
            return str(message.data).encode("utf-8", "replace")
        return None

    async def send_on(self) -> None:
        """Send what is queued, as fast as the peer reads, until the connection is closed."""
        with suppress(ConnectionError):  # whoever receives is told that it is over
            while True:
                one = await self._outgoing.get()
                if isinstance(one, tuple):
                    code, reason = one
                    await self._web_socket.close(code=code, message=reason.encode()[:_REASON_BYTES_MAX])
                    return
                await self._web_socket.send_bytes(one)
                self._unsent -= len(one)
        self._closing = True


class WebSocketListener:
    """Listens on a bound socket. `attend` deals with a connection until it returns."""

    def __init__(
        self,
        bound: socket.socket,
        path: str,
        protocol: str,
        frame_bytes_max: int,
        attend: Callable[[WebSocket], Awaitable[None]],
    ) -> None:
        self._bound = bound
        self._protocol = protocol
        self._frame_bytes_max = frame_bytes_max
        self._attend = attend
        app = web.Application()
        app.router.add_get(path, self._accept)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_S)

    async def start(self) -> None:
        """Take connections from here on."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._bound).start()

    async def stop(self) -> None:
        """Take no more connections, and end those that are left."""
        await self._runner.cleanup()
        self._bound.close()

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        accepted = web.WebSocketResponse(
            protocols=(self._protocol,), max_msg_size=self._frame_bytes_max, compress=False, timeout=_CLOSE_S
        )
        await accepted.prepare(request)
        connection = WebSocket(accepted)
        sending = asyncio.create_task(connection.send_on(), name="web-socket-send")
        try:
            await self._attend(connection)
            connection.close(WSCloseCode.OK, "")
            await sending
        finally:
            sending.cancel()
        return accepted
