"""Timers: rows in due order, of which only the next ones are held in memory.

The key of a timer starts with its due time, so byte order is due order and the window is a heap of keys. Keys at or
beyond the `horizon` are in the store (or unflushed) only; when the window runs dry the next ones are read from there
on, so a million sleeping runs cost memory for the next few thousand, and a scan never starts among deleted rows.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from headrace.adapters.seams import Store
from headrace.records import rows
from headrace.worker.overlay import Rows, after_prefix

WINDOW_MAX = 20_000


def due_of(key: bytes) -> int:
    """Read the due time (ms) out of a timer's key."""
    return int.from_bytes(key[:8], "big")


class TimerRows(Rows[rows.Timer]):
    """The timers table and its window of next ones."""

    def __init__(self, store: Store, window_max: int = WINDOW_MAX) -> None:
        super().__init__(rows.TIMERS, rows.Timer, store)
        self._window_max = window_max
        self._heap: list[bytes] = []
        self._horizon: bytes | None = b""  # nothing is loaded yet; None: everything is

    def put(self, key: bytes, value: rows.Timer) -> None:
        super().put(key, value)
        if self._horizon is None or key < self._horizon:
            heappush(self._heap, key)
            if len(self._heap) > 2 * self._window_max:
                self._heap.sort()
                self._horizon = self._heap[self._window_max]
                del self._heap[self._window_max :]

    def next_due_ms(self) -> int | None:
        """Return when the next timer is due, or None when there is none."""
        while True:
            while self._heap:
                if self.get(self._heap[0]) is not None:
                    return due_of(self._heap[0])
                heappop(self._heap)
            if self._horizon is None:
                return None
            self._refill()

    def pop_due(self, now_ms: int) -> bytes | None:
        """Take the next timer that is due out of the window; its row is still there."""
        due_ms = self.next_due_ms()
        if due_ms is None or due_ms > now_ms:
            return None
        return heappop(self._heap)

    def push(self, key: bytes) -> None:
        """Put back what was taken out of the window: it is due once more."""
        if self._horizon is None or key < self._horizon:
            heappush(self._heap, key)

    def _refill(self) -> None:
        horizon = self._horizon or b""
        start = self.table + horizon
        window: set[bytes] = set()
        rest: bytes | None = None
        for key, _ in self._store.scan(start, after_prefix(self.table)):
            if len(window) == self._window_max:
                rest = key[1:]
                break
            if self.unflushed.get(key[1:], b"") is not None:
                window.add(key[1:])
        for changed in (self.unflushed, self.dirty):
            window.update(key for key in changed if key >= horizon and self.get(key) is not None)
        ordered = sorted(window)
        if rest is not None:
            ordered = [key for key in ordered if key < rest]
        self._heap = ordered
        heapify(self._heap)
        self._horizon = rest
