"""What the archive forgets, and when: on by default, by age, by number and by size, in slices small enough to wait for.

Runs that live are kept, whatever their age, as long as their number alone is not the problem: a run that sleeps for a
month has to be there when it wakes. One that was last heard of before the history topic's own retention, and that is
not waiting for a later time, has ended unseen and goes.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from headrace.records.ids import ulid_time

_DAY_MS = 24 * 3_600_000
_SLICE_ROWS = 500
_RECOUNT_MS = 30_000
_VACUUM_PAGES = 256


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How much the archive keeps. Ages in milliseconds."""

    runs_age_ms: int = 7 * _DAY_MS
    runs_max: int = 1_000_000
    events_age_ms: int = 7 * _DAY_MS
    events_max: int = 1_000_000
    dead_letters_age_ms: int = 30 * _DAY_MS
    dead_letters_max: int = 100_000
    size_bytes_max: int = 4 * 1024**3


class Retention:
    """Deletes what is too much; call `step` again and again, it does nothing while there is nothing to do."""

    def __init__(self, archive: sqlite3.Connection, limits: RetentionLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._counted_ms = -_RECOUNT_MS
        self._runs = self._events = self._dead_letters = self._verdicts = 0
        self._floor = ""  # below this run id there is nothing left to delete, as far as is known
        self._too_large = False

    def step(self, now_ms: int) -> int:
        """Delete one slice of everything that is too much, in one transaction; returns how many rows went."""
        if now_ms - self._counted_ms >= _RECOUNT_MS:
            self._recount(now_ms)
        self._too_large = self._size_bytes() > self._limits.size_bytes_max
        archive = self._archive
        archive.execute("BEGIN IMMEDIATE")
        try:
            deleted = self._step_runs(now_ms) + self._step_events(now_ms) + self._step_rest(now_ms)
            archive.execute("COMMIT")
        except BaseException:
            if archive.in_transaction:
                archive.execute("ROLLBACK")
            raise
        if deleted:
            archive.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        return deleted

    def _recount(self, now_ms: int) -> None:
        self._counted_ms = now_ms
        self._floor = ""
        count = self._archive.execute
        (self._runs,) = count("SELECT count(*) FROM runs").fetchone()
        (self._events,) = count("SELECT count(*) FROM events").fetchone()
        (self._dead_letters,) = count("SELECT count(*) FROM dead_letters").fetchone()
        (self._verdicts,) = count("SELECT count(*) FROM verdicts").fetchone()

    def _size_bytes(self) -> int:
        (pages,), (free,), (size,) = (
            self._archive.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        return int(pages - free) * int(size)

    def _step_runs(self, now_ms: int) -> int:
        limits = self._limits
        too_many = self._runs - limits.runs_max
        if too_many > 0 or self._too_large:
            # Beyond twice the number it is the live ones that are too many: then the oldest go, whatever they do.
            ended = "" if self._runs > 2 * limits.runs_max else "AND ended_ms > 0"
            bound = min(_SLICE_ROWS, too_many) if too_many > 0 else _SLICE_ROWS
            rows = self._archive.execute(
                f"SELECT id, run_id FROM runs WHERE run_id > ? {ended} ORDER BY run_id LIMIT ?", (self._floor, bound)
            ).fetchall()
        else:
            before_ms = now_ms - limits.runs_age_ms
            rows = self._archive.execute(
                "SELECT id, run_id FROM runs WHERE run_id > ? AND run_id < ?"
                " AND (ended_ms > 0 AND ended_ms < ? OR ended_ms = 0 AND last_ms < ? AND due_ms < ?)"
                " ORDER BY run_id LIMIT ?",
                (self._floor, ulid_time(before_ms), before_ms, before_ms, before_ms, _SLICE_ROWS),
            ).fetchall()
        if not rows:
            return 0
        self._floor = rows[-1][1]
        run_ids = json.dumps([run_id for _, run_id in rows])
        for table in ("run_records", "run_causes", "run_metadata", "runs"):
            self._archive.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT value FROM json_each(?))", (run_ids,))
        self._runs -= len(rows)
        return len(rows)

    def _step_events(self, now_ms: int) -> int:
        too_many = self._events - self._limits.events_max
        if too_many > 0 or self._too_large:
            bound = min(_SLICE_ROWS, too_many) if too_many > 0 else _SLICE_ROWS
            return self._delete_oldest("events", "received_ms", bound, now_ms + _DAY_MS)
        return self._delete_oldest("events", "received_ms", _SLICE_ROWS, now_ms - self._limits.events_age_ms)

    def _step_rest(self, now_ms: int) -> int:
        limits = self._limits
        excess = min(_SLICE_ROWS, self._dead_letters - limits.dead_letters_max)
        deleted = self._delete_oldest("dead_letters", "at_ms", excess, now_ms + _DAY_MS) if excess > 0 else 0
        deleted += self._delete_oldest("dead_letters", "at_ms", _SLICE_ROWS, now_ms - limits.dead_letters_age_ms)
        self._dead_letters -= deleted
        before_ms = now_ms - limits.runs_age_ms
        for table, column in (("function_counts", "bucket_ms"), ("samplings", "minute_ms")):
            deleted += self._archive.execute(f"DELETE FROM {table} WHERE {column} < ?", (before_ms,)).rowcount
        # Of runs that never were, or that went before it came.
        deleted += self._archive.execute(
            "DELETE FROM run_metadata WHERE at_ms < ?"
            " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = run_metadata.run_id)",
            (before_ms,),
        ).rowcount
        return deleted + self._delete_verdicts(now_ms)

    def _delete_oldest(self, table: str, column: str, bound: int, before_ms: int) -> int:
        # By the order in which they came in, which is nearly that of their times and costs no index.
        found = self._archive.execute(f"SELECT id, {column} FROM {table} ORDER BY id LIMIT ?", (bound,)).fetchall()
        identities = [identity for identity, at_ms in found if at_ms < before_ms]
        self._archive.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(identities),)
        )
        if table == "events":
            self._events -= len(identities)
        return len(identities)

    def _delete_verdicts(self, now_ms: int) -> int:
        # Verdicts are as many as events at worst, so the events' limits hold for them.
        limits = self._limits
        delete = (
            "DELETE FROM verdicts WHERE (partition, seq, event_id) IN"
            " (SELECT partition, seq, event_id FROM verdicts WHERE at_ms < ? ORDER BY at_ms LIMIT ?)"
        )
        too_many = self._verdicts - limits.events_max
        before_ms = now_ms + _DAY_MS if too_many > 0 else now_ms - limits.events_age_ms
        bound = min(_SLICE_ROWS, too_many) if too_many > 0 else _SLICE_ROWS
        deleted = self._archive.execute(delete, (before_ms, bound)).rowcount
        self._verdicts -= deleted
        return deleted
