"""The projection: records of the topics become rows of the archive, each exactly once.

Rows and positions change in one transaction, so a crash repeats nothing and leaves nothing out. A lifecycle record that
the engine itself sent twice (its outbox may) is recognised by its seq, and changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from headrace.adapters.seams import Record
from headrace.console.event_rows import EventIds, dead_letter_row, event_row
from headrace.console.run_projection import RunProjection
from headrace.errors import BadRecord
from headrace.records.broadcasts import split_broadcast_key
from headrace.worker.layout import Topics

_MINUTE_MS = 60_000


@dataclass
class Position:
    """How far one partition of a topic is read."""

    next_offset: int
    read_ms: int = 0
    seq_max: int = -1


class Projection:
    """Writes records into an archive that is open for writing.

    `events_topic_id` is Kafka's id of the events topic: the internal id of an event that came without one is derived
    from it, as the engine does.
    """

    def __init__(self, archive: sqlite3.Connection, topics: Topics, events_topic_id: str) -> None:
        self._archive = archive
        self._topics = topics
        self._event_ids = EventIds(events_topic_id)
        self._runs = RunProjection(archive)
        self._positions: dict[tuple[str, int], Position] = {
            (topic, partition): Position(next_offset, read_ms, seq_max)
            for topic, partition, next_offset, read_ms, seq_max in archive.execute(
                "SELECT topic, partition, next_offset, read_ms, seq_max FROM positions"
            )
        }
        self.event_stride = 1  # of the events, only every n-th is kept while the projection is far behind
        self.unreadable = 0
        self.applied = 0
        self._unreadable_now = 0

    def position(self, topic: str, partition: int) -> int | None:
        """Tell the next offset to read, None where nothing of the partition was read yet."""
        found = self._positions.get((topic, partition))
        return None if found is None else found.next_offset

    def start_at(self, topic: str, partition: int, offset: int, *, missed: int = 0) -> None:
        """Go on from this offset; `missed` records are gone for good."""
        self._positions.setdefault((topic, partition), Position(offset)).next_offset = offset
        self._archive.execute(
            "INSERT INTO positions(topic, partition, next_offset, missed) VALUES(?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET next_offset=excluded.next_offset, missed=missed+excluded.missed",
            (topic, partition, offset, missed),
        )

    def note_ends(self, ends: Mapping[tuple[str, int], int], now_ms: int) -> None:
        """Note where the logs end now, and that the projection is alive."""
        archive = self._archive
        archive.execute("BEGIN IMMEDIATE")
        archive.executemany(
            "UPDATE positions SET log_end=? WHERE topic=? AND partition=?",
            [(end, topic, partition) for (topic, partition), end in ends.items()],
        )
        facts = {"alive_ms": now_ms, "unreadable": self.unreadable, "event_stride": self.event_stride}
        archive.executemany(
            "INSERT INTO facts VALUES(?, ?) ON CONFLICT DO UPDATE SET value=excluded.value",
            [(name, str(value)) for name, value in facts.items()],
        )
        archive.execute("COMMIT")

    def apply(self, records: Sequence[Record]) -> None:
        """Take records in, in one transaction; those of a partition are in order. Any error leaves all as it was."""
        try:
            self._apply(records, trusting=True)
        except sqlite3.IntegrityError:
            # A run was made twice by two records with different seqs: then all runs of the batch are looked up.
            self._apply(records, trusting=False)
        self.applied += len(records)

    def _apply(self, records: Sequence[Record], *, trusting: bool) -> None:
        positions = {key: Position(p.next_offset, p.read_ms, p.seq_max) for key, p in self._positions.items()}
        self._unreadable_now = 0
        self._archive.execute("BEGIN IMMEDIATE")
        try:
            for (topic, partition), same in groupby(records, attrgetter("topic", "partition")):
                position = positions.setdefault((topic, partition), Position(0))
                fresh = [record for record in same if record.offset >= position.next_offset]
                if fresh:
                    self._apply_topic(topic, partition, fresh, position)
                    position.next_offset = fresh[-1].offset + 1
                    position.read_ms = fresh[-1].timestamp_ms
            self._runs.write(trusting=trusting)
            self._archive.executemany(
                "INSERT INTO positions(topic, partition, next_offset, read_ms, seq_max) VALUES(?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET"
                " next_offset=excluded.next_offset, read_ms=excluded.read_ms, seq_max=excluded.seq_max",
                [
                    (*key, position.next_offset, position.read_ms, position.seq_max)
                    for key, position in positions.items()
                    if position != self._positions.get(key)
                ],
            )
            self._archive.execute("COMMIT")
        except BaseException:
            self._runs.forget()
            if self._archive.in_transaction:
                self._archive.execute("ROLLBACK")
            raise
        self._positions = positions
        self.unreadable += self._unreadable_now

    def _apply_topic(self, topic: str, partition: int, records: list[Record], position: Position) -> None:
        if topic == self._topics.history:
            seq_max, unreadable = self._runs.take(records, position.seq_max)
            position.seq_max = seq_max
            self._unreadable_now += unreadable
        elif topic == self._topics.events:
            self._insert_events(partition, records)
        elif topic == self._topics.dead:
            self._archive.executemany(
                "INSERT INTO dead_letters(at_ms, code, reason, topic, topic_partition, topic_offset, record_key, body,"
                " body_bytes) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [dead_letter_row(record) for record in records],
            )
        elif topic == self._topics.functions:
            self._change_functions(records)

    def _insert_events(self, partition: int, records: list[Record]) -> None:
        stride = self.event_stride
        kept = records if stride == 1 else [record for record in records if record.offset % stride == 0]
        if stride > 1:
            self._note_sampling(records, len(kept))
        rows = []
        for record in kept:
            try:
                rows.append(event_row(record, self._event_ids))
            except BadRecord:
                continue  # the engine puts it on the dead-letter topic, with the reason
        self._archive.executemany(
            "INSERT INTO events(event_id, name, given_id, ts_ms, received_ms, record_key, topic_partition,"
            " topic_offset, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def _note_sampling(self, records: list[Record], kept: int) -> None:
        # By the minute of the batch's first record: near enough for "about one in ten was kept then".
        minute_ms = records[0].timestamp_ms // _MINUTE_MS * _MINUTE_MS
        self._archive.execute(
            "INSERT INTO samplings VALUES(?, ?, ?)"
            " ON CONFLICT DO UPDATE SET seen=seen+excluded.seen, kept=kept+excluded.kept",
            (minute_ms, len(records), kept),
        )

    def _change_functions(self, records: Iterable[Record]) -> None:
        for record in records:
            kind, function_id = split_broadcast_key(record.key or b"")
            if kind:
                continue
            if record.value is None:
                self._archive.execute("DELETE FROM functions WHERE function_id=?", (function_id,))
            else:
                self._archive.execute(
                    "INSERT INTO functions VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET"
                    " definition=excluded.definition, changed_ms=excluded.changed_ms",
                    (function_id, record.value, record.timestamp_ms),
                )
