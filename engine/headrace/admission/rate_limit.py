"""Rate limit: what is too much is dropped, with a verdict.

`limit` may start at once, and one more each `period / limit` after that. Functions of SDKs keep the rule that their
users know: 1 + limit / 10 (rounded down) at once. Those of them that gather batches do so first: what becomes part of a
batch is not counted.
"""

from __future__ import annotations

from headrace.admission.batch import BatchStage, make_batch
from headrace.admission.expiry import forget_later
from headrace.admission.gcra import Rate
from headrace.admission.keys import StageKey
from headrace.admission.plan import StageNumber
from headrace.admission.verdicts import drop
from headrace.expressions import format_duration
from headrace.records.admission_rows import METERS, Meter
from headrace.records.definitions import Definition, RateLimit
from headrace.records.rows import Start
from headrace.state import Turn


class RateLimitStage:
    """Drops what comes faster than the limit of its key."""

    number = StageNumber.RATE_LIMIT

    def __init__(self, definition: Definition, option: RateLimit) -> None:
        self._key = StageKey(definition.id, self.number, option.key)
        is_sdk = definition.kind != "python"
        room = 1 + option.limit // 10 if is_sdk else option.limit
        self._batch: BatchStage | None = make_batch(definition) if is_sdk else None
        self._rate = Rate(option.limit, option.period_ms, room)

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Where the key's value belongs."""
        if self._batch is not None and self._batch.is_gathered(start):
            return None
        return self._key.place(start)

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass while the rate has room; a key that is false is not limited."""
        if self._batch is not None and self._batch.is_gathered(start):
            return True
        bucket = self._key.bucket(start)
        if bucket is None:
            return True
        rate = self._rate
        meters = turn.state.admission.meters
        meter = meters.get(bucket)
        tat = rate.tat(meter, turn.now_ms)
        wait_ms = rate.free_ms(tat) - turn.now_ms
        if wait_ms > 0:
            drop(
                turn,
                start,
                "rate_limited",
                "rate_limited",
                f"the limit of {rate.limit} in {format_duration(rate.period_ms)}{self._key.shown(start)} was used up:"
                f" the next one could start {format_duration(wait_ms)} later",
                "send fewer, raise the limit, or use throttle, which holds back what rate_limit drops",
            )
            return False
        tat += rate.interval
        meters.put(bucket, Meter(tat, rate.limit))
        if meter is None:
            forget_later(turn, METERS, bucket, rate.idle_ms(tat))
        return True


def make_rate_limit(definition: Definition) -> RateLimitStage | None:
    """Make the stage of a function that declares it."""
    option = definition.rate_limit
    return None if option is None else RateLimitStage(definition, option)
