"""Cancel on: events that end a run. They are waited for from the run's first event on, until the run has ended."""

from __future__ import annotations

from headrace.errors import HeadraceError
from headrace.functions.correlation import Criteria, criteria_of
from headrace.records.commands import Wait
from headrace.records.definitions import CancelOn
from headrace.records.rows import Run
from headrace.records.wait_rows import CANCEL_STEP, WaitRow, wait_key
from headrace.records.waits import Purpose
from headrace.runs.registering import place_wait, register, stored_of
from headrace.state import Turn

HELD_MS = 1_000  # a run that is made so long after its first event begins once it is known that nothing cancels it


def watch_for_cancel(turn: Turn, run_id: str, run: Run, cancel_on: list[CancelOn]) -> bool:
    """Wait for the events that cancel the run; what came after the run's first event counts, however late it is made.

    True if it must not begin yet: a stage has held it, and what would cancel it may have come meanwhile. The run's row
    is put by the caller.
    """
    stored = stored_of(run.events[0])
    usable: list[tuple[CancelOn, Criteria]] = []
    for entry in cancel_on:
        try:
            usable.append((entry, criteria_of(entry.match, entry.expression)))
        except HeadraceError:  # checked where it was declared; one that got here all the same must not stop the run
            continue
    if not usable:
        return False
    run.waited = True
    waits = [Wait(entry.event, entry.match, entry.expression) for entry, _ in usable]
    placed = [place_wait(run_id, wait, usable[index][1], stored) for index, wait in enumerate(waits)]
    from_ms = run.events[0].at_ms
    row = WaitRow(Purpose.CANCEL, waits, placed, from_ms, 0, turn.now_ms)
    # A batch always: what it gathered after the event that cancels it is not to be lost with the rest.
    held = turn.now_ms - from_ms >= HELD_MS or len(run.events) > 1
    row.unconfirmed = list(range(len(waits))) if held else []
    turn.state.waiting.asked.put(wait_key(run_id, CANCEL_STEP), row)
    for index, (entry, _) in enumerate(usable):
        row.due_ms = turn.now_ms + entry.timeout_ms if entry.timeout_ms else 0
        register(turn, run_id, CANCEL_STEP, run, row, index)
    return held
