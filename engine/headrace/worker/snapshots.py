"""Snapshots: the store of a partition, streamed to the snapshots topic, so that its changelog can be trimmed.

A snapshot is a cached prefix of the changelog: whoever wrote it, the complete one with the highest position is the one
to read. Writing goes in slices on the loop, with two chunks on their way at most.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import msgspec

from headrace.adapters.seams import Appender, Loop, Outgoing, Record, Snapshot, Store
from headrace.errors import StateCorrupted
from headrace.records.changelog import (
    BOOKMARK,
    SNAPSHOT_RECORD,
    Bookmark,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
)
from headrace.records.rows import STORE
from headrace.worker.follow import bookmark_of

CHUNKS_IN_FLIGHT_MAX = 2
_EVERY_KEY = (b"", b"\xff" * 65)


class SnapshotWriter:
    """Writes one snapshot: `done(bookmark, begin offset, bytes)` once all is acknowledged, or `failed(reason)`."""

    def __init__(
        self,
        store: Store,
        appender: Appender,
        loop: Loop,
        place: tuple[str, int],
        uuid: str,
        chunk_bytes: int,
        done: Callable[[Bookmark, int, int], None],
        failed: Callable[[str], None],
    ) -> None:
        bookmark = bookmark_of(store)
        if bookmark is None:
            raise AssertionError("a snapshot of a store that stands nowhere in its log")
        self._bookmark = bookmark
        self._snapshot: Snapshot | None = store.snapshot()
        self._rows = self._snapshot.scan(*_EVERY_KEY)
        self._appender = appender
        self._loop = loop
        self._topic, self._partition = place
        self._uuid = uuid
        self._chunk_bytes = chunk_bytes
        self._done = done
        self._failed = failed
        self._begin = -1
        self._chunks = self._row_count = self._crc = self._bytes = self._in_flight = 0
        self._ended = False
        begin = SNAPSHOT_RECORD.encode(SnapshotBegin(uuid, bookmark))
        appender.append(self._topic, self._partition, begin, self._begun)

    def _begun(self, offset: int, error: str | None) -> None:
        if self._snapshot is None:
            return
        if error is not None or offset < 0:
            self.abandon()
            self._failed(error or "the begin of the snapshot came back without an offset")
            return
        self._begin = offset
        self._write_on()

    def _write_on(self) -> None:
        if self._snapshot is None or self._ended:
            return
        try:
            self._write_slice()
        except Exception as error:  # a damaged block, say
            self.abandon()
            self._failed(f"{type(error).__name__}: {error}")

    def _write_slice(self) -> None:
        rows: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in self._rows:
            if key != STORE:  # it stands in Begin
                rows.append((key, value))
                size += len(key) + len(value)
                if size >= self._chunk_bytes:
                    break
        if rows:
            record: SnapshotChunk | SnapshotEnd = SnapshotChunk(self._uuid, self._chunks, rows)
            self._chunks += 1
            self._row_count += len(rows)
        else:
            record = SnapshotEnd(self._uuid, self._chunks, self._row_count, self._crc)
            self._ended = True
        value = SNAPSHOT_RECORD.encode(record)
        if rows:
            self._crc = crc32(value, self._crc)
        self._bytes += len(value)
        self._in_flight += 1
        outgoing = Outgoing(self._topic, self._partition, None, value)
        self._appender.send([outgoing], self._sent)
        if self._in_flight < CHUNKS_IN_FLIGHT_MAX:
            self._loop.call_soon(self._write_on)

    def _sent(self, failed: int | None) -> None:
        if self._snapshot is None:
            return
        self._in_flight -= 1
        if failed is not None:
            self.abandon()
            self._failed("a chunk of the snapshot may not be in the log")
        elif not self._ended:
            self._write_on()
        elif not self._in_flight:
            self.abandon()
            self._done(self._bookmark, self._begin, self._bytes)

    def abandon(self) -> None:
        """Stop writing and let the store's snapshot go; what was written so far is never read."""
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None


class _Seen(msgspec.Struct):
    bookmark: Bookmark
    begin: int
    chunks: int = 0
    rows: int = 0
    crc: int = 0
    end: int = -1


class SnapshotIndex:
    """Finds the complete snapshot with the highest position among the records of a snapshots partition."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def take(self, record: Record) -> None:
        """Look at the next record."""
        parsed = parse_snapshot_record(record)
        if isinstance(parsed, SnapshotBegin):
            self._seen[parsed.uuid] = _Seen(parsed.bookmark, record.offset)
            return
        seen = None if parsed is None else self._seen.get(parsed.uuid)
        if seen is None:  # its begin is trimmed, or it is not ours
            return
        if isinstance(parsed, SnapshotChunk):
            if parsed.number == seen.chunks:
                seen.chunks += 1
                seen.rows += len(parsed.rows)
                seen.crc = crc32(record.value or b"", seen.crc)
        elif isinstance(parsed, SnapshotEnd) and (parsed.chunks, parsed.rows, parsed.crc) == (
            seen.chunks,
            seen.rows,
            seen.crc,
        ):
            seen.end = record.offset

    def best(self) -> tuple[str, Bookmark, int, int] | None:
        """Return (uuid, bookmark, offset of its begin, offset of its end), or None if there is no complete one."""
        complete = [(seen.bookmark.position, uuid) for uuid, seen in self._seen.items() if seen.end >= 0]
        if not complete:
            return None
        uuid = max(complete)[1]
        seen = self._seen[uuid]
        return uuid, seen.bookmark, seen.begin, seen.end


class SnapshotLoader:
    """Writes the rows of one snapshot into an empty store."""

    def __init__(self, store: Store, uuid: str, bookmark: Bookmark) -> None:
        self._store = store
        self._uuid = uuid
        self._bookmark = bookmark
        self.rows = 0

    def take(self, record: Record) -> bool:
        """Apply the next record; True once the snapshot is complete in the store."""
        parsed = parse_snapshot_record(record)
        if parsed is None or parsed.uuid != self._uuid:
            return False
        if isinstance(parsed, SnapshotChunk):
            self._store.write(parsed.rows)
            self.rows += len(parsed.rows)
            return False
        if isinstance(parsed, SnapshotEnd):
            # Only now does the store stand anywhere: cut off before this, it is taken for empty and wiped.
            self._store.write([(STORE, BOOKMARK.encode(self._bookmark))])
            return True
        return False


def parse_snapshot_record(record: Record) -> SnapshotBegin | SnapshotChunk | SnapshotEnd | None:
    """Decode a record of a snapshots topic; None for what Headrace did not write."""
    try:
        return SNAPSHOT_RECORD.decode(record.value or b"")
    except StateCorrupted:
        if record.value and 1 < record.value[0] < 32:
            raise
        return None
