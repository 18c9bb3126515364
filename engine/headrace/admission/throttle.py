"""Throttle: what is too much waits, and starts later, evenly spread; nothing is dropped.

From idle `limit + burst` start at once, and one more each `period / limit` after that. What waits stands in a queue of
its key, by the time of its arrival less its priority.

Where the function has a concurrency key, each of its values has a *lane* in the queue: a start's place is one interval
behind the one before it in its lane, but no earlier than the place that is served now (start-time fair queueing). So a
value with a thousand starts holds up another one's single start by one, not by a thousand.
"""

from __future__ import annotations

from headrace.admission.expiry import forget_later
from headrace.admission.gcra import Rate
from headrace.admission.keys import StageKey, bucket_of, bucket_prefix, function_of, read_key
from headrace.admission.plan import StageNumber
from headrace.admission.verdicts import drop, let_go, tell_held
from headrace.expressions import format_duration
from headrace.functions.bindings import Key
from headrace.records.admission_rows import METERS, Meter, QueuedStart
from headrace.records.definitions import Definition, Throttle
from headrace.records.rows import Start, Timer, TimerKind, timer_key
from headrace.state import State, Turn

_ENDLESS = 1 << 40
LET_GO_MAX = 200  # starts per firing; a queue with more comes again in the next turn


def _rate(option: Throttle) -> Rate:
    return Rate(option.limit, option.period_ms, option.limit + option.burst)


class ThrottleStage:
    """Holds back what comes faster than the limit of its key."""

    number = StageNumber.THROTTLE

    def __init__(self, definition: Definition, option: Throttle) -> None:
        self._key = StageKey(definition.id, self.number, option.key)
        self._rate = _rate(option)
        self._start_ms = 0 if definition.timeouts is None else definition.timeouts.start_ms
        keyed = next((limit.key for limit in definition.concurrency if limit.key), "")
        self._lane: Key | None = read_key(keyed) if keyed and keyed != option.key else None
        self._lanes = definition.id.encode() + b"\0lane"

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Where the key's value belongs; those without one share one key."""
        return self._key.shared_place(start)

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass while the rate has room and nobody waits; else put it into the queue."""
        bucket = self._key.shared_bucket(start)
        rate = self._rate
        meters = turn.state.admission.meters
        meter = meters.get(bucket)
        tat = rate.tat(meter, turn.now_ms)
        free_ms = rate.free_ms(tat)
        if meter is None or not meter.queued:
            if free_ms <= turn.now_ms:
                tat += rate.interval
                meters.put(bucket, Meter(tat, rate.limit))
                if meter is None:
                    forget_later(turn, METERS, bucket, rate.idle_ms(tat))
                return True
            assert meter is not None, "an unused rate has room"
            turn.state.admission.queued.begin(bucket)
            meter.served_ms = turn.now_ms
        self._enqueue(turn, bucket, meter, start)
        meter.queued += 1
        _set_timer(turn, bucket, meter, max(free_ms, turn.now_ms))
        meters.put(bucket, meter)
        tell_held(
            turn,
            start,
            "throttled",
            f"at most {rate.limit} start in {format_duration(rate.period_ms)}{self._key.shown(start)}:"
            f" it is number {meter.queued} of those that wait",
        )
        return False

    def _enqueue(self, turn: Turn, bucket: bytes, meter: Meter, start: Start) -> None:
        at_ms, lane = turn.now_ms, b""
        if self._lane is not None:
            lane = bucket_of(self._lanes, bucket + self._lane.of(start.events[0], start.accepted_ms))
            at_ms = self._place_in_lane(turn, lane, meter.served_ms)
        place = max(at_ms - start.priority_ms, 0).to_bytes(8, "big") + turn.next_order().to_bytes(8, "big")
        queued = turn.state.admission.queued
        queued.put(bucket + place, QueuedStart(start, lane=lane))
        if start.locks:  # it may have to give way to another one, which knows its run id
            queued.put(_index_key(start.run_id), QueuedStart(None, bucket + place))
        if self._start_ms:
            late = timer_key(start.accepted_ms + self._start_ms, TimerKind.THROTTLE, start.run_id, bucket + place)
            turn.state.timers.put(late, Timer(TimerKind.THROTTLE, start.run_id, bucket + place))

    def _place_in_lane(self, turn: Turn, lane: bytes, served_ms: int) -> int:
        rate = Rate(self._rate.limit, self._rate.period_ms, _ENDLESS)
        meters = turn.state.admission.meters
        meter = meters.get(lane)
        place = rate.tat(meter, served_ms)
        meters.put(lane, Meter(place + rate.interval, rate.limit, 1 if meter is None else meter.queued + 1))
        if meter is None:
            forget_later(turn, METERS, lane, rate.idle_ms(place + rate.interval))
        return place // rate.limit


def _index_key(run_id: str) -> bytes:
    return b"\0" + run_id.encode()


def _timer_key(bucket: bytes, due_ms: int) -> bytes:
    return timer_key(due_ms, TimerKind.THROTTLE, step=bucket)


def _set_timer(turn: Turn, bucket: bytes, meter: Meter, due_ms: int) -> None:
    """Have the queue looked at, then at the latest."""
    if meter.timer_ms and meter.timer_ms <= due_ms:
        return
    if meter.timer_ms:
        turn.state.timers.delete(_timer_key(bucket, meter.timer_ms))
    meter.timer_ms = due_ms
    turn.state.timers.put(_timer_key(bucket, due_ms), Timer(TimerKind.THROTTLE, step=bucket))


def _take(turn: Turn, key: bytes) -> Start | None:
    """Remove a row of a queue; its meter is the caller's."""
    admission = turn.state.admission
    row = admission.queued.get(key)
    if row is None or row.start is None:
        return None
    admission.queued.delete(key)
    if row.start.locks:
        admission.queued.delete(_index_key(row.start.run_id))
    lane = admission.meters.get(row.lane) if row.lane else None
    if lane is not None:
        lane.queued -= 1
        admission.meters.put(row.lane, lane)
    return row.start


def let_next_go(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Let as many go on as may start by now; all of them if the function has no throttle any more."""
    if timer.run_id:
        _end_waiting(turn, timer.step)
        return
    bucket = timer.step
    meters = turn.state.admission.meters
    meter = meters.get(bucket)
    if meter is None or meter.timer_ms != due_ms:
        return
    meter.timer_ms = 0
    definition = turn.definition(function_of(bucket))
    option = None if definition is None else definition.throttle
    rate = Rate(1, 1, 1) if option is None else _rate(option)
    tat = rate.tat(meter, turn.now_ms)
    left = LET_GO_MAX
    while meter.queued and left and (option is None or rate.free_ms(tat) <= turn.now_ms):
        key = turn.state.admission.queued.first(bucket)
        start = None if key is None else _take(turn, key)
        if key is None or start is None:
            raise AssertionError(f"{meter.queued} starts are missing from a queue of {function_of(bucket)}")
        meter.served_ms = max(meter.served_ms, int.from_bytes(key[-16:-8], "big"))
        meter.queued -= 1
        left -= 1
        tat += rate.interval
        let_go(turn, start)
    if option is not None:
        meter.tat, meter.per_ms = tat, rate.limit
    if meter.queued:
        _set_timer(turn, bucket, meter, turn.now_ms + 1 if option is None else max(rate.free_ms(tat), turn.now_ms + 1))
    meters.put(bucket, meter)


def look_again(turn: Turn, function_id: str) -> None:
    """Look at the queues of a function in this turn: its limit was changed, and the next may start sooner now."""
    for bucket, meter in turn.state.admission.meters.scan(bucket_prefix(function_id, StageNumber.THROTTLE)):
        if meter.queued:
            _set_timer(turn, bucket, meter, turn.now_ms)
            turn.state.admission.meters.put(bucket, meter)


def take_queued(turn: Turn, run_id: str) -> Start | None:
    """Take a start with a lock out of its queue; None if it does not stand in one here."""
    index = turn.state.admission.queued.get(_index_key(run_id))
    return None if index is None else take_queued_at(turn, index.at)


def take_queued_at(turn: Turn, key: bytes) -> Start | None:
    """Take a start out of its queue; the place that it would have had goes to the next one."""
    start = _take(turn, key)
    bucket = key[:-16]
    meter = turn.state.admission.meters.get(bucket)
    if start is not None and meter is not None:
        meter.queued -= 1
        turn.state.admission.meters.put(bucket, meter)
    return start


def _end_waiting(turn: Turn, key: bytes) -> None:
    start = take_queued_at(turn, key)
    if start is not None:
        waited = format_duration(turn.now_ms - start.accepted_ms)
        explanation = f"it waited for {waited} to be let through by the throttle, longer than timeouts.start allows"
        drop(turn, start, "cancelled", "start_timeout", explanation, "raise the throttle's limit, or the time-out")


def held_by_throttle(state: State, function_id: str) -> list[tuple[bytes, Start]]:
    """List what waits of a function, in the order of its queues: the key of its row and its start."""
    prefix = bucket_prefix(function_id, StageNumber.THROTTLE)
    return [(key, row.start) for key, row in state.admission.queued.scan(prefix) if row.start is not None]


def count_throttled(state: State, function_id: str) -> int:
    """Count what waits of a function on this partition."""
    prefix = bucket_prefix(function_id, StageNumber.THROTTLE)
    return sum(meter.queued for _, meter in state.admission.meters.scan(prefix))


def make_throttle(definition: Definition) -> ThrottleStage | None:
    """Make the stage of a function that declares it."""
    option = definition.throttle
    return None if option is None else ThrottleStage(definition, option)
