"""Announce: a run becomes visible in the history.

A run that ends within a moment is one record, its RunEnded, which says when it was scheduled and by which events: half
of all history would otherwise be runs that are over before anybody can see them. Every other run is announced with its
first transition, or when it has been alive for a moment.
"""

from __future__ import annotations

from typing import Any

from headrace.records.commands import AnnounceRuns
from headrace.records.history import Kind
from headrace.records.rows import Phase, Run
from headrace.runs.telling import with_events
from headrace.state import Turn


def announce(turn: Turn, run_id: str, run: Run) -> None:
    """Write the run's RunScheduled, unless that is done; its `at_ms` is now, its `started_ms` when it was made."""
    if not run.announced:
        run.announced = True
        turn.state.runs.put(run_id.encode(), run)
        more: dict[str, Any] = {
            "phase": "queued" if run.phase == Phase.QUEUED else "executing",
            "started_ms": run.created_ms,
        }
        with_events(more, run.events)
        turn.history(Kind.RunScheduled, run_id, run.function_id, **more)


def announce_runs(turn: Turn, command: AnnounceRuns) -> None:
    """Announce those of the runs that are still alive, and tell of those that still wait for a slot."""
    for run_id in command.run_ids:
        run = turn.state.runs.get(run_id.encode())
        if run is None:
            continue
        known = run.announced
        announce(turn, run_id, run)
        if run.phase == Phase.QUEUED and run.slots is not None and not run.slots.told:
            run.slots.told = True
            turn.state.runs.put(run_id.encode(), run)
            if known:
                turn.history(Kind.RunPhase, run_id, run.function_id, phase="queued")
