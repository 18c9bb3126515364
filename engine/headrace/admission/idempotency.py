"""Idempotency: one start for each value of a key, within a window that begins with that start."""

from __future__ import annotations

from headrace.admission.expiry import forget_later
from headrace.admission.keys import StageKey
from headrace.admission.plan import StageNumber
from headrace.admission.verdicts import drop
from headrace.expressions import format_duration
from headrace.records.admission_rows import REPEATS, Repeat
from headrace.records.definitions import Definition, Idempotency
from headrace.records.rows import Start
from headrace.state import Turn


class IdempotencyStage:
    """Drops what repeats a value of the key. Without a value (the field is missing) nothing is a repeat."""

    number = StageNumber.IDEMPOTENCY

    def __init__(self, definition: Definition, option: Idempotency) -> None:
        self._key = StageKey(definition.id, self.number, option.key)
        self._window_ms = option.window_ms

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Where the key's value belongs."""
        return self._key.place(start)

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let the first one pass, and remember it."""
        bucket = self._key.bucket(start)
        if bucket is None:
            return True
        repeats = turn.state.admission.repeats
        known = repeats.get(bucket)
        if known is not None and known.until_ms > turn.now_ms:
            drop(
                turn,
                start,
                "duplicate",
                "idempotency_key_repeated",
                f"run {known.run_id} was started within {format_duration(self._window_ms)}{self._key.shown(start)}",
                "nothing, if it is a repeat; else give the events different values of the idempotency key",
            )
            return False
        until_ms = turn.now_ms + self._window_ms
        repeats.put(bucket, Repeat(start.run_id, until_ms))
        if known is None:
            forget_later(turn, REPEATS, bucket, until_ms)
        return True


def make_idempotency(definition: Definition) -> IdempotencyStage | None:
    """Make the stage of a function that declares it."""
    option = definition.idempotency
    return None if option is None else IdempotencyStage(definition, option)
