"""Bugs to plant around waits, cancellations, calls, cron lines and keyed state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

import headrace.routing.looking as looking
import headrace.routing.waiters as waiters
import headrace.runs.cancel_on as cancel_on
import headrace.runs.ending as ending
import headrace.runs.registering as registering
import headrace.runs.run_report as run_report
import headrace.runs.start as start_module
import headrace.runs.wait as wait_module
import headrace.worker.apply as apply_module
from headrace.functions.correlation import signal_digest
from headrace.records.commands import Answer, StateAsked
from headrace.records.rows import StepState, TimerKind, keyed_state_key
from headrace.records.values import pack_value
from headrace.records.wait_rows import CANCEL_STEP
from headrace.records.waits import SendSignal, ShapeKnown, WaitAnswer
from headrace.routing.shapes import Forwarding
from headrace.worker.apply import Inputs
from headrace.worker.held_waits import HeldWaits
from headrace.worker.look_back import LookBacks, _Search
from headrace.worker.machine import Machine
from headrace.worker.overlay import Overlay
from tests.simulation.plants import Patches, plant

_WAITS: dict[str, Any] = {"work": "waits"}
_HANDOVERS: dict[str, Any] = {"work": "waits", "blows": {"crash": 4, "rebalance": 3}}


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


# --- what comes, and who waits for it -------------------------------------------------------------------------------


@plant("who asked before its shape was known does not look back", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(waiters, "is_told_of_all", lambda turn, row: True)
    patches.set(waiters, "trusted_since_ms", lambda row, now_ms: 0)


@plant("a shape is known without the offsets from which on", **_WAITS)
def _(patches: Patches) -> None:
    def without(before: Callable[..., None]) -> Callable[..., None]:
        return lambda turn, command: before(turn, msgspec.structs.replace(command, floors={}))

    _command(patches, ShapeKnown, without)


@plant("a look-back ends one event before the live stream", **_WAITS)
def _(patches: Patches) -> None:
    def read(self: _Search, partition: int, offset: int, floor: int) -> None:
        before(self, partition, offset, floor - 1)

    before = patches.set(_Search, "_read", read)


@plant("a look-back that the owner before has begun is not made again", **_HANDOVERS)
def _(patches: Patches) -> None:
    patches.set(LookBacks, "start", _nothing)


@plant("the shapes that the owner before knew are not forwarded", **_HANDOVERS)
def _(patches: Patches) -> None:
    def start(self: Machine, *given: Any) -> None:
        before(self, *given)
        self.inputs.forwarding = Forwarding([])

    before = patches.set(Machine, "start", start)


@plant("who waits does not look among what came a moment ago", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(waiters, "recent_events", lambda turn, digest: iter(()))


@plant("an event that comes is for one of those who wait", **_WAITS)
def _(patches: Patches) -> None:
    def one(turn: Any, waiter: Any, *more: Any) -> None:
        if getattr(turn, "planted_at", None) != turn.next_order() >> 20 << 20:
            before(turn, waiter, *more)
        turn.planted_at = turn.next_order() >> 20 << 20

    before = patches.set(waiters, "answer", one)


@plant("of several events the last one counts", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(waiters, "earlier", lambda one, other: other)
    patches.set(looking, "earlier", lambda one, other: other)


@plant("an event resolves any number of waits of a run", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(wait_module, "matched_events", lambda turn, run_id: [])
    patches.set(registering, "matched_events", lambda turn, run_id: [])


@plant("what is remembered of recent events stays", **_WAITS)
def _(patches: Patches) -> None:
    _timer(patches, TimerKind.RECENT_EXPIRY, lambda before: _nothing)


# --- the decision ---------------------------------------------------------------------------------------------------


@plant("a time-out is decided while the log is still read", **_WAITS)
def _(patches: Patches) -> None:
    def at_once(before: Callable[..., None]) -> Callable[..., None]:
        def time_out(turn: Any, timer: Any, due_ms: int) -> None:
            key = timer.step
            waiter = turn.state.waiting.waiters.get(key)
            if waiter is None or waiter.looked:
                before(turn, timer, due_ms)
                return
            shape = waiters.shape_key(waiter.event, waiter.path)
            waiters.remove(turn, shape, turn.state.waiting.shapes.get(shape), key, waiter)
            waiters.answer(turn, waiter)

        return time_out

    _timer(patches, TimerKind.WAIT, at_once)


@plant("who has been answered goes on waiting", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(waiters, "remove", _nothing)


@plant("the other waits of a step are not withdrawn", **_WAITS)
def _(patches: Patches) -> None:
    def withdraw(turn: Any, run_id: str, step: bytes, row: Any, but: int = -1) -> None:
        turn.state.waiting.asked.delete(registering.wait_key(run_id, step))

    patches.set(wait_module, "withdraw", withdraw)


@plant("the home takes an answer that comes too late", **_WAITS)
def _(patches: Patches) -> None:
    def late(before: Callable[..., None]) -> Callable[..., None]:
        def take(turn: Any, answer: WaitAnswer) -> None:
            key = answer.run_id.encode() + answer.step
            step = turn.state.steps.get(key)
            if step is None or step.state != StepState.DONE or answer.found is None:
                before(turn, answer)
                return
            value = {"index": answer.index, "event": registering.event_bindings(answer.found.event)}
            turn.state.steps.put(key, msgspec.structs.replace(step, output=pack_value(value)))

        return take

    _command(patches, WaitAnswer, late)


@plant("a run waits on when what it waits for comes while it suspends", **_WAITS)
def _(patches: Patches) -> None:
    def forgetful(before: Callable[..., None]) -> Callable[..., None]:
        def take(turn: Any, answer: WaitAnswer) -> None:
            run = turn.state.runs.get(answer.run_id.encode())
            if run is None or run.suspended or answer.step == CANCEL_STEP:
                before(turn, answer)

        return take

    _command(patches, WaitAnswer, forgetful)


@plant("a signal is for all who wait", **_WAITS)
def _(patches: Patches) -> None:
    def for_all(before: Callable[..., None]) -> Callable[..., None]:
        def send(turn: Any, command: SendSignal) -> None:
            waiting = turn.state.waiting.waiters
            before(turn, command)
            for key, waiter in list(waiting.scan(signal_digest(command.signal))):
                waiting.delete(key)
                told = WaitAnswer(waiter.run_id, waiter.step, waiter.index, waiter.n, signal=command.data)
                turn.command(waiter.home, told)

        return send

    _command(patches, SendSignal, for_all)


@plant("time-outs do not wait for what the other partitions have to tell", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(HeldWaits, "begin", _nothing)


@plant("a signal is for the one who has asked last", **_WAITS)
def _(patches: Patches) -> None:
    def for_last(before: Callable[..., None]) -> Callable[..., None]:
        def send(turn: Any, command: SendSignal) -> None:
            waiting = turn.state.waiting.waiters
            found = list(waiting.scan(signal_digest(command.signal)))
            last = max((waiter.asked_ms for _, waiter in found), default=0)
            for key, waiter in found:
                waiting.put(key, msgspec.structs.replace(waiter, asked_ms=last - waiter.asked_ms))
            before(turn, command)
            for key, waiter in found:
                if waiting.get(key) is not None:
                    waiting.put(key, waiter)

        return send

    _command(patches, SendSignal, for_last)


# --- cancellations and calls ----------------------------------------------------------------------------------------


@plant("a run that is suspended does not hear that it is cancelled", **_WAITS)
def _(patches: Patches) -> None:
    def deaf(before: Callable[..., None]) -> Callable[..., None]:
        def take(turn: Any, answer: WaitAnswer) -> None:
            run = turn.state.runs.get(answer.run_id.encode())
            if answer.step != CANCEL_STEP or answer.found is None or run is None or not run.suspended:
                before(turn, answer)

        return take

    _command(patches, WaitAnswer, deaf)


@plant("a run that was held begins before it is known that nothing has cancelled it", **_WAITS)
def _(patches: Patches) -> None:
    patches.set(cancel_on, "HELD_MS", 1 << 60)


@plant("a cancellation counts from when the run is made", **_WAITS)
def _(patches: Patches) -> None:
    def watch(turn: Any, run_id: str, run: Any, entries: Any) -> bool:
        event = run.events[0]
        run.events[0] = msgspec.structs.replace(event, at_ms=turn.now_ms)
        try:
            return bool(before(turn, run_id, run, entries))
        finally:
            run.events[0] = event

    before = patches.set(start_module, "watch_for_cancel", watch)


@plant("nobody tells the caller of a run that it was cancelled", **_WAITS)
def _(patches: Patches) -> None:
    def answer(reply: Any, run_id: str, output: Any, failure: Any) -> Any:
        if failure is not None and failure.name == "Cancelled":
            reply = msgspec.structs.replace(reply, run_id="0" * 26)
        return before(reply, run_id, output, failure)

    before = patches.set(ending, "_answer", answer)


@plant("a run that was called answers after its caller has given up", **_WAITS)
def _(patches: Patches) -> None:
    def late(before: Callable[..., None]) -> Callable[..., None]:
        def take(turn: Any, answer: Answer) -> None:
            key = answer.run_id.encode() + answer.step
            step = turn.state.steps.get(key) if answer.run_id else None
            if step is None or step.state == StepState.PENDING:
                before(turn, answer)
                return
            changed = msgspec.structs.replace(step, state=StepState.DONE, output=answer.output, failure=None)
            turn.state.steps.put(key, changed)

        return take

    _command(patches, Answer, late)


# --- time -----------------------------------------------------------------------------------------------------------


@plant("a cron line is planned anew by each owner", **_HANDOVERS)
def _(patches: Patches) -> None:
    def start(self: Machine, *given: Any) -> None:
        before(self, *given)
        state = self.overlay
        for key, row in list(state.cron_lines.scan(b"")):
            function_id = key.split(b"\0")[0].decode()
            timer = apply_module.timer_key(row.fire_ms, TimerKind.CRON, function_id, key)
            found = state.timers.get(timer)
            if found is not None:
                state.timers.delete(timer)
                row.due_ms = row.fire_ms = row.fire_ms + 4_000
                state.cron_lines.put(key, row)
                state.timers.put(apply_module.timer_key(row.fire_ms, TimerKind.CRON, function_id, key), found)

    before = patches.set(Machine, "start", start)


@plant("an event for later starts its runs at once", **_WAITS)
def _(patches: Patches) -> None:
    def admit(self: Inputs, event: Any, cause: int = -1) -> None:
        self._route(event, cause)

    patches.set(Inputs, "_admit", admit)


@plant("an event whose own time is long past is dropped", **_WAITS)
def _(patches: Patches) -> None:
    def admit(self: Inputs, event: Any, cause: int = -1) -> None:
        if event.ts_ms > event.at_ms - 3_600_000:
            before(self, event, cause)

    before = patches.set(Inputs, "_admit", admit)


# --- keyed state ----------------------------------------------------------------------------------------------------


@plant("keyed state is written beside the commit", **_WAITS)
def _(patches: Patches) -> None:
    def beside(before: Callable[..., None]) -> Callable[..., None]:
        def apply(turn: Any, asked: StateAsked) -> None:
            before(turn, asked)
            run = turn.state.runs.get(asked.run_id.encode())
            if asked.verb == "set" and run is not None and run.place is not None:
                key = keyed_state_key(run.function_id, run.place, asked.name)
                turn.state.store.write([(b"m" + key, asked.value)])

        return apply

    _command(patches, StateAsked, beside)


@plant("keyed state is written with the next commit", **_WAITS)
def _(patches: Patches) -> None:
    held: dict[int, list[Any]] = {}

    def take(self: Overlay) -> Any:
        rows = before(self)
        late, held[id(self)] = held.get(id(self), []), [row for row in rows if row[0][:1] == b"m"]
        rows[:] = [row for row in rows if row[0][:1] != b"m"] + late
        return rows

    before = patches.set(Overlay, "take", take)


@plant("what a run has set is forgotten when it ends", **_WAITS)
def _(patches: Patches) -> None:
    def end(turn: Any, run_id: str, run: Any, *more: Any, **named: Any) -> None:
        before(turn, run_id, run, *more, **named)
        if run.place is not None:
            turn.state.keyed_state.delete(keyed_state_key(run.function_id, run.place, "count"))

    before = patches.set(run_report, "end_run", end)
