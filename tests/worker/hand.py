"""A loop and an appender that the test drives by hand: it decides what lands where, and when that is reported."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headrace.adapters.seams import AppendReport, BatchReport, Outgoing


class Appended(NamedTuple):
    """One record that was given to the appender alone."""

    topic: str
    partition: int
    value: bytes
    report: AppendReport


class Sent(NamedTuple):
    """One batch that was given to the appender."""

    batch: list[Outgoing]
    report: BatchReport


class HandAppender:
    """Keeps what it is given; the test reports. Implements `Appender`."""

    def __init__(self) -> None:
        self.appended: list[Appended] = []
        self.sent: list[Sent] = []

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        self.appended.append(Appended(topic, partition, value, report))

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        self.sent.append(Sent([Outgoing(*record) for record in batch], report))

    def renew(self) -> None:
        raise AssertionError("nothing here asks for a new producer")

    @property
    def unreported(self) -> int:
        return len(self.appended) + len(self.sent)

    def close(self, timeout_ms: int) -> None:
        return None


class HandCall:
    """What `HandLoop` has been asked to call."""

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None


class HandLoop:
    """Calls nothing until `advance` is called. Implements `Loop`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._calls: list[tuple[float, int, HandCall]] = []
        self._count = 0

    def call_soon(self, callback: Callable[..., object], *args: Any) -> HandCall:
        return self.call_later(0.0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> HandCall:
        call = HandCall(callback, args)
        self._count += 1
        heapq.heappush(self._calls, (self.now_s + delay, self._count, call))
        return call

    def advance(self, seconds: float) -> None:
        """Call what is due within the next seconds, in order."""
        until = self.now_s + seconds
        while self._calls and self._calls[0][0] <= until:
            self.now_s, _, call = heapq.heappop(self._calls)
            if call.callback is not None:
                call.callback(*call.args)
        self.now_s = until
