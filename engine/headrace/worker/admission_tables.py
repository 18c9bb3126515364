"""The tables of the admission stages."""

from __future__ import annotations

from typing import Any

from headrace.adapters.seams import Store
from headrace.records import admission_rows as rows
from headrace.worker.overlay import Rows, V
from headrace.worker.queues import QueueRows


class _LargeRows(Rows[V]):
    """Rows of which one may be as large as a thousand others: few are held in memory once they are stored."""

    ROWS_CACHED_MAX = 500

    def shrink(self, rows_max: int) -> None:
        super().shrink(min(rows_max, self.ROWS_CACHED_MAX))


class AdmissionTables:
    """Implements `headrace.state.Admission`."""

    def __init__(self, store: Store) -> None:
        self.expiry: Rows[bytes] = Rows(rows.ADMISSION_EXPIRY, bytes, store)
        self.repeats: Rows[rows.Repeat] = Rows(rows.REPEATS, rows.Repeat, store)
        self.meters: Rows[rows.Meter] = Rows(rows.METERS, rows.Meter, store)
        self.debounces: Rows[rows.Debounced] = Rows(rows.DEBOUNCES, rows.Debounced, store)
        self.buffers: Rows[rows.Buffer] = Rows(rows.BUFFERS, rows.Buffer, store)
        self.chunks: Rows[rows.Chunk] = _LargeRows(rows.CHUNKS, rows.Chunk, store)
        self.singletons: Rows[rows.Singleton] = Rows(rows.SINGLETONS, rows.Singleton, store)
        self.queued: QueueRows[rows.QueuedStart] = QueueRows(rows.QUEUED_STARTS, rows.QueuedStart, store)
        self.tables: list[Rows[Any]] = [
            self.expiry,
            self.repeats,
            self.meters,
            self.debounces,
            self.buffers,
            self.chunks,
            self.singletons,
            self.queued,
        ]
