"""Questions about functions, to an open archive: what is declared, and how it went in the last day."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from headrace.console.archive import COUNT_BUCKET_MS
from headrace.errors import BadRecord
from headrace.records.definitions import Definition, decode_definition

DAY_MS = 24 * 3_600_000


class Counts(NamedTuple):
    """How many runs were scheduled and how many ended, and how."""

    scheduled: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def failure_rate(self) -> float | None:
        """Tell which share of the runs that ended by themselves failed; None if none did."""
        ended = self.completed + self.failed
        return self.failed / ended if ended else None

    def plus(self, other: Counts) -> Counts:
        """Add up two."""
        return Counts(*map(sum, zip(self, other, strict=True)))


class FoundFunction(NamedTuple):
    """A function with its counts of the last 24 hours; without a definition it is gone, and its runs are not."""

    function_id: str
    definition: Definition | None
    counts: Counts
    live: int
    changed_ms: int


def list_functions(archive: sqlite3.Connection, now_ms: int) -> list[FoundFunction]:
    """Give all functions that are declared or had runs in the last 24 hours, by their ids."""
    counts = {
        row[0]: Counts(*row[1:])
        for row in archive.execute(
            "SELECT function_id, sum(scheduled), sum(completed), sum(failed), sum(cancelled) FROM function_counts"
            " WHERE bucket_ms > ? GROUP BY function_id",
            (now_ms - DAY_MS,),
        )
    }
    live: dict[str, int] = dict(
        archive.execute(
            "SELECT function_id, count(*) FROM runs WHERE status <> 'Completed' AND status IN ('Scheduled', 'Running')"
            " GROUP BY function_id"
        ).fetchall()
    )
    declared: dict[str, tuple[Definition | None, int]] = {}
    for function_id, packed, changed_ms in archive.execute("SELECT function_id, definition, changed_ms FROM functions"):
        try:
            declared[function_id] = decode_definition(packed), changed_ms
        except (BadRecord, msgspec.MsgspecError):
            declared[function_id] = None, changed_ms
    return [
        FoundFunction(
            function_id,
            declared.get(function_id, (None, 0))[0],
            counts.get(function_id, Counts()),
            live.get(function_id, 0),
            declared.get(function_id, (None, 0))[1],
        )
        for function_id in sorted({*declared, *counts, *live})
    ]


def count_series(archive: sqlite3.Connection, now_ms: int, *, span_ms: int, buckets: int) -> dict[str, list[Counts]]:
    """Give counts over time for each function, oldest first: `buckets` stretches of equal length that end now."""
    width_ms = max(COUNT_BUCKET_MS, span_ms // buckets)
    end_ms = (now_ms // COUNT_BUCKET_MS + 1) * COUNT_BUCKET_MS
    begin_ms = end_ms - width_ms * buckets
    series: dict[str, list[Counts]] = {}
    for function_id, bucket_ms, *row in archive.execute(
        "SELECT function_id, bucket_ms, scheduled, completed, failed, cancelled FROM function_counts"
        " WHERE bucket_ms >= ?",
        (begin_ms,),
    ):
        counts = series.setdefault(function_id, [Counts()] * buckets)
        place = min((bucket_ms - begin_ms) // width_ms, buckets - 1)
        counts[place] = counts[place].plus(Counts(*row))
    return series


def sum_series(series: Iterable[Sequence[Counts]], buckets: int) -> list[Counts]:
    """Add up the series of several functions."""
    total = [Counts()] * buckets
    for counts in series:
        total = [one.plus(other) for one, other in zip(total, counts, strict=True)]
    return total


def phase_counts(archive: sqlite3.Connection) -> dict[str, int]:
    """Count the live runs by their phase."""
    return dict(
        archive.execute(
            "SELECT phase, count(*) FROM runs WHERE status <> 'Completed' AND status IN ('Scheduled', 'Running')"
            " GROUP BY phase"
        ).fetchall()
    )


def function_ids(archive: sqlite3.Connection) -> list[str]:
    """List the functions that are declared, by their ids."""
    rows = archive.execute("SELECT function_id FROM functions ORDER BY function_id LIMIT 1000")
    return [function_id for (function_id,) in rows]
