"""What stands on the changelog of a partition: claims, and the chunks of commits.

A commit is one record, or several chunks of which the last is `final`. Every record of an owner carries its claim
number `c` (the offset of its `Claim`) and `k` = 1, 2, 3 …; see `worker/honour.py` for what a reader makes of them.
"""

from __future__ import annotations

import msgspec

from headrace.records.codec import Packed

# A row of a commit: its key, and its value, or None to delete it.
RowChange = tuple[bytes, bytes | None]


class Claim(msgspec.Struct, array_like=True, gc=False, tag=1):
    """A node takes the partition. The record's offset is the claim number."""

    node: str
    uuid: str


class Chunk(msgspec.Struct, array_like=True, gc=False, tag=2):
    """One record of a commit."""

    claim: int
    k: int
    commit: int  # number of the commit within the claim: 1, 2, 3 …
    chunk: int  # number of the chunk within the commit: 0, 1, 2 …
    final: bool
    rows: list[RowChange]
    snapshot_upto: int = -1  # SnapshotDone: a complete snapshot reaches up to here (next position) …
    snapshot_begin: int = -1  # … and begins at this offset of the snapshots topic


LOG_RECORD: Packed[Claim | Chunk] = Packed("changelog record", Claim | Chunk)


class Bookmark(msgspec.Struct, array_like=True, gc=False):
    """Where a store stands in its changelog: always at the end of a complete commit, or at a claim.

    `position` is the next offset to read. `claim`, `k` and `dead` are the claim in force there; `crc` is the CRC-32 of
    the last applied record's value, which a log that was truncated or made anew does not have at `position` - 1.
    """

    topic_id: str
    position: int
    claim: int
    k: int
    dead: bool
    crc: int


BOOKMARK: Packed[Bookmark] = Packed("bookmark", Bookmark)


class SnapshotBegin(msgspec.Struct, array_like=True, gc=False, tag=1):
    """A snapshot starts: the bookmark of the store that it shows."""

    uuid: str
    bookmark: Bookmark


class SnapshotChunk(msgspec.Struct, array_like=True, gc=False, tag=2):
    """Some rows of a snapshot, in key order."""

    uuid: str
    number: int
    rows: list[tuple[bytes, bytes]]


class SnapshotEnd(msgspec.Struct, array_like=True, gc=False, tag=3):
    """A snapshot is complete: how many chunks, how many rows, and the CRC-32 over all chunk values in order."""

    uuid: str
    chunks: int
    rows: int
    crc: int


SNAPSHOT_RECORD: Packed[SnapshotBegin | SnapshotChunk | SnapshotEnd] = Packed(
    "snapshot record", SnapshotBegin | SnapshotChunk | SnapshotEnd
)
