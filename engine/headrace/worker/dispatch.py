"""Dispatch: which function of the pure rooms applies which input. `apply.py` knows the ones on the hot path itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.admission import (
    acquire_slot,
    cancel_start,
    end_debounce,
    end_gathering,
    forget_rows,
    let_next_go,
    look_again,
    look_at_gates,
    release_lock,
    release_slot,
    remove_held,
)
from headrace.functions.settings import LIMITS, PAUSE
from headrace.records.commands import (
    Acquire,
    AnnounceRuns,
    Answer,
    CancelRun,
    CancelRuns,
    CancelStart,
    CodeMissing,
    DeferAsked,
    DeferDropped,
    EventsAsked,
    Granted,
    InvokeAsked,
    NoteMetadata,
    Release,
    ReleaseLock,
    ResumeRun,
    RunReport,
    SignalAsked,
    SleepAsked,
    StateAsked,
    StepReport,
    Suspended,
    TakenUp,
    VersionChosen,
    WaitAsked,
)
from headrace.records.rows import Timer, TimerKind
from headrace.records.waits import (
    CatchUpAsked,
    CaughtUp,
    LookedBack,
    Register,
    Seen,
    SendSignal,
    ShapeKnown,
    ShapeUsed,
    WaitAnswer,
    Withdraw,
)
from headrace.routing import (
    SHAPE_KIND,
    forget_recent,
    keep_shape,
    know_shape,
    look_after_shape,
    register_waiter,
    see_event,
    send_signal,
    take_findings,
    take_shape,
    time_out_waiter,
    withdraw_waiter,
)
from headrace.runs import (
    announce_runs,
    apply_state,
    ask_signal,
    ask_wait,
    begin_cancellation,
    cancel_again,
    cancel_run,
    choose_version,
    chooses,
    continue_cancellation,
    cron_fires,
    drop_defer,
    finish_timed_out,
    invoke_function,
    note_code,
    note_defer,
    note_metadata,
    pause_changed,
    plan_crons,
    plan_sleep,
    publish_events,
    queue_timed_out,
    resume_more,
    resume_run,
    suspend_run,
    take_answer,
    take_granted,
    take_run_report,
    take_step_report,
    take_wait_answer,
)
from headrace.worker.held_waits import ask_others, take_question, tell_caught_up
from headrace.worker.turn import OpenTurn


def _cancel_many(turn: OpenTurn, command: CancelRuns) -> None:
    """Cancel runs, and what would have become runs: starts that stages hold, events that wait for their batch."""
    if turn.state.cancellations.get(command.id.encode()) is None:
        chosen = chooses(command, turn.now_ms)
        explanation = f"the bulk cancellation {command.id}"
        remove_held(
            turn, command.function_id, lambda event: chosen(event, event.at_ms), "cancelled_in_bulk", explanation
        )
    begin_cancellation(turn, command)


def _take_up(turn: OpenTurn, command: TakenUp) -> None:
    ask_others(turn, turn.held_waits, command)


def _take_answer(turn: OpenTurn, command: CaughtUp) -> None:
    turn.held_waits.answered(command.claim, command.partition)


COMMANDS: dict[type, Callable[[OpenTurn, Any], None]] = {
    StepReport: take_step_report,
    RunReport: take_run_report,
    SleepAsked: plan_sleep,
    EventsAsked: publish_events,
    Suspended: suspend_run,
    AnnounceRuns: announce_runs,
    CodeMissing: note_code,
    VersionChosen: choose_version,
    NoteMetadata: note_metadata,
    CancelRun: cancel_run,
    CancelRuns: _cancel_many,
    CancelStart: cancel_start,
    ReleaseLock: release_lock,
    Acquire: acquire_slot,
    Granted: take_granted,
    Release: release_slot,
    ResumeRun: resume_run,
    InvokeAsked: invoke_function,
    DeferAsked: note_defer,
    DeferDropped: drop_defer,
    Answer: take_answer,
    StateAsked: apply_state,
    WaitAsked: ask_wait,
    SignalAsked: ask_signal,
    WaitAnswer: take_wait_answer,
    Register: register_waiter,
    Withdraw: withdraw_waiter,
    Seen: see_event,
    ShapeKnown: know_shape,
    ShapeUsed: keep_shape,
    SendSignal: send_signal,
    LookedBack: take_findings,
    TakenUp: _take_up,
    CatchUpAsked: take_question,
    CaughtUp: _take_answer,
}

# By TimerKind: called with the timer, whose row is gone by then, and the time at which it was due.
TIMERS: dict[int, Callable[[OpenTurn, Timer, int], None]] = {
    TimerKind.QUEUE: queue_timed_out,
    TimerKind.PAUSE: resume_more,
    TimerKind.FINISH: finish_timed_out,
    TimerKind.CRON: cron_fires,
    TimerKind.CRON_CANCEL: cancel_again,
    TimerKind.CANCEL_RUNS: continue_cancellation,
    TimerKind.WAIT: time_out_waiter,
    TimerKind.RECENT_EXPIRY: forget_recent,
    TimerKind.SHAPE: look_after_shape,
    TimerKind.CAUGHT_UP: tell_caught_up,
    TimerKind.DEBOUNCE: end_debounce,
    TimerKind.BATCH: end_gathering,
    TimerKind.THROTTLE: let_next_go,
    TimerKind.ADMISSION_EXPIRY: forget_rows,
}


def _definition_changed(turn: OpenTurn, name: str, value: bytes | None) -> None:
    plan_crons(turn, name)
    _limits_changed(turn, name, value)


def _limits_changed(turn: OpenTurn, name: str, value: bytes | None) -> None:
    look_again(turn, name)
    look_at_gates(turn)


def _pause_changed(turn: OpenTurn, name: str, value: bytes | None) -> None:
    pause_changed(turn, name, value)
    look_at_gates(turn)


# By the kind of a broadcast ("": a definition): called with its name and value once its row is written (or removed:
# None), and what is compiled from such rows is made anew.
BROADCASTS: dict[str, Callable[[OpenTurn, str, bytes | None], None]] = {
    "": _definition_changed,
    LIMITS: _limits_changed,
    PAUSE: _pause_changed,
    SHAPE_KIND: take_shape,
}
