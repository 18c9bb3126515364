"""The lifecycle records of one run as the archive keeps them: joined as they were read, taken apart when asked for."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.console.lifecycle_reader import read_lifecycle
from headrace.records.history import Lifecycle


def join_records(values: list[bytes]) -> bytes:
    """Join records into one body: each has its length before it, four bytes."""
    return b"".join([part for value in values for part in (len(value).to_bytes(4, "big"), value)])


def split_records(bodies: Iterable[bytes]) -> list[Lifecycle]:
    """Read the records of all bodies of a run, in the order of their seq, each once."""
    found: dict[int, Lifecycle] = {}
    for body in bodies:
        at = 0
        while at < len(body):
            end = at + 4 + int.from_bytes(body[at : at + 4], "big")
            record = read_lifecycle(body[at + 4 : end])
            found[record.seq] = record
            at = end
    return [found[seq] for seq in sorted(found)]
