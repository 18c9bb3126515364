"""Cancel many: all runs of a function that were made in some time, and match an expression.

Every partition is told, and goes through its runs some at a time: there may be a million. What stages hold of the
function is taken away at once, by `admission`, which asks `chooses` of each event.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.errors import BadDeclaration, BadRecord
from headrace.expressions import Expression, compile_expression
from headrace.functions.bindings import event_bindings
from headrace.records.commands import CancelRun, CancelRuns
from headrace.records.rows import Cancellation, KnownEvent, Timer, TimerKind, timer_key
from headrace.runs.cancel import cancel_run
from headrace.state import Turn

PART = 500


def begin_cancellation(turn: Turn, command: CancelRuns) -> None:
    """Take up a bulk cancellation; one that is here already goes on as it is."""
    key = command.id.encode()
    if turn.state.cancellations.get(key) is not None:
        return
    row = Cancellation(command.function_id, command.after_ms, command.before_ms, command.expression)
    turn.state.cancellations.put(key, row)
    _go_on(turn, command.id, turn.now_ms)


def continue_cancellation(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Cancel what matches of the next runs."""
    key = timer.run_id.encode()
    row = turn.state.cancellations.get(key)
    if row is None:
        return
    chosen = chooses(row, turn.now_ms)
    page = turn.state.runs.page(row.cursor, PART)
    for run_key, run in page:
        if run.function_id == row.function_id and chosen(run.events[0], run.created_ms):
            row.cancelled += 1
            cancel_run(turn, CancelRun(run_key.decode(), f"the bulk cancellation {timer.run_id}"))
    if len(page) < PART:
        turn.state.cancellations.delete(key)
        return
    row.cursor = page[-1][0]
    turn.state.cancellations.put(key, row)
    _go_on(turn, timer.run_id, turn.now_ms + 1)


def _go_on(turn: Turn, cancellation_id: str, due_ms: int) -> None:
    timer = Timer(TimerKind.CANCEL_RUNS, cancellation_id)
    turn.state.timers.put(timer_key(due_ms, TimerKind.CANCEL_RUNS, cancellation_id), timer)


def chooses(wish: CancelRuns | Cancellation, now_ms: int) -> Callable[[KnownEvent, int], bool]:
    """Make what tells whether a run or start of the function is meant, by its first event and when it was made."""
    try:
        expression = compile_expression(wish.expression, variables=("event",), option="if") if wish.expression else None
    except BadDeclaration:  # checked where it was asked for, by a version that knows more
        return lambda event, made_ms: False

    def chosen(event: KnownEvent, made_ms: int) -> bool:
        if not wish.after_ms <= made_ms < wish.before_ms:
            return False
        return expression is None or _matches(expression, event, now_ms)

    return chosen


def _matches(expression: Expression, event: KnownEvent, now_ms: int) -> bool:
    try:
        return expression.matches({"event": event_bindings(event)}, now_ms)
    except (BadRecord, msgspec.MsgspecError, RecursionError, TypeError, ValueError):
        return False
