"""Follow a changelog: apply the commits that count to a store. Restore and standbys do nothing else."""

from __future__ import annotations

from zlib import crc32

from headrace.adapters.seams import Record, Store
from headrace.records.changelog import BOOKMARK, Bookmark, Chunk, Claim
from headrace.records.rows import STORE
from headrace.worker.honour import Honour, parse_log_record

ROWS_PER_WRITE = 5_000


def bookmark_of(store: Store) -> Bookmark | None:
    """Read where a store stands in its changelog; None for an empty one."""
    packed = store.get(STORE)
    return None if packed is None else BOOKMARK.decode(packed)


class Follower:
    """One store, brought along its changelog record by record."""

    def __init__(self, store: Store, topic_id: str) -> None:
        self.store = store
        self._topic_id = topic_id
        bookmark = bookmark_of(store)
        self.position = 0  # the next offset to read
        self._rule = Honour()
        if bookmark is not None:
            self.position = bookmark.position
            self._rule = Honour(bookmark.claim, bookmark.k, bookmark.dead)
        self._changes: dict[bytes, bytes | None] = {}
        self._bookmark: Bookmark | None = None
        self.last_claim: Claim | None = None  # the latest one seen here
        self.last_claim_at_ms = 0
        self.bytes = 0  # of changelog followed
        self.records = 0
        self.commits = 0

    @property
    def claim(self) -> int:
        """The offset of the claim in force."""
        return self._rule.claim

    def take(self, record: Record) -> None:
        """Apply the next record of the log."""
        parsed: Claim | Chunk | None = parse_log_record(record.value)
        value = record.value or b""
        self.bytes += len(value)
        self.records += 1
        if isinstance(parsed, Claim):
            self.last_claim = parsed
            self.last_claim_at_ms = record.timestamp_ms
        chunks = self._rule.read(record.offset, parsed)
        if chunks is not None:
            self.commits += 1
            for chunk in chunks:
                self._changes.update(chunk.rows)
        self.position = record.offset + 1
        rule = self._rule
        if rule.between_commits:  # a stored position is always that of a complete commit
            self._bookmark = Bookmark(self._topic_id, record.offset + 1, rule.claim, rule.k, rule.dead, crc32(value))
            if len(self._changes) >= ROWS_PER_WRITE:
                self.flush()

    def flush(self) -> None:
        """Write what has been followed so far to the store."""
        if self._bookmark is None:
            return
        self.store.write([*self._changes.items(), (STORE, BOOKMARK.encode(self._bookmark))])
        self._changes = {}
        self._bookmark = None
