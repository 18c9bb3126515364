"""The tables of waits, as the overlay holds them."""

from __future__ import annotations

from typing import Any

from headrace.adapters.seams import Store
from headrace.records.wait_rows import WaitRow
from headrace.records.waits import (
    DIGEST_BYTES,
    RECENT,
    RECENT_EXPIRY,
    SHAPE_KEY_BYTES,
    SHAPES,
    UNDECIDED,
    WAITERS,
    WAITS,
    RecentRow,
    ShapeRow,
    Waiter,
)
from headrace.worker.grouped import GroupedRows
from headrace.worker.overlay import Rows, after_prefix

_MINUTE_BYTES = 8


class WaiterRows(GroupedRows[Waiter]):
    """Waiters, with the keys of all of them in memory as long as they are not too many.

    Every event that somebody may wait for looks for those who wait for its value: to walk over them in the store costs
    more than everything else that is done about the event here.
    """

    def __init__(self, store: Store, keys_max: int = 50_000) -> None:
        super().__init__(WAITERS, Waiter, store, DIGEST_BYTES)
        self._keys_max = keys_max
        # Nearly always one for each digest, which stands there as it is.
        self._by_digest: dict[bytes, bytes | dict[bytes, None]] | None = {}  # None: they are too many
        self._count = 0
        for key, _ in store.scan(WAITERS, after_prefix(WAITERS)):
            if self._by_digest is None:
                break
            self._note(key[1:])

    def _note(self, key: bytes) -> None:
        by_digest = self._by_digest
        if by_digest is None:
            return
        digest = key[:DIGEST_BYTES]
        known = by_digest.get(digest)
        if known is None:
            by_digest[digest] = key
        elif known == key or (type(known) is dict and key in known):
            return
        elif type(known) is dict:
            known[key] = None
        else:
            by_digest[digest] = {known: None, key: None}  # type: ignore[dict-item]
        self._count += 1
        if self._count > self._keys_max:
            self._by_digest = None

    def put(self, key: bytes, value: Waiter) -> None:
        super().put(key, value)
        self._note(key)

    def delete(self, key: bytes) -> None:
        super().delete(key)
        by_digest = self._by_digest
        if by_digest is None:
            return
        digest = key[:DIGEST_BYTES]
        known = by_digest.get(digest)
        if known == key:
            del by_digest[digest]
        elif type(known) is dict and key in known:
            del known[key]
            if not known:
                del by_digest[digest]
        else:
            return
        self._count -= 1

    def keys(self, prefix: bytes) -> list[bytes]:
        if self._by_digest is None or len(prefix) != DIGEST_BYTES:
            return super().keys(prefix)
        known = self._by_digest.get(prefix)
        if known is None:
            return []
        return sorted(known) if type(known) is dict else [known]  # type: ignore[list-item]


class WaitTables:
    """Implements `headrace.state.Waiting`."""

    def __init__(self, store: Store) -> None:
        self.shapes: Rows[ShapeRow] = Rows(SHAPES, ShapeRow, store)
        self.asked: Rows[WaitRow] = Rows(WAITS, WaitRow, store)
        self.waiters = WaiterRows(store)
        self.recent: GroupedRows[RecentRow] = GroupedRows(RECENT, RecentRow, store, DIGEST_BYTES)
        self.recent_expiry: GroupedRows[bytes] = GroupedRows(RECENT_EXPIRY, bytes, store, _MINUTE_BYTES)
        self.undecided: GroupedRows[bytes] = GroupedRows(UNDECIDED, bytes, store, SHAPE_KEY_BYTES)
        self.tables: list[Rows[Any]] = [
            self.shapes,
            self.asked,
            self.waiters,
            self.recent,
            self.recent_expiry,
            self.undecided,
        ]
