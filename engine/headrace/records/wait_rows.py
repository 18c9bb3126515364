"""What a run waits for, as its home keeps it, and what has resolved its waits before."""

from __future__ import annotations

from msgspec import field

from headrace.records.commands import Wait
from headrace.records.rows import Row

# The step names under which a run's own rows stand: no step has such a name, ids of steps have no NUL at their start.
CANCEL_STEP = b"\0cancel"
MATCHED_STEP = b"\0matched"


class Registered(Row):
    """One of a step's waits: where it is decided, and which registration counts."""

    digest: bytes
    n: int = 0
    open: bool = True  # not timed out


class WaitRow(Row):
    """What a step waits for; the run's home decides between several."""

    purpose: int
    waits: list[Wait]
    registered: list[Registered]
    from_ms: int
    due_ms: int
    asked_ms: int
    strict: bool = False
    unconfirmed: list[int] = field(default_factory=list)  # of cancellations: the run begins when all are clear
    matched: list[tuple[int, str]] = field(default_factory=list)  # under MATCHED_STEP: (log time, id)
    conflict: str = ""  # of a signal, as it was asked


def wait_key(run_id: str, step: bytes) -> bytes:
    """Key of a row, without its table."""
    return run_id.encode() + step
