"""Brings messages to listeners of other nodes: what is published here is passed on to them, a moment later, in order.

Whoever publishes waits for none of that. What cannot be passed on in time is dropped, as messages are for those who
listen now; it is said once for each time that this begins.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from headrace.console.realtime_bus import BusLimits, Frame, LocalBus
from headrace.console.realtime_messages import Topic

WAITING_BYTES_MAX = 16 << 20
BATCH_BYTES_MAX = 2 << 20  # and one message more
RELAYED_BYTES_MAX = 4 << 20  # of a batch, as it comes in


class Relay(Protocol):
    """The other nodes."""

    @property
    def alone(self) -> bool:
        """Whether there are none."""
        ...

    async def pass_on(self, content: bytes) -> None:
        """Give something to all of them; whoever cannot be reached goes without."""
        ...


class _Passed(msgspec.Struct, array_like=True):
    channel: str
    topic: str
    kind: str
    content: bytes
    raw: bool


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(list[_Passed]).decode


class RelayBus(LocalBus):
    """The bus of one node of several. `tell` is told a code and a sentence when messages are dropped."""

    def __init__(self, relay: Relay, tell: Callable[[str, str], None], limits: BusLimits | None = None) -> None:
        super().__init__(limits)
        self._relay = relay
        self._tell = tell
        self._waiting: deque[_Passed] = deque()
        self._waiting_to_pass = 0  # bytes
        self._passing: asyncio.Task[None] | None = None
        self._behind = False

    def publish(self, topic: Topic, frame: Frame) -> None:
        """Tell a frame to everybody who listens for its topic, here and on other nodes."""
        super().publish(topic, frame)
        if self._relay.alone:
            return
        size = len(frame.content)
        if self._waiting_to_pass + size > WAITING_BYTES_MAX:
            if not self._behind:
                self._behind = True
                self._tell("realtime_behind", "other nodes take messages too slowly; they go without some of them")
            return
        self._waiting.append(_Passed(topic.channel, topic.name, topic.kind, frame.content, frame.raw))
        self._waiting_to_pass += size
        if self._passing is None or self._passing.done():
            self._passing = asyncio.get_running_loop().create_task(self._pass_on(), name="realtime-relay")

    def take(self, content: bytes) -> None:
        """Tell what another node has passed on to those who listen here. Errors: msgspec.MsgspecError."""
        for one in _DECODE(content):
            super().publish(Topic(one.channel, one.topic, one.kind), Frame(one.content, one.raw))

    async def stop(self) -> None:
        """Pass nothing more on."""
        if self._passing is not None:
            self._passing.cancel()
            await asyncio.gather(self._passing, return_exceptions=True)

    async def _pass_on(self) -> None:
        while self._waiting:
            batch: list[_Passed] = []
            size = 0
            while self._waiting and size < BATCH_BYTES_MAX:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].content)
            await self._relay.pass_on(_ENCODE(batch))
            self._waiting_to_pass -= size
        self._behind = False
