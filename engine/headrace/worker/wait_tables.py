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
from headrace.worker.overlay import Rows

_MINUTE_BYTES = 8


class WaitTables:
    """Implements `headrace.state.Waiting`."""

    def __init__(self, store: Store) -> None:
        self.shapes: Rows[ShapeRow] = Rows(SHAPES, ShapeRow, store)
        self.asked: Rows[WaitRow] = Rows(WAITS, WaitRow, store)
        self.waiters: GroupedRows[Waiter] = GroupedRows(WAITERS, Waiter, store, DIGEST_BYTES)
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
