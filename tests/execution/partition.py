"""One partition in memory: the real decisions of `runs/` and `routing/` over plain tables, on virtual time.

A turn applies what was submitted, its commit is honoured `commit_s` later, and only then are its effects delivered to
the executions, as the worker does it. No log, no store, no outbox: what is published comes back as an event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, Generic, TypeVar

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.execution import InProcess, Settings
from headrace.functions import Function
from headrace.records.commands import (
    AnyCommand,
    CancelRun,
    CodeMissing,
    EventsAsked,
    RunReport,
    SleepAsked,
    StepReport,
    Suspended,
)
from headrace.records.definitions import Definition, encode_definition
from headrace.records.history import Kind
from headrace.records.ids import derive_ulid
from headrace.records.limits import DEFAULTS
from headrace.records.rows import EventId, KnownEvent, Run, Step, StepState, Timer, TimerKind
from headrace.routing import Routes
from headrace.runs import (
    cancel_run,
    new_start,
    note_code,
    plan_sleep,
    publish_events,
    start_run,
    suspend_run,
    take_run_report,
    take_step_report,
    wake_run,
    wake_step,
)

V = TypeVar("V")

_DECISIONS: dict[type, Callable[[Any, Any], None]] = {
    StepReport: take_step_report,
    RunReport: take_run_report,
    SleepAsked: plan_sleep,
    EventsAsked: publish_events,
    Suspended: suspend_run,
    CodeMissing: note_code,
    CancelRun: cancel_run,
}


class Rows(Generic[V]):
    """A table as a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, V] = {}

    def get(self, key: bytes) -> V | None:
        return self.rows.get(key)

    def put(self, key: bytes, value: V) -> None:
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, V]]:
        yield from [(key, self.rows[key]) for key in sorted(self.rows) if key.startswith(prefix)]

    def first_keys(self, prefix: bytes, limit: int) -> list[bytes]:
        return [key for key in self.rows if key.startswith(prefix)][:limit]


class RunRows(Rows[Run]):
    """Live runs; which are suspended stands in the row."""

    def suspend(self, key: bytes, run: Run) -> None:
        run.suspended = True
        self.put(key, run)

    def resume(self, key: bytes, run: Run) -> None:
        run.suspended = False
        self.put(key, run)


class StepRows(Rows[Step]):
    """Steps, which are weighed."""

    def weight(self, run_key: bytes) -> tuple[int, int]:
        outputs = [row.output for _, row in self.scan(run_key)]
        return len(outputs), sum(len(output) for output in outputs if output is not None)


class Tables:
    """Implements `headrace.state.State`."""

    def __init__(self) -> None:
        self.runs = RunRows()
        self.steps = StepRows()
        self.timers: Rows[Timer] = Rows()
        self.definitions: Rows[bytes] = Rows()
        self.event_ids: Rows[EventId] = Rows()
        self.event_id_expiry: Rows[bytes] = Rows()
        self.broadcasts: Rows[bytes] = Rows()


class Lifecycle:
    """One transition that was told to the history."""

    def __init__(self, kind: int, run_id: str, function_id: str, more: dict[str, Any]) -> None:
        self.kind = kind
        self.run_id = run_id
        self.function_id = function_id
        self.more = more


class PartitionInMemory:
    """Implements `headrace.state.Turn` and `headrace.execution.Owner`."""

    partition = 0
    partitions = 1
    limits = DEFAULTS

    def __init__(self, loop: VirtualLoop, execution: InProcess, functions: Iterable[Function], commit_s: float) -> None:
        self.loop = loop
        self.clock = ManualClock(loop.time)
        self.execution = execution
        self.commit_s = commit_s
        self.state = Tables()
        self.submitted: list[AnyCommand] = []  # every command of the executions, ever
        self.history_records: list[Lifecycle] = []
        self.published: list[dict[str, Any]] = []
        self.now_ms = self.clock.wall_ms()
        self._inputs: list[AnyCommand] = []
        self._order = 0
        self._honoured = 0
        self._effects: list[Callable[[], None]] = []
        self._events = count()
        self._asked = False
        self.alive = True
        self.define(functions)

    def define(self, functions: Iterable[Function]) -> None:
        definitions = [function.definition for function in functions]
        for definition in definitions:
            self.state.definitions.put(definition.id.encode(), encode_definition(definition))
        self.routes = Routes(definitions)
        self._definitions = {definition.id: definition for definition in definitions}

    def definition(self, function_id: str) -> Definition | None:
        return self._definitions.get(function_id)

    # --- Owner --------------------------------------------------------------------------------------------------

    def time_ms(self) -> int:
        return max(self.now_ms, self.clock.wall_ms())

    def submit(self, command: AnyCommand) -> None:
        assert self.alive, f"submitted after the owner was dropped: {command}"
        self.submitted.append(command)
        self._inputs.append(command)
        self._ask()

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        run = self.state.runs.get(run_id.encode())
        if run is None:
            return None
        steps = {}
        for key, row in self.state.steps.scan(run_id.encode()):
            if row.order > self._honoured:
                row = Step(row.id, row.op, StepState.PENDING, row.attempt, row.order, None, None, -1, row.started_ms)
            steps[key[26:]] = row
        return run, steps

    # --- Turn ---------------------------------------------------------------------------------------------------

    def next_order(self) -> int:
        self._order += 1
        return self._order

    def wanted(self, event_name: str) -> bool:
        return self.routes.wanted(event_name)

    def history(self, kind: int, run_id: str, function_id: str, **more: Any) -> None:
        self.history_records.append(Lifecycle(kind, run_id, function_id, {"at_ms": self.now_ms, **more}))

    def execute(self, run_id: str) -> None:
        self._effects.append(lambda: self._start(run_id))

    def resolve(self, run_id: str, step: bytes, row: Step) -> None:
        self._effects.append(lambda: self.execution.resolve(self, run_id, step, row))

    def stop(self, run_id: str) -> None:
        self._effects.append(lambda: self.execution.stop(self, run_id))

    def publish(self, event_id: str, json_: bytes, key: bytes | None, place: bytes) -> None:
        self.published.append(json.loads(json_))
        self._effects.append(lambda: self._take_event(event_id, json_, key))

    def broadcast(self, key: bytes, value: bytes | None) -> None:
        raise AssertionError("nobody else would take it in")

    def command(self, partition: int, command: Any) -> None:
        raise AssertionError("there is one partition")

    # --- what happens -------------------------------------------------------------------------------------------

    def send(self, event: dict[str, Any], key: bytes | None = None) -> None:
        event_id = derive_ulid(self.clock.wall_ms(), b"event %d" % next(self._events))
        self._take_event(event_id, json.dumps(event).encode(), key)

    def _take_event(self, event_id: str, json_: bytes, key: bytes | None) -> None:
        event = json.loads(json_)
        at_ms = self.clock.wall_ms()
        known = KnownEvent(event_id, event["name"], json_, event.get("ts") or at_ms, at_ms, event.get("id", ""), key)
        self._inputs.append(known)
        self._ask()

    def cancel(self, run_id: str) -> None:
        self._inputs.append(CancelRun(run_id, "asked for"))
        self._ask()

    def take_over(self) -> PartitionInMemory:
        """Fall over, and go on elsewhere from what is committed."""
        self.alive = False
        self.execution.drop(self)
        return self

    def restart(self) -> None:
        """Start the code of every run that is not suspended, as a new owner does."""
        self.alive = True
        for key, run in self.state.runs.scan(b""):
            if not run.suspended:
                self._start(key.decode())

    def _start(self, run_id: str) -> None:
        loaded = self.load(run_id)
        if loaded is not None:
            self.execution.start(self, run_id, *loaded)

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self.loop.call_soon(self.turn)

    def turn(self) -> None:
        """Apply what has come, then due timers; the effects follow when the commit is honoured."""
        self._asked = False
        self.now_ms = max(self.now_ms, self.clock.wall_ms())
        inputs, self._inputs = self._inputs, []
        for command in inputs:
            if type(command) is KnownEvent:
                for function_id in self.routes.match(command, self.now_ms):
                    start_run(self, new_start(self, function_id, command))
            else:
                _DECISIONS[type(command)](self, command)
        self._fire_timers()
        effects, self._effects = self._effects, []
        order = self._order
        if self.commit_s:
            self.loop.call_later(self.commit_s, self._honour, order, effects)
        else:
            self.loop.call_soon(self._honour, order, effects)

    def _honour(self, order: int, effects: list[Callable[[], None]]) -> None:
        self._honoured = order
        for effect in effects:
            if self.alive:
                effect()

    def _fire_timers(self) -> None:
        for key, timer in self.state.timers.scan(b""):
            due_ms = int.from_bytes(key[:8], "big")
            if due_ms > self.now_ms:
                self.loop.call_later((due_ms - self.now_ms) / 1000, self._ask)
                return
            self.state.timers.delete(key)
            if timer.kind == TimerKind.STEP:
                wake_step(self, timer.run_id, timer.step, due_ms)
            elif timer.kind == TimerKind.RUN:
                wake_run(self, timer.run_id, due_ms)


class StepView:
    """What became of a step."""

    def __init__(self, record: Lifecycle, attempts: int) -> None:
        more = record.more
        self.status: str = more["status"]
        self.op: str = more["op"]
        self.attempts = attempts
        self.output: Any = json.loads(more["output"]) if more.get("output") else None
        self.error: str = more.get("error_name", "")


class RunView:
    """What became of a run."""

    def __init__(self, run_id: str, records: list[Lifecycle], live: Run | None) -> None:
        self.id = run_id
        self.records = records
        ended = next((record for record in records if record.kind == Kind.RunEnded), None)
        self.status: str = "Running" if ended is None else ended.more["status"]
        self.error: str = "" if ended is None else ended.more.get("error_name", "")
        self.message: str = "" if ended is None else ended.more.get("error_message", "")
        self.stack: str = "" if ended is None else ended.more.get("error_stack", "")
        output = "" if ended is None else ended.more.get("output", "")
        self.output: Any = json.loads(output) if output else None
        self.live = live
        self.steps: dict[str, StepView] = {}
        for record in records:
            if record.kind == Kind.StepEnded:
                name = record.more["step_id"] + (f"#{n}" if (n := record.more.get("occurrence")) else "")
                attempts = record.more.get("attempt", 0) + (record.more["op"] == "run")
                self.steps[name] = StepView(record, attempts)


class World:
    """A loop, executions and one partition."""

    def __init__(
        self,
        functions: Iterable[Function],
        *,
        evict: bool = False,
        commit_s: float = 0.0,
        settings: Settings | None = None,
    ) -> None:
        self.loop = VirtualLoop(rounds_max=20_000)
        self.functions = {function.id: function for function in functions}
        self.execution = InProcess(
            self.functions, self.loop, ManualClock(self.loop.time), evict, settings or Settings(blocked_ms=0, threads=4)
        )
        self.partition = PartitionInMemory(self.loop, self.execution, self.functions.values(), commit_s)

    def __enter__(self) -> World:
        self.loop.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.partition.alive:
            self.partition.alive = False
            self.execution.drop(self.partition)
        self.loop.advance(0.1)
        self.execution.close()
        self.loop.__exit__(*error)

    def send(self, name: str, data: dict[str, Any] | None = None, **fields: Any) -> None:
        self.partition.send({"name": name, "data": {} if data is None else data, **fields})
        self.advance(0.05)

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    def runs(self) -> list[RunView]:
        found: dict[str, list[Lifecycle]] = {}
        for record in self.partition.history_records:
            if record.run_id:
                found.setdefault(record.run_id, []).append(record)
        for key, _ in self.partition.state.runs.scan(b""):  # a run is told of once it does not end at once
            found.setdefault(key.decode(), [])
        state = self.partition.state
        return [RunView(run_id, records, state.runs.get(run_id.encode())) for run_id, records in found.items()]

    def run(self) -> RunView:
        """The only run there is."""
        (run,) = self.runs()
        return run

    def submitted(self, kind: type[V]) -> list[V]:
        """The commands of one kind that the executions submitted."""
        return [command for command in self.partition.submitted if isinstance(command, kind)]
