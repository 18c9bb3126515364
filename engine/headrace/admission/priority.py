"""Priority: how much earlier or later than it came a run stands in queues."""

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

    def __init__(self, expression: str) -> None:
        self._expression = compile_expression(expression, variables=("event",), option="priority")

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Wherever it is."""
        return None

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass with its priority; what is no finite number is none."""
        try:
            bindings = {"event": event_bindings(start.events[0])}
            seconds = self._expression.evaluate(bindings, turn.now_ms)
        except (BadRecord, msgspec.MsgspecError, RecursionError, TypeError, ValueError):
            return True
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds):
            clamped = max(-PRIORITY_MS_MAX // 1000, min(seconds, PRIORITY_MS_MAX // 1000))
            start.priority_ms = round(clamped * 1000)
        return True


def make_priority(definition: Definition) -> Priority | None:
    """Make the stage of a function that declares it."""
    return Priority(definition.priority) if definition.priority else None
