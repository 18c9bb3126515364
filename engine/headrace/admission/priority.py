"""Priority: how much earlier or later than it came a run stands in queues.

Any finite number of seconds counts. Of functions that SDKs register only what is an int to CEL does, as their users
know it: a number of the event's data is none.
"""

from __future__ import annotations

import math

import msgspec

from headrace.admission.plan import StageNumber
from headrace.errors import BadRecord
from headrace.expressions import compile_expression
from headrace.functions.bindings import event_bindings
from headrace.records.definitions import Definition
from headrace.records.rows import Start
from headrace.state import Turn

PRIORITY_MS_MAX = 43_200_000


class Priority:
    """Computes the seconds by which a run goes before others (above zero) or behind them (below)."""

    number = StageNumber.PRIORITY

    def __init__(self, definition: Definition) -> None:
        self._expression = compile_expression(definition.priority, variables=("event",), option="priority")
        self._ints_alone = definition.kind == "sdk"

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Wherever it is."""
        return None

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass with its priority; what is no finite number is none."""
        try:
            bindings = {"event": event_bindings(start.events[0])}
            if self._ints_alone:
                seconds: object = self._expression.whole(bindings, turn.now_ms)
            else:
                seconds = self._expression.evaluate(bindings, turn.now_ms)
        except (BadRecord, msgspec.MsgspecError, RecursionError, TypeError, ValueError):
            return True
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds):
            clamped = max(-PRIORITY_MS_MAX // 1000, min(seconds, PRIORITY_MS_MAX // 1000))
            start.priority_ms = round(clamped * 1000)
        return True


def make_priority(definition: Definition) -> Priority | None:
    """Make the stage of a function that declares it."""
    return Priority(definition) if definition.priority else None
