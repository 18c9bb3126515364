"""Home: the last stage, on the partition where the run will live. It says what slots the run needs to execute.

The home is the partition of the first concurrency key that is declared (the key of the function's own state); without
one the run lives where it is.
"""

from __future__ import annotations

from headrace.admission.plan import StageNumber
from headrace.functions.gates import Limits, limits_of
from headrace.records.definitions import Definition
from headrace.records.rows import Slots, Start
from headrace.state import Turn


class Home:
    """Finds the home of a run, and the gates that it has to pass there each time it executes."""

    number = StageNumber.HOME

    def __init__(self, definition: Definition) -> None:
        self._limits: Limits | None = limits_of(definition) if definition.concurrency else None
        self._start_ms = 0 if definition.timeouts is None else definition.timeouts.start_ms

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Compute the first concurrency key; it travels along."""
        if start.place is None and self._limits is not None:
            start.place = self._limits.place(start.events[0], turn.now_ms)
        return start.place

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass, with the gates that it has to ask."""
        gates = []
        if self._limits is not None:
            # The place is this partition's, or `Plan` would have sent it on.
            gates = self._limits.gates(start.events[0], start.place, turn.now_ms, turn.partitions, turn.partition)
        expires_ms = start.accepted_ms + self._start_ms if self._start_ms else 0
        start.slots = Slots(gates, turn.now_ms - start.priority_ms, expires_ms)
        return True


def make_home(definition: Definition, *, paused: bool) -> Home | None:
    """Make the stage of a function whose runs may have to wait: for a slot, or while it is paused."""
    timed = definition.timeouts is not None and definition.timeouts.start_ms > 0
    return Home(definition) if definition.concurrency or timed or paused else None
