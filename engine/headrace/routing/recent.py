"""Recent events: an index of what came a moment ago, for those who ask a moment later.

It is complete from `ShapeRow.floors` on, by offsets, and from `trusted_since_ms` on, by log time. Rows are kept by
their place in the log, so one that comes twice is one row; they are forgotten by the minute.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.records.rows import Timer, TimerKind, timer_key
from headrace.records.waits import Found, RecentRow, ShapeRow, recent_key
from headrace.state import Turn

RECENT_MS = 5 * 60_000
_MINUTE_MS = 60_000
FORGET_MAX = 1_000  # rows per firing; a timer that finds more comes again in the next turn


def trusted_since_ms(row: ShapeRow, now_ms: int) -> int:
    """Give the log time from which on the index has every event of the shape."""
    return max(row.since_ms, _kept_since_ms(now_ms) + _MINUTE_MS)


def _kept_since_ms(now_ms: int) -> int:
    return (now_ms - RECENT_MS) // _MINUTE_MS * _MINUTE_MS


def remember(turn: Turn, shape: bytes, row: ShapeRow, digest: bytes, found: Found) -> None:
    """Put an event into the index; what is too old for it moves the floor up instead."""
    at_ms = found.event.at_ms
    if at_ms < _kept_since_ms(turn.now_ms):
        _raise_floor(turn, shape, row, found)
        return
    key = recent_key(digest, found)
    turn.state.waiting.recent.put(key, RecentRow(shape, found))
    minute = at_ms // _MINUTE_MS
    turn.state.waiting.recent_expiry.put(minute.to_bytes(8, "big") + key, b"")
    timer = timer_key(minute * _MINUTE_MS + _MINUTE_MS + RECENT_MS, TimerKind.RECENT_EXPIRY)
    if turn.state.timers.get(timer) is None:
        turn.state.timers.put(timer, Timer(TimerKind.RECENT_EXPIRY, step=minute.to_bytes(8, "big")))


def recent_events(turn: Turn, digest: bytes) -> Iterator[Found]:
    """Go through what is remembered under a digest, as the log has it."""
    for _, row in turn.state.waiting.recent.scan(digest):
        yield row.found


def forget_recent(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Forget the events of a minute; look-backs read from now on what is not remembered any more."""
    minute = timer.step
    forgotten = turn.state.waiting.recent_expiry.first_keys(minute, FORGET_MAX)
    if len(forgotten) == FORGET_MAX:
        again = timer_key(turn.now_ms + 1, TimerKind.RECENT_EXPIRY, step=minute)
        turn.state.timers.put(again, Timer(TimerKind.RECENT_EXPIRY, step=minute))
    for expiry_key in forgotten:
        turn.state.waiting.recent_expiry.delete(expiry_key)
        key = expiry_key[8:]
        recent = turn.state.waiting.recent.get(key)
        if recent is not None:
            turn.state.waiting.recent.delete(key)
            row = turn.state.waiting.shapes.get(recent.shape)
            if row is not None:
                _raise_floor(turn, recent.shape, row, recent.found)


def _raise_floor(turn: Turn, shape: bytes, row: ShapeRow, found: Found) -> None:
    if row.floors.get(found.partition, 0) <= found.offset:
        row.floors[found.partition] = found.offset + 1
        turn.state.waiting.shapes.put(shape, row)
