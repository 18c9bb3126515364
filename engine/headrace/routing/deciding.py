"""Deciding: whether an event matches a waiter, and the one answer that the waiter's home is given."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.errors import HeadraceError
from headrace.expressions import compile_expression
from headrace.records.rows import Failure, TimerKind, timer_key
from headrace.records.waits import Found, Purpose, ShapeRow, WaitAnswer, Waiter, place_of, undecided_key
from headrace.routing.arriving import Arriving
from headrace.state import Turn


def matches(turn: Turn, waiter: Waiter, arriving: Arriving) -> bool:
    """Tell whether an event of the waiter's digest resolves it."""
    event = arriving.found.event
    if event.at_ms < waiter.from_ms or event.id in waiter.without:
        return False
    if not waiter.expression:
        return True
    bindings = arriving.bindings
    if bindings is None:
        return False
    try:
        expression = compile_expression(waiter.expression)
        stored: dict[str, Any] = msgspec.json.decode(waiter.stored)
    except (HeadraceError, msgspec.MsgspecError):
        return False
    return expression.matches({"event": stored, "async": bindings}, turn.now_ms)


def earlier(one: Found | None, other: Found) -> Found:
    """Take the earlier of two events: by log time, then by place."""
    if one is None or (other.event.at_ms, place_of(other)) < (one.event.at_ms, place_of(one)):
        return other
    return one


def remove(turn: Turn, shape: bytes, row: ShapeRow | None, key: bytes, waiter: Waiter) -> None:
    """Take a waiter out of the state, with its timer."""
    waiting = turn.state.waiting
    waiting.waiters.delete(key)
    if waiter.due_ms:
        turn.state.timers.delete(timer_key(waiter.due_ms, TimerKind.WAIT, step=key))
    if row is not None:
        if not waiter.looked:
            waiting.undecided.delete(undecided_key(shape, waiter.job, key))
            if waiter.job > row.job:
                row.queued -= 1
        row.waiters -= 1
        waiting.shapes.put(shape, row)


def answer(turn: Turn, waiter: Waiter, found: Found | None = None, failure: Failure | None = None) -> None:
    """Tell the waiter's home what was decided: an event, a failure, or (neither) a time-out."""
    told = WaitAnswer(waiter.run_id, waiter.step, waiter.index, waiter.n, found, None, failure)
    turn.command(waiter.home, told)


def confirm(turn: Turn, waiter: Waiter) -> None:
    """Tell the waiter's home that nothing has come so far, if it wants to know."""
    if waiter.confirm:
        told = WaitAnswer(waiter.run_id, waiter.step, waiter.index, waiter.n, clear=True)
        turn.command(waiter.home, told)


def settle(turn: Turn, shape: bytes, row: ShapeRow, key: bytes, waiter: Waiter, gone_ms: int) -> None:
    """Decide about a waiter for which everything before its registration is looked through by now."""
    if waiter.strict and waiter.from_ms < gone_ms:
        remove(turn, shape, row, key, waiter)
        answer(turn, waiter, failure=_expired(waiter, gone_ms))
    elif waiter.best is not None:
        remove(turn, shape, row, key, waiter)
        answer(turn, waiter, waiter.best)
    elif waiter.late:
        remove(turn, shape, row, key, waiter)
        answer(turn, waiter)
    else:
        turn.state.waiting.undecided.delete(undecided_key(shape, waiter.job, key))
        waiter.looked = True
        turn.state.waiting.waiters.put(key, waiter)
        confirm(turn, waiter)


def _expired(waiter: Waiter, gone_ms: int) -> Failure:
    what = "wait" if waiter.purpose == Purpose.RESOLVE else "cancellation"
    message = (
        f"the {what} for {waiter.event!r} reaches back to {waiter.from_ms} (ms since 1970), and events from before "
        f"{gone_ms} have expired: lengthen the retention of the events topic, or wait without since"
    )
    return Failure("EventsExpired", message, retriable=False)
