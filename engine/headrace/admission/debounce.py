"""Debounce: a start is held until none of the same key has come for a while; the last one by its `ts` goes on.

Of equal times the later arrival is the last. An older one that comes late is dropped, and does not put off the rest.
The first one's arrival bounds the delay, if the function says so.
"""

from __future__ import annotations

from headrace.admission.keys import StageKey, bucket_prefix
from headrace.admission.plan import StageNumber
from headrace.admission.verdicts import drop, let_go, tell_held
from headrace.records.admission_rows import Debounced
from headrace.records.definitions import Debounce, Definition
from headrace.records.rows import Start, Timer, TimerKind, timer_key
from headrace.state import State, Turn


class DebounceStage:
    """Holds the last start of each key."""

    number = StageNumber.DEBOUNCE

    def __init__(self, definition: Definition, option: Debounce) -> None:
        self._key = StageKey(definition.id, self.number, option.key)
        self._period_ms = option.period_ms
        self._timeout_ms = option.timeout_ms

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Where the key's value belongs; those without one share one key."""
        return self._key.shared_place(start)

    def decide(self, turn: Turn, start: Start) -> bool:
        """Hold it in place of the one before, or drop it if it is older than that."""
        bucket = self._key.shared_bucket(start)
        debounces = turn.state.admission.debounces
        now_ms = turn.now_ms
        held = debounces.get(bucket)
        due_ms = now_ms + self._period_ms
        if held is None:
            if self._timeout_ms:
                due_ms = min(due_ms, now_ms + self._timeout_ms)
            held = Debounced(start, now_ms, due_ms, due_ms)
            _set_timer(turn, bucket, due_ms)
        else:
            if start.events[0].ts_ms < held.start.events[0].ts_ms:
                self._drop_late(turn, start, held.start)
                return False
            self._drop_replaced(turn, held.start, start)
            if self._timeout_ms:
                due_ms = max(min(due_ms, held.first_ms + self._timeout_ms), now_ms)
            held.start, held.due_ms = start, due_ms
            if due_ms < held.timer_ms:  # the function's period was made shorter
                turn.state.timers.delete(_timer_key(bucket, held.timer_ms))
                held.timer_ms = due_ms
                _set_timer(turn, bucket, due_ms)
        debounces.put(bucket, held)
        tell_held(turn, start, "debounced", "it starts a run once no later event has come for a while", due_ms)
        return False

    def _drop_late(self, turn: Turn, start: Start, held: Start) -> None:
        drop(
            turn,
            start,
            "debounce_late",
            "debounce_late",
            f"event {held.events[0].id}, which is later by its ts ({held.events[0].ts_ms} against"
            f" {start.events[0].ts_ms}), was held already{self._key.shown(start)}",
        )

    def _drop_replaced(self, turn: Turn, held: Start, start: Start) -> None:
        drop(
            turn,
            held,
            "debounce_replaced",
            "debounce_replaced",
            f"event {start.events[0].id} came before it was over{self._key.shown(start)}",
        )


def _timer_key(bucket: bytes, due_ms: int) -> bytes:
    return timer_key(due_ms, TimerKind.DEBOUNCE, step=bucket)


def _set_timer(turn: Turn, bucket: bytes, due_ms: int) -> None:
    turn.state.timers.put(_timer_key(bucket, due_ms), Timer(TimerKind.DEBOUNCE, step=bucket))


def end_debounce(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Let the held start go on if it is due; else wait on, for as long as those that came since put it off."""
    bucket = timer.step
    debounces = turn.state.admission.debounces
    held = debounces.get(bucket)
    if held is None or held.timer_ms != due_ms:
        return
    if held.due_ms > turn.now_ms:
        held.timer_ms = held.due_ms
        debounces.put(bucket, held)
        _set_timer(turn, bucket, held.due_ms)
        return
    debounces.delete(bucket)
    held.start.accepted_ms = turn.now_ms  # the wait for others is none in a queue
    let_go(turn, held.start)


def held_by_debounce(state: State, function_id: str) -> list[tuple[bytes, Start]]:
    """List what is held of a function: its bucket and its start."""
    prefix = bucket_prefix(function_id, StageNumber.DEBOUNCE)
    return [(bucket, held.start) for bucket, held in state.admission.debounces.scan(prefix)]


def take_debounced(turn: Turn, bucket: bytes) -> None:
    """Take a held start away; its timer finds nothing."""
    held = turn.state.admission.debounces.get(bucket)
    if held is not None:
        turn.state.admission.debounces.delete(bucket)
        turn.state.timers.delete(_timer_key(bucket, held.timer_ms))


def make_debounce(definition: Definition) -> DebounceStage | None:
    """Make the stage of a function that declares it."""
    option = definition.debounce
    return None if option is None else DebounceStage(definition, option)
