"""Dispatch: which function of the pure rooms applies which input. `apply.py` knows the ones on the hot path itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.records.commands import (
    AnnounceRuns,
    CancelRun,
    CodeMissing,
    EventsAsked,
    RunReport,
    SleepAsked,
    StepReport,
    Suspended,
)
from headrace.records.rows import Timer
from headrace.runs import (
    announce_runs,
    cancel_run,
    note_code,
    plan_sleep,
    publish_events,
    suspend_run,
    take_run_report,
    take_step_report,
)
from headrace.worker.turn import OpenTurn

COMMANDS: dict[type, Callable[[OpenTurn, Any], None]] = {
    StepReport: take_step_report,
    RunReport: take_run_report,
    SleepAsked: plan_sleep,
    EventsAsked: publish_events,
    Suspended: suspend_run,
    AnnounceRuns: announce_runs,
    CodeMissing: note_code,
    CancelRun: cancel_run,
}

# By TimerKind: called with the timer, whose row is gone by then, and the time at which it was due.
TIMERS: dict[int, Callable[[OpenTurn, Timer, int], None]] = {}

# By the kind of a broadcast: called with its name and value once its row is written (or removed: None).
BROADCASTS: dict[str, Callable[[OpenTurn, str, bytes | None], None]] = {}
