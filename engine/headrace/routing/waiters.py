"""Waiters: who waits for what this partition decides. One row each: Matched, TimedOut or Withdrawn, once.

A waiter whose asking lies within what the index of recent events covers is decided at once, and from then on by each
event that comes. One that asked before that is decided when the log has been read.
"""

from __future__ import annotations

from headrace.functions.correlation import shape_key
from headrace.records.rows import Failure, Timer, TimerKind, timer_key
from headrace.records.waits import (
    FAIL,
    SIGNAL_CONFLICT,
    Found,
    Register,
    Seen,
    ShapeRow,
    Waiter,
    Withdraw,
    waiter_key,
)
from headrace.routing.arriving import Arriving
from headrace.routing.deciding import answer, confirm, earlier, matches, remove
from headrace.routing.looking import is_told_of_all, put_off, start_look_back
from headrace.routing.recent import recent_events, remember, trusted_since_ms
from headrace.routing.shapes import use_shape
from headrace.state import Turn


def register_waiter(turn: Turn, command: Register) -> None:
    """Take in a waiter; decide at once if the event it waits for is here already."""
    waiter = command.waiter
    key = waiter_key(command.digest, waiter.run_id, waiter.step, waiter.index)
    if not waiter.event:  # a signal: what was sent before is gone
        if waiter.conflict and _is_taken(turn, command.digest, key, waiter):
            return
        turn.state.waiting.waiters.put(key, waiter)
        _set_timer(turn, key, waiter)
        return
    shape = shape_key(waiter.event, waiter.path)
    row = turn.state.waiting.shapes.get(shape) or ShapeRow(waiter.event, waiter.path)
    row.waiters += 1
    use_shape(turn, shape, row)
    turn.state.waiting.shapes.put(shape, row)
    best = _earliest_recent(turn, command.digest, waiter)
    if is_told_of_all(turn, row) and waiter.from_ms >= trusted_since_ms(row, turn.now_ms):
        if best is not None:
            row.waiters -= 1
            answer(turn, waiter, best)
            return
        turn.state.waiting.waiters.put(key, waiter)
        confirm(turn, waiter)
    else:
        waiter.best = best
        put_off(turn, shape, row, key, waiter)
        start_look_back(turn, shape, row)
    _set_timer(turn, key, waiter)


def _is_taken(turn: Turn, digest: bytes, key: bytes, waiter: Waiter) -> bool:
    """Tell whether another one waits for the signal, which then is the waiter's failure; or take its place."""
    waiters = turn.state.waiting.waiters
    for other_key, other in list(waiters.scan(digest)):
        if other_key == key or other.replaced:
            continue
        if waiter.conflict == FAIL:
            message = f"the run {other.run_id} waits for the same signal"
            answer(turn, waiter, failure=Failure(SIGNAL_CONFLICT, message, retriable=False))
            return True
        other.replaced = True
        waiters.put(other_key, other)
    return False


def _set_timer(turn: Turn, key: bytes, waiter: Waiter) -> None:
    if waiter.due_ms:
        turn.state.timers.put(timer_key(waiter.due_ms, TimerKind.WAIT, step=key), Timer(TimerKind.WAIT, step=key))


def _earliest_recent(turn: Turn, digest: bytes, waiter: Waiter) -> Found | None:
    best: Found | None = None
    for found in recent_events(turn, digest):
        if matches(turn, waiter, Arriving(found)):
            best = earlier(best, found)
    return best


def withdraw_waiter(turn: Turn, command: Withdraw) -> None:
    """Forget a waiter, unless it is decided already."""
    key = waiter_key(command.digest, command.run_id, command.step, command.index)
    waiter = turn.state.waiting.waiters.get(key)
    if waiter is None or waiter.n != command.n:
        return
    shape, row = _shape_of(turn, waiter)
    remove(turn, shape, row, key, waiter)


def _shape_of(turn: Turn, waiter: Waiter) -> tuple[bytes, ShapeRow | None]:
    if not waiter.event:
        return b"", None
    shape = shape_key(waiter.event, waiter.path)
    return shape, turn.state.waiting.shapes.get(shape)


def time_out_waiter(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Decide that nothing came in time; a waiter for which the log is still being read is decided after that."""
    key = timer.step
    waiter = turn.state.waiting.waiters.get(key)
    if waiter is None or waiter.due_ms != due_ms:
        return
    if not waiter.looked:
        waiter.late = True
        turn.state.waiting.waiters.put(key, waiter)
        return
    shape, row = _shape_of(turn, waiter)
    remove(turn, shape, row, key, waiter)
    answer(turn, waiter)


def see_event(turn: Turn, command: Seen) -> None:
    """Take in an event that was forwarded: remember it, and decide about those who wait for its value."""
    row = turn.state.waiting.shapes.get(command.shape)
    if row is None:
        return
    remember(turn, command.shape, row, command.digest, command.found)
    waiters = turn.state.waiting.waiters
    arriving = Arriving(command.found)
    # Of several waits of one run, the one that was asked first gets the event.
    for key, waiter in sorted(waiters.scan(command.digest), key=lambda entry: entry[1].asked_ms):
        if not matches(turn, waiter, arriving):
            continue
        if waiter.looked:
            remove(turn, command.shape, row, key, waiter)
            answer(turn, waiter, command.found)
        else:
            waiter.best = earlier(waiter.best, command.found)
            waiters.put(key, waiter)
