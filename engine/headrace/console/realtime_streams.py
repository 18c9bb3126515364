"""Brings a subscriber's messages over its connection, as server-sent events or as text frames of a WebSocket.

A connection that takes nothing more holds up nobody: its queue fills, the bus lets it go, and it is told so if it can
still be told.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from headrace.adapters.seams import Clock
from headrace.console.realtime_bus import Frame, RealtimeBus, Subscriber
from headrace.console.realtime_messages import plain_message

_TRY_AGAIN_LATER = 1013  # of RFC 6455's registry
_KEEP_ALIVE = b":\n\n"  # a comment


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """How long things take at most, in seconds."""

    session_s: float = 900.0  # of server-sent events; who wants more comes again
    keep_alive_s: float = 15.0
    goodbye_s: float = 2.0  # for the last message


class EventStream(Response):
    """An answer that goes on for as long as the subscriber stays."""

    def __init__(self, subscriber: Subscriber, bus: RealtimeBus, clock: Clock, times: StreamTimes) -> None:
        super().__init__(
            status_code=200,
            media_type="text/event-stream",
            headers={
                "cache-control": "no-cache",
                # Whoever shows the token may read, from whatever page.
                "access-control-allow-origin": "*",
                "access-control-expose-headers": "Content-Type",
                "cross-origin-resource-policy": "cross-origin",
                "x-accel-buffering": "no",
            },
        )
        del self.headers["content-length"]
        self._subscriber = subscriber
        self._bus = bus
        self._clock = clock
        self._times = times
        self._tail = _KEEP_ALIVE  # the last bytes that were sent: those passed on as they come may end within an event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the subscriber hears until either side has enough."""

        async def write(content: bytes) -> None:
            await send({"type": "http.response.body", "body": content, "more_body": True})

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await write(b"")  # so that the headers go out
            over = asyncio.get_running_loop().call_later(
                self._times.session_s, self._subscriber.end, "its time is over"
            )
            try:
                stayed = await _serve(self._subscriber, self._pour(write), gone(), self._times)
            finally:
                over.cancel()
            if stayed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._times.goodbye_s):
                        await write(self._event(Frame(plain_message("closing", self._clock.wall_ms()))))
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._bus.close(self._subscriber)

    async def _pour(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            try:
                async with asyncio.timeout(self._times.keep_alive_s):
                    frames = await self._subscriber.frames()
            except TimeoutError:
                if self._between_events:
                    await write(_KEEP_ALIVE)
                continue
            if frames is None:
                return
            for frame in frames:
                await write(self._event(frame))

    def _event(self, frame: Frame) -> bytes:
        if frame.raw:
            content = frame.content
        else:
            content = (b"data: " if self._between_events else b"\n\ndata: ") + frame.content + b"\n\n"
        self._tail = (self._tail + content)[-4:]
        return content

    @property
    def _between_events(self) -> bool:
        return self._tail.endswith((b"\n\n", b"\r\n\r\n"))


class SocketStream:
    """A WebSocket that a subscriber listens on. `hear` is told each text that comes from it."""

    def __init__(
        self,
        socket: WebSocket,
        subscriber: Subscriber,
        bus: RealtimeBus,
        clock: Clock,
        times: StreamTimes,
        hear: Callable[[Subscriber, str], None],
    ) -> None:
        self._socket = socket
        self._subscriber = subscriber
        self._bus = bus
        self._clock = clock
        self._times = times
        self._hear = hear
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def serve(self) -> None:
        """Accept the connection and serve it until either side has enough."""
        try:
            await self._socket.accept()
            stayed = await _serve(self._subscriber, self._pour(), self._listen(), self._times)
            if stayed:
                with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                    async with asyncio.timeout(self._times.goodbye_s):
                        await self._socket.send_text(plain_message("closing", self._clock.wall_ms()).decode())
                        await self._socket.close(_TRY_AGAIN_LATER, "closing")
        finally:
            self._bus.close(self._subscriber)

    async def _pour(self) -> None:
        while (frames := await self._subscriber.frames()) is not None:
            for frame in frames:
                text = self._decoder.decode(frame.content) if frame.raw else frame.content.decode()
                try:
                    await self._socket.send_text(text)
                except (WebSocketDisconnect, RuntimeError):
                    if self._socket.application_state == WebSocketState.CONNECTED:
                        raise
                    return

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None:
                self._hear(self._subscriber, text)


async def _serve(
    subscriber: Subscriber, pouring: Awaitable[None], listening: Awaitable[None], times: StreamTimes
) -> bool:
    """Run both until the other side is gone or the subscriber is let go; tells whether the other side still listens."""
    pour, listen = asyncio.ensure_future(pouring), asyncio.ensure_future(listening)
    ended = asyncio.ensure_future(subscriber.until_let_go())
    everything = {pour, listen, ended}
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        if listen.done():
            listen.result()
            return False
        # What is being written may be the middle of a message: the last one comes behind it.
        await asyncio.wait({pour, listen}, timeout=times.goodbye_s, return_when=asyncio.FIRST_COMPLETED)
        if pour.done():
            pour.result()
        return pour.done() and not listen.done()
    finally:
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
