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
_CACHED_MAX = 5_000


class _Window:
    """The next keys of one queue; `horizon` None: all of them."""

    __slots__ = ("heap", "horizon")

    def __init__(self, horizon: bytes | None) -> None:
        self.heap: list[bytes] = []
        self.horizon = horizon


class QueueRows(Rows[V]):
    """Rows in queues."""

    def __init__(self, table: bytes, kind: Any, store: Store, window_max: int = WINDOW_MAX) -> None:
        super().__init__(table, kind, store)
        self._window_max = window_max
        self._windows: dict[bytes, _Window] = {}

    def put(self, key: bytes, value: V) -> None:
        super().put(key, value)
        window = self._windows.get(key[:-PLACE_BYTES])
        if window is not None and (window.horizon is None or key < window.horizon):
            heap = window.heap
            heappush(heap, key)
            if len(heap) > 2 * self._window_max:
                heap.sort()
                window.horizon = heap[self._window_max]
                del heap[self._window_max :]

    def begin(self, queue: bytes) -> None:
        """Note that a queue is empty now, so that its first rows need not be looked for in the store."""
        self._open(queue, None)

    def first(self, queue: bytes) -> bytes | None:
        """Key of the first row of a queue, or None when it is empty."""
        window = self._windows.get(queue)
        if window is None:
            window = self._open(queue, queue)
        while True:
            while window.heap:
                if self.get(window.heap[0]) is not None:
                    return window.heap[0]
                heappop(window.heap)
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
        window.heap = sorted(key for key in found if rest is None or key < rest)  # sorted is a heap
        window.horizon = rest

    def shrink(self, rows_max: int) -> None:
        # What waits holds its events: a long queue stands in the store, not in memory.
        super().shrink(min(rows_max, _CACHED_MAX))
