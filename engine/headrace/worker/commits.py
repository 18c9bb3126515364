"""Commits on their way: cut into chunks, appended under the claim, and honoured in order as the reports come.

The owner applies the very rule that readers apply (`honour.py`) to what is reported: an append that fails, comes back
without an offset, or landed anywhere but at c + k means that readers will honour neither it nor anything after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from zlib import crc32

from headrace.adapters.seams import Appender
from headrace.errors import StateCorrupted
from headrace.records.changelog import LOG_RECORD, Bookmark, Chunk, RowChange
from headrace.worker.honour import Honour
from headrace.worker.neighbours import Handed
from headrace.worker.turn import Effect, OutboxRow

_ROW_OVERHEAD = 12
_RECORD_BYTES_MAX = 16_500_000  # a little below `max.message.bytes` of the topic


class Commit:
    """One commit in flight."""

    __slots__ = (
        "commands_upto",
        "crc",
        "effects",
        "handed",
        "last_k",
        "rows",
        "sends",
        "snapshot_begin",
        "snapshot_upto",
    )

    def __init__(
        self,
        rows: list[RowChange],
        sends: list[tuple[bytes, OutboxRow]],
        effects: list[Effect],
        snapshot_upto: int,
        snapshot_begin: int,
        commands_upto: int,
        handed: list[Handed] | None = None,
    ) -> None:
        self.rows = rows
        self.sends = sends
        self.effects = effects
        self.snapshot_upto = snapshot_upto
        self.snapshot_begin = snapshot_begin
        self.commands_upto = commands_upto  # the position on the commands topic that stands in this commit
        self.handed = handed  # what neighbours have sent and is safe with this commit
        self.last_k = 0
        self.crc = 0


def cut(rows: list[RowChange], chunk_bytes: int) -> list[list[RowChange]]:
    """Cut rows into chunks of about `chunk_bytes`; a single row may be larger, so callers bound rows."""
    chunks: list[list[RowChange]] = [[]]
    size = 0
    for row in rows:
        row_bytes = len(row[0]) + (len(row[1]) if row[1] is not None else 0) + _ROW_OVERHEAD
        if size + row_bytes > chunk_bytes and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append(row)
        size += row_bytes
    return chunks


class Commits:
    """The commits of one claim."""

    def __init__(
        self,
        appender: Appender,
        topic: str,
        partition: int,
        topic_id: str,
        claim: int,
        chunk_bytes: int,
        honoured: Callable[[Commit, Bookmark], None],
        fenced: Callable[[str], None],
    ) -> None:
        self._appender = appender
        self._topic = topic
        self._partition = partition
        self._topic_id = topic_id
        self._claim = claim
        self._chunk_bytes = chunk_bytes
        self._honoured = honoured
        self._fenced = fenced
        self._rule = Honour()  # as a reader sees it: fed with what is reported
        self._rule.claimed(claim)
        self._sent_k = 0
        self._number = 0
        self._flight: deque[Commit] = deque()
        self.closed = False
        self.honoured = 0  # commits that count
        self.unreported = 0
        self.bytes = 0  # appended under this claim

    @property
    def in_flight(self) -> int:
        """How many commits are appended and not honoured yet."""
        return len(self._flight)

    @property
    def next_offset(self) -> int:
        """The offset at which the next commit's first record will stand, if it is to count."""
        return self._claim + self._sent_k + 1

    def append(self, commit: Commit) -> None:
        """Send a commit; it takes effect when its final chunk is honoured."""
        self._number += 1
        self._flight.append(commit)
        whole = self._encode(commit, 0, True, commit.rows)
        if len(whole) <= self._chunk_bytes:
            values = [whole]
        else:
            chunks = cut(commit.rows, self._chunk_bytes)
            values = [self._encode(commit, i, i == len(chunks) - 1, rows) for i, rows in enumerate(chunks)]
        largest = max(map(len, values))
        if largest > _RECORD_BYTES_MAX:
            raise StateCorrupted(
                "commit_too_large",
                f"partition {self._partition}: a record of {largest} bytes for the changelog; "
                f"{_RECORD_BYTES_MAX} are allowed",
                why="one row of the state is larger than Kafka takes, which the limits of its inputs should prevent",
                do="report this; the log of the node and the record at the positions of this partition show the input",
            )
        commit.last_k = self._sent_k + len(values)
        commit.crc = crc32(values[-1])
        for value in values:
            self._sent_k += 1
            self.bytes += len(value)
            self.unreported += 1
            self._appender.append(self._topic, self._partition, value, partial(self._reported, self._sent_k))

    def _encode(self, commit: Commit, number: int, final: bool, rows: list[RowChange]) -> bytes:
        k = self._sent_k + number + 1
        upto, begin = commit.snapshot_upto, commit.snapshot_begin
        return LOG_RECORD.encode(Chunk(self._claim, k, self._number, number, final, rows, upto, begin))

    def _reported(self, k: int, offset: int, error: str | None) -> None:
        self.unreported -= 1
        if self.closed:
            return
        if error is not None or not self._rule.follows(self._claim, k, offset):
            self.closed = True
            where = f"offset {offset}" if offset >= 0 else "an unknown offset"
            self._fenced(error or f"record {k} of claim {self._claim} landed at {where}, not at {self._claim + k}")
            return
        commit = self._flight[0]
        if k == commit.last_k:
            self._flight.popleft()
            self.honoured += 1
            bookmark = Bookmark(self._topic_id, offset + 1, self._claim, k, False, commit.crc)
            self._honoured(commit, bookmark)

    def close(self) -> None:
        """Ignore every later report."""
        self.closed = True
