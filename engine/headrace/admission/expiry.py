"""Expiry: rows that say nothing any more are forgotten, by the minute.

A row is looked at in the minute in which it is first due. What it says may have been prolonged meanwhile, which costs
nothing then: it is put off to the minute in which it is due now. So each row stands in one minute's list at a time.
"""

from __future__ import annotations

from headrace.records.admission_rows import METERS, REPEATS
from headrace.records.rows import Timer, TimerKind, timer_key
from headrace.state import Turn

_MINUTE_MS = 60_000
LOOKED_AT_MAX = 1_000  # rows per firing; a timer that finds more comes again in the next turn


def forget_later(turn: Turn, table: bytes, key: bytes, until_ms: int) -> None:
    """Have a new row looked at once it says nothing any more; not to be called again for the same row."""
    minute = until_ms // _MINUTE_MS + 1
    turn.state.admission.expiry.put(minute.to_bytes(8, "big") + table + key, b"")
    timer = timer_key(minute * _MINUTE_MS, TimerKind.ADMISSION_EXPIRY)
    if turn.state.timers.get(timer) is None:
        turn.state.timers.put(timer, Timer(TimerKind.ADMISSION_EXPIRY))


def forget_rows(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Look at the rows of the minute that is over, and forget those that say nothing any more."""
    minute = timer.step or (due_ms // _MINUTE_MS).to_bytes(8, "big")
    over_ms = int.from_bytes(minute, "big") * _MINUTE_MS
    admission = turn.state.admission
    found = admission.expiry.first_keys(minute, LOOKED_AT_MAX)
    if len(found) == LOOKED_AT_MAX:
        again = Timer(TimerKind.ADMISSION_EXPIRY, step=minute)
        turn.state.timers.put(timer_key(turn.now_ms + 1, TimerKind.ADMISSION_EXPIRY, step=minute), again)
    for entry in found:
        admission.expiry.delete(entry)
        table, key = entry[8:9], entry[9:]
        until_ms = _until_ms(turn, table, key)
        if until_ms > over_ms:
            forget_later(turn, table, key, until_ms)
        elif table == REPEATS:
            admission.repeats.delete(key)
        else:
            admission.meters.delete(key)


def _until_ms(turn: Turn, table: bytes, key: bytes) -> int:
    if table == REPEATS:
        repeat = turn.state.admission.repeats.get(key)
        return 0 if repeat is None else repeat.until_ms
    assert table == METERS, table
    meter = turn.state.admission.meters.get(key)
    if meter is None:
        return 0
    idle_ms = -(-meter.tat // meter.per_ms)
    return max(idle_ms, turn.now_ms) + 1 if meter.queued else idle_ms
