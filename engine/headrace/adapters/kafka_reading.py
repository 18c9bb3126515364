"""One partition being read: what the loop holds of it, and what the lane's thread counts of it.

Each field has one writer, the loop or the lane's thread, so that nothing needs a lock: the bytes on their way are the
difference between what the thread has posted and what the loop has taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from headrace.adapters.kafka_loop import ThreadsafeLoop
from headrace.adapters.seams import ReadFailure, Record

Key = tuple[str, int]


class Delivery(NamedTuple):
    """What one round brought for one reading: records, or the failure that ends it."""

    reading: KafkaReading
    records: list[Record]
    size: int
    failure: ReadFailure | None
    text: str


class KafkaReading:
    """A reading as the loop sees it."""

    __slots__ = (
        "_held",
        "_loop",
        "_on_close",
        "_on_failure",
        "_on_records",
        "_paused",
        "_releasing",
        "closed",
        "key",
        "position",
        "posted_bytes",
        "taken_bytes",
    )

    def __init__(
        self,
        loop: ThreadsafeLoop,
        key: Key,
        offset: int,
        on_records: Callable[[list[Record]], None],
        on_failure: Callable[[ReadFailure, str], None],
        on_close: Callable[[KafkaReading], None],
    ) -> None:
        self._loop = loop
        self._on_records = on_records
        self._on_failure = on_failure
        self._on_close = on_close
        self._held: deque[Delivery] = deque()
        self._paused = False
        self._releasing = False
        self.closed = False
        self.key = key
        self.taken_bytes = 0
        # Written by the lane's thread only.
        self.position = offset
        self.posted_bytes = 0

    @property
    def holding(self) -> bool:
        """Whether what arrives is kept for later."""
        return self._paused or bool(self._held)

    @property
    def pending_bytes(self) -> int:
        """How much has been read and not yet been taken."""
        return self.posted_bytes - self.taken_bytes

    def pause(self) -> None:
        """Keep what arrives from now on; the lane stops fetching when that is too much."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again, first what was kept."""
        self._paused = False
        if self._held and not self._releasing:
            self._releasing = True
            self._loop.call_soon(self._release)

    def close(self) -> None:
        """Stop; no callback comes any more, also none already queued."""
        if not self.closed:
            self.closed = True
            self._held.clear()
            self._on_close(self)

    def accept(self, delivery: Delivery) -> None:
        """Hand over a delivery, or keep it behind those that wait already; runs on the loop."""
        if self.closed:
            return
        if self._paused or self._held:
            self._held.append(delivery)
        else:
            self._hand_over(delivery)

    def _release(self) -> None:
        self._releasing = False
        try:
            while self._held and not self._paused and not self.closed:
                # Taken out first: a callback that pauses, closes or raises finds the rest in order.
                self._hand_over(self._held.popleft())
        finally:
            if not self._paused:
                self.resume()

    def _hand_over(self, delivery: Delivery) -> None:
        self.taken_bytes += delivery.size
        if delivery.failure is None:
            self._on_records(delivery.records)
        else:
            self.close()
            self._on_failure(delivery.failure, delivery.text)
