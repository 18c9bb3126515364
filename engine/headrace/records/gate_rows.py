"""The rows of gates: who has a slot, who waits for one, and whose turn it is."""

from __future__ import annotations

from headrace.records.rows import Row

CLAIMS = b"g"  # + gate, run id
QUEUED_RUNS = b"j"  # + gate, share, place in the queue (16 bytes, see `admission/gates.py`)
TURNS = b"G"  # + gate, share: grows with each slot that the share was given, while it waits for more
PAUSED_RUNS = b"h"  # + digest of the pause (16 bytes), place in the queue (16 bytes): the run's id
PAUSED_BYTES = 16


class SlotClaim(Row):
    """A run at a gate: it has a slot, or waits for one at `queued` (the key of a row of QUEUED_RUNS)."""

    number: int  # of the run's `Slots`
    queued: bytes = b""


class QueuedRun(Row):
    """A run that waits for a slot."""

    run_id: str
    number: int
    index: int  # of this gate among the run's
    home: int
    function_id: str
    limit: str
    begun: bool
    place: bytes | None = None
