"""Tables whose rows are looked for by the first bytes of their keys, on the way of every event.

`Rows.keys` goes through all rows that are not in the store yet. Here those are kept by their prefix as well, so what a
look-up costs does not grow with what others have written a moment ago.
"""

from __future__ import annotations

from typing import Any, TypeVar

from headrace.adapters.seams import Store
from headrace.worker.overlay import Rows, after_prefix

V = TypeVar("V")


class GroupedRows(Rows[V]):
    """A table with an index of its unflushed rows by the first `length` bytes of their keys."""

    def __init__(self, table: bytes, kind: Any, store: Store, length: int) -> None:
        super().__init__(table, kind, store)
        self._length = length
        self._near: dict[bytes, dict[bytes, None]] = {}

    def put(self, key: bytes, value: V) -> None:
        super().put(key, value)
        self._near.setdefault(key[: self._length], {})[key] = None

    def put_new(self, key: bytes, value: V) -> None:
        super().put_new(key, value)
        self._near.setdefault(key[: self._length], {})[key] = None

    def delete(self, key: bytes) -> None:
        super().delete(key)
        self._near.setdefault(key[: self._length], {})[key] = None

    def keys(self, prefix: bytes) -> list[bytes]:
        if len(prefix) < self._length:
            return super().keys(prefix)
        start = self.table + prefix
        cut = len(self.table)
        live = {key[cut:] for key, _ in self._store.scan(start, after_prefix(start))}
        near = self._near.get(prefix[: self._length])
        if near is not None:
            live.update(near if len(prefix) == self._length else (key for key in near if key.startswith(prefix)))
        return sorted(key for key in live if self.get(key) is not None)

    def flushed(self, key: bytes) -> None:
        super().flushed(key)
        if key not in self.dirty and key not in self.unflushed:
            group = self._near.get(key[: self._length])
            if group is not None:
                group.pop(key, None)
                if not group:
                    del self._near[key[: self._length]]
