"""Brings messages to those who listen for them, on this node.

A publisher never waits for a subscriber: each has a queue of its own, and one that does not empty it is let go. What a
bus for several nodes would have to do stands in `RealtimeBus`; the one here knows its own node's subscribers alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from headrace.console.realtime_messages import Topic


@dataclass(frozen=True, slots=True)
class BusLimits:
    """How much may wait to be heard, and how many may listen."""

    queue_bytes: int = 4 << 20  # for one subscriber
    queue_frames: int = 10_000
    all_bytes: int = 256 << 20  # for all of them; who would exceed it is let go
    subscribers: int = 10_000
    topics: int = 1_000  # of one subscriber


class Frame(NamedTuple):
    """What a subscriber hears at once: a message, or bytes that are passed on as they came."""

    content: bytes
    raw: bool = False


class Subscriber:
    """One connection that listens. `frames` gives what it has not heard yet, and None once it is let go."""

    def __init__(self, bus: LocalBus) -> None:
        self._bus = bus
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._news: asyncio.Future[None] | None = None
        self._ended = asyncio.Event()
        self.topics: set[Topic] = set()
        self.let_go = ""  # why, once it is

    async def frames(self) -> list[Frame] | None:
        """Wait for what comes next and take all of it."""
        while not self._frames and not self.let_go:
            self._news = asyncio.get_running_loop().create_future()
            try:
                await self._news
            finally:
                self._news = None
        if self.let_go:
            return None
        taken = list(self._frames)
        self._clear()
        return taken

    async def until_let_go(self) -> None:
        """Wait until it is let go, whether it takes what it has to hear or not."""
        await self._ended.wait()

    def put(self, frame: Frame) -> None:
        """Add to what it has to hear; lets it go if that is too much."""
        if self.let_go:
            return
        if not self._bus.has_room(len(frame.content), self._bytes, len(self._frames)):
            self.end("it does not keep up")
            return
        self._frames.append(frame)
        self._bytes += len(frame.content)
        self._bus.waiting_bytes += len(frame.content)
        self._wake()

    def end(self, why: str) -> None:
        """Let it go: nothing more is told to it, and what it has not heard is dropped."""
        if not self.let_go:
            self.let_go = why
            self._bus.unsubscribe(self, list(self.topics))
            self._clear()
            self._ended.set()
            self._wake()

    def _clear(self) -> None:
        self._bus.waiting_bytes -= self._bytes
        self._bytes = 0
        self._frames.clear()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class RealtimeBus(Protocol):
    """Where messages are published. What is published reaches those who listen at that moment, and nobody later."""

    def publish(self, topic: Topic, frame: Frame) -> None:
        """Tell a frame to everybody who listens for its topic."""
        ...

    def open(self, topics: Iterable[Topic]) -> Subscriber | None:
        """Begin to listen; None if there are too many already."""
        ...

    def subscribe(self, subscriber: Subscriber, topics: Iterable[Topic]) -> None:
        """Listen for more topics."""
        ...

    def unsubscribe(self, subscriber: Subscriber, topics: Iterable[Topic]) -> None:
        """Listen for fewer topics."""
        ...

    def close(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        ...

    def end(self) -> None:
        """Let all subscribers go, and take no more of them."""
        ...


class LocalBus:
    """The bus of one node."""

    def __init__(self, limits: BusLimits | None = None) -> None:
        self._limits = limits or BusLimits()
        self._listening: dict[Topic, dict[Subscriber, None]] = {}
        self._subscribers: dict[Subscriber, None] = {}
        self._ended = False
        self.waiting_bytes = 0  # in all queues

    @property
    def subscribers(self) -> int:
        """Tell how many listen."""
        return len(self._subscribers)

    def publish(self, topic: Topic, frame: Frame) -> None:
        """Tell a frame to everybody who listens for its topic."""
        for subscriber in list(self._listening.get(topic, ())):
            subscriber.put(frame)

    def open(self, topics: Iterable[Topic]) -> Subscriber | None:
        """Begin to listen; None if there are too many already."""
        if self._ended or len(self._subscribers) >= self._limits.subscribers:
            return None
        subscriber = Subscriber(self)
        self._subscribers[subscriber] = None
        self.subscribe(subscriber, topics)
        return subscriber

    def subscribe(self, subscriber: Subscriber, topics: Iterable[Topic]) -> None:
        """Listen for more topics; those beyond the limit are left out."""
        for topic in topics:
            if subscriber.let_go or len(subscriber.topics) >= self._limits.topics:
                return
            subscriber.topics.add(topic)
            self._listening.setdefault(topic, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, topics: Iterable[Topic]) -> None:
        """Listen for fewer topics."""
        for topic in topics:
            subscriber.topics.discard(topic)
            listening = self._listening.get(topic)
            if listening is not None:
                listening.pop(subscriber, None)
                if not listening:
                    del self._listening[topic]

    def close(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        subscriber.end("it is closed")
        self._subscribers.pop(subscriber, None)

    def end(self) -> None:
        """Let all subscribers go, and take no more of them."""
        self._ended = True
        for subscriber in list(self._subscribers):
            subscriber.end("this node stops")

    def has_room(self, more_bytes: int, waiting_bytes: int, waiting_frames: int) -> bool:
        """Tell whether so much more may wait for a subscriber for whom so much waits already."""
        limits = self._limits
        return (
            waiting_frames < limits.queue_frames
            and waiting_bytes + more_bytes <= limits.queue_bytes
            and self.waiting_bytes + more_bytes <= limits.all_bytes
        )
