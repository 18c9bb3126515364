"""Commands between runs and the gates that give out slots."""

from __future__ import annotations

from headrace.records.command import Command


class Acquire(Command, tag=20):
    """A run asks a gate for a slot."""

    gate: bytes
    run_id: str
    number: int  # of `Slots`
    index: int  # of the gate among those of the run
    home: int  # the run's partition
    function_id: str
    limit: str
    share: bytes
    order_ms: int
    begun: bool
    place: bytes | None


class Granted(Command, tag=21):
    """A gate has given the run a slot."""

    run_id: str
    number: int
    index: int


class Release(Command, tag=22):
    """A run gives its slot back, or its place in the queue."""

    gate: bytes
    run_id: str
    number: int
