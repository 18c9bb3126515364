"""The one rule for what counts on a changelog, shared by owner, restore and standby.

    A record is honoured iff its claim is the latest claim before it in the log, its k is the previous k + 1, and its
    offset is exactly c + k. The first record that misses kills that claim for everybody until the next Claim. A Claim
    resets k and empties the chunk buffer. A commit takes effect when its final chunk is honoured.

Why both k and the offset: k alone lets a record through that a retry wrote twice; the offset alone lets chunks through
whose predecessor was lost before a stranger's record took its place. Why a gap kills for good: the owner, too, sees
only "not at c + k" and must reach the same verdict about everything that follows, without talking to anybody.
"""

from __future__ import annotations

from headrace.errors import StateCorrupted
from headrace.records.changelog import LOG_RECORD, Chunk, Claim
from headrace.records.codec import FORMAT_VERSION

NO_CLAIM = -1
# First bytes that a later format of ours may have; anything else that cannot be read is a stranger's record.
VERSIONS_RESERVED = range(FORMAT_VERSION + 1, 32)


class Honour:
    """Follows a changelog record by record and tells which commits count."""

    __slots__ = ("buffer", "claim", "dead", "k")

    def __init__(self, claim: int = NO_CLAIM, k: int = 0, dead: bool = True) -> None:
        # Dead before the first Claim: offset 0 would be c + 1 for a record that gives -1 as its claim.
        self.claim = claim
        self.k = k
        self.dead = dead
        self.buffer: list[Chunk] = []

    def claimed(self, offset: int) -> None:
        """Take note of a Claim at this offset."""
        self.claim = offset
        self.k = 0
        self.dead = False
        self.buffer = []

    def follows(self, claim: int, k: int, offset: int) -> bool:
        """Apply the rule to one record; a miss kills the claim."""
        if self.dead or claim != self.claim or k != self.k + 1 or offset != self.claim + k:
            self.dead = True
            self.buffer = []
            return False
        self.k = k
        return True

    def read(self, offset: int, record: Claim | Chunk | None) -> list[Chunk] | None:
        """Take the next record of the log (None: a stranger's); return the chunks of the commit that it completes."""
        if isinstance(record, Claim):
            self.claimed(offset)
            return None
        if record is None or not self.follows(record.claim, record.k, offset):
            self.dead = True
            self.buffer = []
            return None
        self.buffer.append(record)
        if not record.final:
            return None
        chunks = self.buffer
        self.buffer = []
        return chunks

    @property
    def between_commits(self) -> bool:
        """Whether the log stands here at the end of a complete commit (or claim)."""
        return not self.buffer


def parse_log_record(value: bytes | None) -> Claim | Chunk | None:
    """Decode a changelog record; None for what Headrace did not write; `StateCorrupted` for a newer format."""
    if not value:
        return None
    try:
        return LOG_RECORD.decode(value)
    except StateCorrupted:
        if value[0] in VERSIONS_RESERVED:
            raise
        return None
