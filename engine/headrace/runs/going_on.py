"""Going on: a result came for a run that may be without its slots."""

from __future__ import annotations

from headrace.records.rows import Run, Step
from headrace.runs.queue import ask_slots
from headrace.runs.slots import has_slots
from headrace.state import Turn


def go_on(turn: Turn, run_id: str, run: Run, step: bytes, row: Step) -> None:
    """Tell the run's code what became of a step; the step's row is put already, the run is put here.

    A run that gave its slots back while it slept or waited asks for them first. The result stands, whatever comes.
    """
    run_key = run_id.encode()
    if run.retry_due_ms:  # the body has failed and is tried again at its own time, which finds the step as it is now
        turn.state.runs.put(run_key, run)
        turn.resolve(run_id, step, row)
        return
    slots = run.slots
    if slots is None or has_slots(run):
        turn.state.runs.resume(run_key, run)
        turn.resolve(run_id, step, row)
        return
    slots.news.append(step)
    if slots.asked:
        turn.state.runs.put(run_key, run)
    else:
        ask_slots(turn, run_id, run, slots)


def start_again(turn: Turn, run_id: str, run: Run) -> None:
    """Start the run's code, once it has its slots; the run is put here."""
    slots = run.slots
    if slots is None or has_slots(run):
        turn.state.runs.resume(run_id.encode(), run)
        turn.execute(run_id)
        return
    slots.afresh = True
    if slots.asked:
        turn.state.runs.put(run_id.encode(), run)
    else:
        ask_slots(turn, run_id, run, slots)
