"""Queues: a table of rows in many queues, of which only the next ones of each are held in memory.

A key is the queue and 16 bytes that say the row's place, so byte order is the order of the queue. As with timers, each
queue has a heap of its next keys, and those at or beyond its `horizon` are read from the store when the heap runs dry.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from headrace.adapters.seams import Store
from headrace.worker.overlay import Rows, V, after_prefix

PLACE_BYTES = 16
WINDOW_MAX = 1_000
QUEUES_MAX = 10_000  # whose windows are held
CACHED_MAX = 5_000  # rows that hold their events: a long queue stands in the store, not in memory


class _Window:
    """The next keys of one queue, and which of them are gone already; `horizon` None: all keys of the queue."""

    __slots__ = ("gone", "heap", "horizon")

    def __init__(self, horizon: bytes | None) -> None:
        self.heap: list[bytes] = []
        self.gone: set[bytes] = set()
        self.horizon = horizon

    def first(self) -> bytes | None:
        """Key of the first row within the window."""
        heap, gone = self.heap, self.gone
        while heap and heap[0] in gone:
            key = heappop(heap)
            if not heap or heap[0] != key:  # a row that was written twice is there twice
                gone.discard(key)
        return heap[0] if heap else None


class QueueRows(Rows[V]):
    """Rows in queues."""

    def __init__(
        self, table: bytes, kind: Any, store: Store, window_max: int = WINDOW_MAX, cached_max: int = CACHED_MAX
    ) -> None:
        super().__init__(table, kind, store)
        self._window_max = window_max
        self._cached_max = cached_max
        self._windows: dict[bytes, _Window] = {}

    def put(self, key: bytes, value: V) -> None:
        super().put(key, value)
        window = self._windows.get(key[:-PLACE_BYTES])
        if window is not None and (window.horizon is None or key < window.horizon):
            heap = window.heap
            window.gone.discard(key)
            heappush(heap, key)
            if len(heap) > 2 * self._window_max and len(nearest := sorted(set(heap))) > self._window_max:
                window.horizon = nearest[self._window_max]
                window.heap = nearest[: self._window_max]
                window.gone.intersection_update(window.heap)

    def delete(self, key: bytes) -> None:
        super().delete(key)
        window = self._windows.get(key[:-PLACE_BYTES])
        if window is not None and (window.horizon is None or key < window.horizon):
            window.gone.add(key)

    def begin(self, queue: bytes) -> None:
        """Note that a queue is empty now, so that its first rows need not be looked for in the store."""
        self._open(queue, None)

    def first(self, queue: bytes) -> bytes | None:
        """Key of the first row of a queue, or None when it is empty."""
        window = self._windows.get(queue)
        if window is None:
            window = self._open(queue, queue)
        while True:
            found = window.first()
            if found is not None:
                return found
            if window.horizon is None:
                del self._windows[queue]
                return None
            self._refill(queue, window)

    def _open(self, queue: bytes, horizon: bytes | None) -> _Window:
        if len(self._windows) >= QUEUES_MAX:
            self._windows.clear()
        window = self._windows[queue] = _Window(horizon)
        return window

    def _refill(self, queue: bytes, window: _Window) -> None:
        horizon = window.horizon or b""
        length = len(queue) + PLACE_BYTES
        found: set[bytes] = set()
        rest: bytes | None = None
        for key, _ in self._store.scan(self.table + horizon, after_prefix(self.table + queue)):
            own = key[1:]
            if len(own) != length:
                continue  # a queue whose name begins with this one's
            if len(found) == self._window_max:
                rest = own
                break
            if self.unflushed.get(own, b"") is not None:
                found.add(own)
        for changed in (self.unflushed, self.dirty):
            found.update(
                key
                for key in changed
                if key >= horizon and len(key) == length and key.startswith(queue) and self.get(key) is not None
            )
        found.difference_update([key for key in self.dirty if self.cached[key] is None])  # gone in this very turn
        window.heap = sorted(key for key in found if rest is None or key < rest)  # sorted is a heap
        window.gone.clear()
        window.horizon = rest

    def shrink(self, rows_max: int) -> None:
        super().shrink(min(rows_max, self._cached_max))
