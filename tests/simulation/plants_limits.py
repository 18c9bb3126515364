"""Bugs to plant around limits: gates, the stages of admission, live limits and pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

import headrace.admission.batch as batch
import headrace.admission.debounce as debounce
import headrace.admission.gates as gates
import headrace.admission.gathering as gathering
import headrace.admission.idempotency as idempotency
import headrace.admission.singleton as singleton
import headrace.admission.throttle as throttle
import headrace.functions.gates as gate_limits
import headrace.runs.suspend as suspend
import headrace.worker.apply as apply_module
import headrace.worker.dispatch as dispatch
from headrace.admission.gcra import Rate
from headrace.admission.home import Home
from headrace.admission.rate_limit import RateLimitStage
from headrace.records.commands import Acquire, Release, ReleaseLock
from headrace.records.rows import TimerKind
from headrace.worker.gate_tables import ClaimRows, TurnRows
from headrace.worker.turn import OpenTurn
from tests.simulation.plants import Patches, plant
from tests.simulation.plants import _leave_out as leave_out

_LIMITS: dict[str, Any] = {"work": "limits"}
_HANDOVERS: dict[str, Any] = {"work": "limits", "blows": {"crash": 5, "rebalance": 3}}


def _command(patches: Patches, kind: type, make: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Change how a command is applied."""
    table = dict(apply_module.COMMANDS)
    table[kind] = make(table[kind])
    patches.set(apply_module, "COMMANDS", table)


def _timer(patches: Patches, kind: TimerKind, make: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Change how a timer is applied."""
    table = dict(apply_module.TIMERS)
    table[kind] = make(table[kind])
    patches.set(apply_module, "TIMERS", table)


def _nothing(*given: Any, **more: Any) -> None:
    return None


# --- gates ----------------------------------------------------------------------------------------------------------


@plant("a gate gives out one slot more than there are", **_LIMITS)
def _(patches: Patches) -> None:
    before = patches.set(gates, "slots_at", lambda definition, name: before(definition, name) + 1)


@plant("a gate that has given out more than its limit gives on", **_LIMITS)
def _(patches: Patches) -> None:
    def may_have(turn: Any, waiting: Any, given: int) -> bool:
        limit = gates.slots_at(turn.definition(waiting.function_id), waiting.limit)
        return given != limit and (waiting.begun or not turn.paused(waiting.function_id, waiting.place))

    patches.set(gates, "_may_have", may_have)


@plant("a slot that comes back is given to nobody", **_LIMITS)
def _(patches: Patches) -> None:
    patches.set(gates, "give_slots", _nothing)


@plant("a Release leaves a place in the queue alone", **_LIMITS)
def _(patches: Patches) -> None:
    def make(before: Callable[..., None]) -> Callable[..., None]:
        def release(turn: Any, released: Release) -> None:
            claim = turn.state.gates.claims.get(released.gate + released.run_id.encode())
            if claim is None or not claim.queued:
                before(turn, released)

        return release

    _command(patches, Release, make)


@plant("an Acquire goes before those that wait", **_LIMITS)
def _(patches: Patches) -> None:
    def make(before: Callable[..., None]) -> Callable[..., None]:
        return lambda turn, asked: before(turn, msgspec.structs.replace(asked, order_ms=-turn.next_order()))

    _command(patches, Acquire, make)


@plant("a run that sleeps forgets its slots without giving them back", **_LIMITS)
def _(patches: Patches) -> None:
    def release(turn: Any, run_id: str, slots: Any) -> None:
        slots.asked = slots.granted = 0

    patches.set(suspend, "release_slots", release)


@plant("a new owner does not know how many slots are given out", **_HANDOVERS)
def _(patches: Patches) -> None:
    def begin(self: ClaimRows, store: Any) -> None:
        before(self, store)
        self._given = {}

    before = patches.set(ClaimRows, "__init__", begin)


@plant("a new owner does not know who waits at a gate", **_HANDOVERS)
def _(patches: Patches) -> None:
    def begin(self: TurnRows, store: Any) -> None:
        before(self, store)
        self._waiting = {}

    before = patches.set(TurnRows, "__init__", begin)


@plant("gates are asked in the order in which they are declared", **_LIMITS)
def _(patches: Patches) -> None:
    def begin(self: Any, function_id: str, app: str, declared: Any) -> None:
        before(self, function_id, app, declared)
        names = [gate_limits.limit_name(*limit) for limit in dict.fromkeys(declared)]
        self.names = names
        self._in_order.sort(key=lambda entry: names.index(entry[0]))

    before = patches.set(gate_limits.Limits, "__init__", begin)
    patches.set(gate_limits, "_limits", gate_limits.Limits)


# --- priority, pauses, live limits ----------------------------------------------------------------------------------


@plant("a priority puts a run behind others", **_LIMITS)
def _(patches: Patches) -> None:
    def decide(self: Home, turn: Any, start: Any) -> bool:
        start.priority_ms = -start.priority_ms
        return bool(before(self, turn, start))

    before = patches.set(Home, "decide", decide)


@plant("a pause holds nothing", **_LIMITS)
def _(patches: Patches) -> None:
    patches.set(OpenTurn, "paused", lambda self, function_id, place: "")


@plant("what operators have set is not in the state", **_HANDOVERS)
def _(patches: Patches) -> None:
    leave_out(patches, b"H")


@plant("runs that a pause holds are not in the state", **_HANDOVERS)
def _(patches: Patches) -> None:
    leave_out(patches, b"h")


@plant("a raised limit is not told to those who wait", **_LIMITS)
def _(patches: Patches) -> None:
    patches.set(dispatch, "look_at_gates", _nothing)


@plant("the time in the queue is over at half time", **_LIMITS)
def _(patches: Patches) -> None:
    def begin(self: Home, definition: Any) -> None:
        before(self, definition)
        self._start_ms //= 2

    before = patches.set(Home, "__init__", begin)


# --- stages ---------------------------------------------------------------------------------------------------------


@plant("a repeat prolongs the window", **_LIMITS)
def _(patches: Patches) -> None:
    def decide(self: idempotency.IdempotencyStage, turn: Any, start: Any) -> bool:
        bucket = self._key.bucket(start)
        passes = bool(before(self, turn, start))
        known = None if bucket is None else turn.state.admission.repeats.get(bucket)
        if known is not None and not passes:
            known.until_ms = turn.now_ms + self._window_ms
            turn.state.admission.repeats.put(bucket, known)
        return passes

    before = patches.set(idempotency.IdempotencyStage, "decide", decide)


@plant("values of an idempotency key are not in the state", **_HANDOVERS)
def _(patches: Patches) -> None:
    leave_out(patches, b"e")


@plant("windows are never forgotten", **_LIMITS)
def _(patches: Patches) -> None:
    patches.set(idempotency, "forget_later", _nothing)


@plant("a rate limit counts what it drops", **_LIMITS)
def _(patches: Patches) -> None:
    def decide(self: RateLimitStage, turn: Any, start: Any) -> bool:
        passes = bool(before(self, turn, start))
        bucket = self._key.bucket(start)
        meter = None if bucket is None else turn.state.admission.meters.get(bucket)
        if meter is not None and not passes:
            meter.tat += self._rate.interval
            turn.state.admission.meters.put(bucket, meter)
        return passes

    before = patches.set(RateLimitStage, "decide", decide)


@plant("a rate makes up for the time in which nothing came", **_LIMITS)
def _(patches: Patches) -> None:
    def tat(self: Rate, meter: Any, now_ms: int) -> int:
        return int(before(self, meter, now_ms)) if meter is None else int(meter.tat)

    before = patches.set(Rate, "tat", tat)


@plant("a throttle lets one more go at once", **_LIMITS)
def _(patches: Patches) -> None:
    before = patches.set(throttle, "_rate", lambda option: more_room(before(option)))


def more_room(rate: Rate) -> Rate:
    """Give a rate room for one more."""
    rate.room += 1
    return rate


@plant("a throttle's queue is not looked at again", **_LIMITS)
def _(patches: Patches) -> None:
    def make(before: Callable[..., None]) -> Callable[..., None]:
        def let_go(turn: Any, timer: Any, due_ms: int) -> None:
            before(turn, timer, due_ms)
            meter = turn.state.admission.meters.get(timer.step)
            if meter is not None and meter.timer_ms:
                turn.state.timers.delete(throttle._timer_key(timer.step, meter.timer_ms))

        return let_go

    _timer(patches, TimerKind.THROTTLE, make)


@plant("an older event that comes late replaces the one that is held", **_LIMITS)
def _(patches: Patches) -> None:
    def decide(self: debounce.DebounceStage, turn: Any, start: Any) -> bool:
        held = turn.state.admission.debounces.get(self._key.shared_bucket(start))
        if held is not None and start.events[0].ts_ms < held.start.events[0].ts_ms:
            start.events[0] = msgspec.structs.replace(start.events[0], ts_ms=held.start.events[0].ts_ms)
        return bool(before(self, turn, start))

    before = patches.set(debounce.DebounceStage, "decide", decide)


@plant("a debounce goes on when it was first due", **_LIMITS)
def _(patches: Patches) -> None:
    def make(before: Callable[..., None]) -> Callable[..., None]:
        def end(turn: Any, timer: Any, due_ms: int) -> None:
            held = turn.state.admission.debounces.get(timer.step)
            if held is not None:
                held.due_ms = turn.now_ms
            before(turn, timer, due_ms)

        return end

    _timer(patches, TimerKind.DEBOUNCE, make)


@plant("a debounce has no bound", **_LIMITS)
def _(patches: Patches) -> None:
    def begin(self: debounce.DebounceStage, definition: Any, option: Any) -> None:
        before(self, definition, option)
        self._timeout_ms = 0

    before = patches.set(debounce.DebounceStage, "__init__", begin)


@plant("what a debounce holds is not in the state", **_HANDOVERS)
def _(patches: Patches) -> None:
    leave_out(patches, b"f")


@plant("a batch goes on with the events of the last turn only", **_LIMITS)
def _(patches: Patches) -> None:
    def fire(turn: Any, bucket: bytes, buffer: Any) -> None:
        buffer.first_chunk = buffer.last_chunk
        before(turn, bucket, buffer)

    before = patches.set(gathering, "fire", fire)
    patches.set(batch, "fire", fire)


@plant("the timer of a batch that was full ends the next one early", **_LIMITS)
def _(patches: Patches) -> None:
    def make(before: Callable[..., None]) -> Callable[..., None]:
        def end(turn: Any, timer: Any, due_ms: int) -> None:
            buffer = turn.state.admission.buffers.get(timer.step)
            if buffer is not None:
                buffer.due_ms = turn.now_ms
            before(turn, timer, due_ms)

        return end

    _timer(patches, TimerKind.BATCH, make)


@plant("a batch has its events by their own times", **_LIMITS)
def _(patches: Patches) -> None:
    def let_go(turn: Any, start: Any) -> None:
        start.events.sort(key=lambda event: (-event.ts_ms, event.id))
        before(turn, start)

    before = patches.set(gathering, "let_go", let_go)


@plant("a batch takes one event more than it may", **_LIMITS)
def _(patches: Patches) -> None:
    def begin(self: batch.BatchStage, definition: Any, option: Any) -> None:
        before(self, definition, option)
        self._events_max += 1

    before = patches.set(batch.BatchStage, "__init__", begin)


@plant("gathered events are not in the state", **_HANDOVERS)
def _(patches: Patches) -> None:
    leave_out(patches, b"c")


@plant("a lock is given back by anybody", **_LIMITS)
def _(patches: Patches) -> None:
    def make(before: Callable[..., None]) -> Callable[..., None]:
        def release(turn: Any, command: ReleaseLock) -> None:
            lock = turn.state.admission.singletons.get(command.key)
            before(turn, command if lock is None else ReleaseLock(command.key, lock.run_id))

        return release

    _command(patches, ReleaseLock, make)

    # Whoever is skipped gives back what it never had.
    def drop(turn: Any, start: Any, *more: Any) -> None:
        before(turn, start, *more)
        for key, lock in turn.state.admission.singletons.scan(start.function_id.encode() + b"\0"):
            turn.command(turn.partition, ReleaseLock(key, lock.run_id))

    before = patches.set(singleton, "drop", drop)


@plant("the one that takes another's place does not wait for its end", **_LIMITS)
def _(patches: Patches) -> None:
    def wait(self: Any, turn: Any, bucket: bytes, lock: Any, start: Any) -> None:
        before(self, turn, bucket, lock, start)
        turn.command(turn.partition, ReleaseLock(bucket, lock.run_id))

    before = patches.set(singleton.SingletonStage, "_wait", wait)


@plant("what is dropped behind a singleton keeps its lock", **_LIMITS)
def _(patches: Patches) -> None:
    def drop(turn: Any, start: Any, *more: Any) -> None:
        start.locks = []
        before(turn, start, *more)

    before = patches.set(throttle, "drop", drop)


@plant("what is dropped is not told of", **_LIMITS)
def _(patches: Patches) -> None:
    patches.set(debounce, "drop", _nothing)
