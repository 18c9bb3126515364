"""Lifecycle records become rows of runs, verdicts and counts; see `projection.py` for the transaction around it.

The way of a record is short because there are so many: records are gathered by run, so a run that starts and ends
within one batch is one insert. Only runs that may be known already are looked up: the record that makes a run names its
events, and its seq is above every seq of the partition so far, unless the engine sent it twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.adapters.seams import Record
from headrace.console.archive import COUNT_BUCKET_MS
from headrace.console.lifecycle_reader import read_lifecycle
from headrace.console.metadata import metadata_row
from headrace.console.run_records import join_records
from headrace.console.run_rows import COLUMNS, RunRow, fold, new_row
from headrace.console.told_events import told_events
from headrace.errors import BadRecord
from headrace.records.history import Lifecycle
from headrace.records.rows import KnownEvent

_LOOK_UP_MAX = 500
_INSERT = f"INSERT INTO runs({', '.join(COLUMNS)}) VALUES({', '.join('?' * len(COLUMNS))})"
_UPDATE = f"UPDATE runs SET {', '.join(name + '=?' for name in COLUMNS)} WHERE id=?"
_SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM runs WHERE run_id IN (SELECT value FROM json_each(?))"
_astuple = msgspec.structs.astuple
_INSERT_EVENT = (
    "INSERT INTO events(event_id, name, given_id, ts_ms, received_ms, record_key, topic_partition, topic_offset, body)"
    " SELECT ?1, ?2, NULL, ?3, ?4, NULL, -1, -1, ?5 WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = ?1)"
)
_COUNTED = {"Completed": "completed", "Failed": "failed", "Cancelled": "cancelled"}


class _Gathered:
    """What one batch brings for one run."""

    __slots__ = ("known", "lives", "values")

    def __init__(self) -> None:
        self.lives: list[Lifecycle] = []
        self.values: list[bytes] = []
        self.known = True  # it may be in the archive already


class RunProjection:
    """Gathers lifecycle records with `take` and writes what they change with `write`."""

    def __init__(self, archive: sqlite3.Connection) -> None:
        self._archive = archive
        self._gathered: dict[str, _Gathered] = {}
        self._verdicts: list[tuple[Any, ...]] = []
        self._metadata: list[tuple[Any, ...]] = []
        self._events: list[KnownEvent] = []

    def forget(self) -> None:
        """Drop what was gathered and not written."""
        self._gathered = {}
        self._verdicts = []
        self._metadata = []
        self._events = []

    def take(self, records: Sequence[Record], seq_max: int) -> tuple[int, int]:
        """Gather the records of one partition; returns its greatest seq so far and how many were unreadable."""
        gathered = self._gathered
        unreadable = 0
        for record in records:
            value = record.value or b""
            try:
                life = read_lifecycle(value)
            except BadRecord:
                unreadable += 1
                continue
            if life.kind == "EventVerdict":
                self._take_verdict(life)
            elif life.kind == "RunMetadata":
                self._metadata.append(metadata_row(life))
            else:
                if life.more and life.event_ids:
                    self._events += told_events(life.more)
                run = gathered.get(life.run_id)
                if run is None:
                    run = gathered[life.run_id] = _Gathered()
                    run.known = not life.event_ids or life.seq <= seq_max
                run.lives.append(life)
                run.values.append(value)
            if life.seq > seq_max:
                seq_max = life.seq
        return seq_max, unreadable

    def _take_verdict(self, life: Lifecycle) -> None:
        for event_id in life.event_ids or [""]:
            self._verdicts.append(
                (
                    life.partition,
                    life.seq,
                    event_id,
                    life.function_id,
                    life.at_ms,
                    life.status,
                    life.code,
                    life.explanation,
                    life.action,
                )
            )

    def write(self, *, trusting: bool) -> None:
        """Write everything gathered; the caller's transaction is open.

        `trusting` takes runs that look new for new; raises sqlite3.IntegrityError if one is not.
        """
        archive = self._archive
        gathered, self._gathered = self._gathered, {}
        verdicts, self._verdicts = self._verdicts, []
        metadata, self._metadata = self._metadata, []
        events, self._events = self._events, []
        if verdicts:
            archive.executemany("INSERT OR IGNORE INTO verdicts VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", verdicts)
        if metadata:
            archive.executemany(
                "INSERT OR IGNORE INTO run_metadata VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                metadata,
            )
        if events:
            rows = [(event.id, event.name, event.ts_ms, event.at_ms, event.json) for event in events]
            archive.executemany(_INSERT_EVENT, rows)
        if not gathered:
            return
        known = self._look_up([run_id for run_id, run in gathered.items() if run.known or not trusting])
        inserts: list[tuple[Any, ...]] = []
        updates: list[tuple[Any, ...]] = []
        causes: list[tuple[str, str]] = []
        counts: Counter[tuple[int, str, str]] = Counter()
        for run_id, run in gathered.items():
            identity, row = known.get(run_id) or (0, new_row(run.lives[0]))
            was_scheduled, was_ended = row.event_count > 0, row.ended_ms > 0
            for life in run.lives:
                fold(row, life)
                if life.event_ids:
                    causes += [(event_id, run_id) for event_id in life.event_ids]
            if row.event_count > 0 and not was_scheduled:
                counts[(row.queued_ms // COUNT_BUCKET_MS * COUNT_BUCKET_MS, row.function_id, "scheduled")] += 1
            if row.ended_ms > 0 and not was_ended and row.status in _COUNTED:
                bucket_ms = row.ended_ms // COUNT_BUCKET_MS * COUNT_BUCKET_MS
                counts[(bucket_ms, row.function_id, _COUNTED[row.status])] += 1
            if identity:
                updates.append((*_astuple(row), identity))
            else:
                inserts.append(_astuple(row))
        archive.executemany(_INSERT, inserts)
        archive.executemany(_UPDATE, updates)
        archive.executemany(
            "INSERT INTO run_records(run_id, body) VALUES(?, ?)",
            [(run_id, join_records(run.values)) for run_id, run in gathered.items()],
        )
        archive.executemany("INSERT OR IGNORE INTO run_causes VALUES(?, ?)", causes)
        self._add_counts(counts)

    def _look_up(self, run_ids: list[str]) -> dict[str, tuple[int, RunRow]]:
        found: dict[str, tuple[int, RunRow]] = {}
        for begin in range(0, len(run_ids), _LOOK_UP_MAX):
            asked = json.dumps(run_ids[begin : begin + _LOOK_UP_MAX])
            for identity, *fields in self._archive.execute(_SELECT, (asked,)):
                row = RunRow(*fields)
                found[row.run_id] = (identity, row)
        return found

    def _add_counts(self, counts: Counter[tuple[int, str, str]]) -> None:
        rows: dict[tuple[int, str], dict[str, int]] = {}
        for (bucket_ms, function_id, what), n in counts.items():
            rows.setdefault((bucket_ms, function_id), {})[what] = n
        self._archive.executemany(
            "INSERT INTO function_counts(bucket_ms, function_id, scheduled, completed, failed, cancelled)"
            " VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET scheduled=scheduled+excluded.scheduled,"
            " completed=completed+excluded.completed, failed=failed+excluded.failed,"
            " cancelled=cancelled+excluded.cancelled",
            [
                (*key, *(row.get(what, 0) for what in ("scheduled", "completed", "failed", "cancelled")))
                for key, row in rows.items()
            ],
        )
