"""Gather again: what came after the event that cancels a batch is no part of it, and goes into the next one."""

from __future__ import annotations

from headrace.records.rows import KnownEvent, Run
from headrace.runs.start import new_start
from headrace.state import Turn

BEFORE_BATCH = 30  # the stage right before the batch, by the numbers of admission/plan.py


def events_after(run: Run, at_ms: int) -> list[KnownEvent]:
    """List the events of a batch that came after the one that cancels it; the batch has not begun yet."""
    return [event for event in run.events if event.at_ms > at_ms]


def gather_again(turn: Turn, function_id: str, events: list[KnownEvent]) -> None:
    """Put events back to where their batch is gathered."""
    definition = turn.definition(function_id)
    for event in events:
        start = new_start(turn, function_id, event)
        # They have passed what comes before: counting them there once more would drop them.
        start.stage = 0 if definition is not None and definition.kind == "sdk" else BEFORE_BATCH
        turn.command(turn.partition, start)
