"""Ids that users give to events: one start per (function, id) within 24 hours, among records of the same key.

All records of a key stand on one partition, so the decision costs no hop; equal ids under different keys are two
events, also where the keys share a partition. An id without a key is keyed by itself.

An id is remembered with the functions that it started, so a function that is declared later is still started by a
repeat. Forgetting is by the minute: one timer and one range of rows for all ids of a minute, however many.
"""

from __future__ import annotations

from headrace.records.history import Kind
from headrace.records.rows import EventId, KnownEvent, Timer, TimerKind, timer_key
from headrace.state import Turn

EVENT_ID_WINDOW_MS = 24 * 3_600_000
_MINUTE_MS = 60_000
FORGET_MAX = 1_000  # rows per firing; a timer that finds more comes again in the next turn


def first_starts(turn: Turn, event: KnownEvent, function_ids: list[str]) -> list[str]:
    """Keep the functions that the event's own id has not started within the window; the others get a verdict."""
    key = _key(event)
    known = turn.state.event_ids.get(key)
    if known is None or known.until_ms <= turn.now_ms:
        until_ms = turn.now_ms + EVENT_ID_WINDOW_MS
        turn.state.event_ids.put(key, EventId(function_ids, until_ms))
        _remember_to_forget(turn, key, until_ms)
        return function_ids
    fresh = [f for f in function_ids if f not in known.functions]
    for repeated in function_ids:
        if repeated in known.functions:
            turn.history(
                Kind.EventVerdict,
                "",
                repeated,
                event_ids=[event.id],
                status="duplicate",
                code="event_id_repeated",
                explanation=f"an event with the id {event.given_id!r} has started this function within 24 hours",
            )
    if fresh:
        turn.state.event_ids.put(key, EventId(known.functions + fresh, known.until_ms))
    return fresh


def _key(event: KnownEvent) -> bytes:
    given_id = event.given_id.encode()
    return b"%d:" % len(given_id) + given_id + (given_id if event.key is None else event.key)


def _remember_to_forget(turn: Turn, key: bytes, until_ms: int) -> None:
    minute = until_ms // _MINUTE_MS + 1
    turn.state.event_id_expiry.put(minute.to_bytes(8, "big") + key, b"")
    timer = timer_key(minute * _MINUTE_MS, TimerKind.EVENT_ID_EXPIRY)
    if turn.state.timers.get(timer) is None:
        turn.state.timers.put(timer, Timer(TimerKind.EVENT_ID_EXPIRY))


def forget_event_ids(turn: Turn, due_ms: int, minute: bytes = b"") -> None:
    """Forget the ids of the minute that is over: `minute`, or the one that `due_ms` stands in."""
    minute = minute or (due_ms // _MINUTE_MS).to_bytes(8, "big")
    over_ms = int.from_bytes(minute, "big") * _MINUTE_MS
    forgotten = turn.state.event_id_expiry.first_keys(minute, FORGET_MAX)
    if len(forgotten) == FORGET_MAX:
        # There may be more; they go with a later turn, so that this one stays short.
        again_ms = turn.now_ms + 1
        turn.state.timers.put(
            timer_key(again_ms, TimerKind.EVENT_ID_EXPIRY, step=minute), Timer(TimerKind.EVENT_ID_EXPIRY, step=minute)
        )
    for row in forgotten:
        turn.state.event_id_expiry.delete(row)
        known = turn.state.event_ids.get(row[8:])
        if known is not None and known.until_ms <= over_ms:
            turn.state.event_ids.delete(row[8:])
