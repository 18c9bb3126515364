"""A cluster whose messages wait until the test lets them arrive, and whose code runs until the test says what it does.

The real inputs and turns over stores in memory. Messages from one partition to another keep their order; between pairs
of partitions any order is possible.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.adapters.seams import Record
from headrace.records.commands import (
    ENVELOPE,
    AnyCommand,
    Broadcast,
    CancelRun,
    RunReport,
    SleepAsked,
    StepReport,
    Suspended,
)
from headrace.records.definitions import Concurrency, Definition, EventTrigger, encode_definition
from headrace.records.gate_rows import CLAIMS, PAUSED_RUNS, QUEUED_RUNS, TURNS, SlotClaim
from headrace.records.history import Lifecycle
from headrace.records.ids import partition_of
from headrace.records.rows import Failure, Run
from headrace.records.values import pack_value
from headrace.worker.apply import Inputs
from headrace.worker.overlay import Overlay
from headrace.worker.turn import QUEUED, RESOLVE, START, STOP, OpenTurn
from tests.turns import TOPICS, Partition, known_event

START_MS = 1_767_225_600_000
FAILURE = Failure("ValueError", "no", "Traceback", retriable=True)
Planted = Mapping[type, Callable[[OpenTurn, Any], None]]


def function(name: str, *limits: Concurrency, **options: Any) -> Definition:
    """Declare a function of the app `shop`, started by an event of its name."""
    return Definition(f"shop-{name}", "shop", name, [EventTrigger(name)], concurrency=list(limits), **options)


class PlantedInputs(Inputs):
    """Applies some commands in another way than the engine does."""

    def __init__(self, turn: OpenTurn, planted: Planted) -> None:
        super().__init__(turn, "events-id", 1 << 20)
        self.planted = planted

    def command(self, command: AnyCommand) -> None:
        if type(command) not in self.planted:
            super().command(command)
            return
        self.planted[type(command)](self._turn, command)
        if self._turn.local:
            self._apply_local()


class Shop:
    """Partitions, what is on its way between them, and the code that executes."""

    def __init__(self, *definitions: Definition, partitions: int = 4, planted: Planted | None = None) -> None:
        self.partitions = [Partition(partitions=partitions, partition=number) for number in range(partitions)]
        self.planted = planted or {}
        self.inputs = [self._inputs(partition) for partition in self.partitions]
        self.now_ms = START_MS
        self.on_way: dict[tuple[int, int], deque[bytes]] = {}
        self.to_be_told: list[deque[Broadcast]] = [deque() for _ in self.partitions]
        self.executing: dict[str, int] = {}  # run id → its partition: code that does something
        self.begun: list[str] = []  # run ids in the order in which their code was first started
        self.stopped: list[str] = []
        self.turned: list[Callable[[int], None]] = []  # called after each turn
        self.sending: list[Callable[[tuple[int, int], bytes], None]] = []  # called with each message
        self.repeats: list[tuple[int, bytes]] = []  # messages that will come once more, and where
        self._events = 0
        self._offset = 0
        self._taken = [0] * partitions
        for definition in definitions:
            self.define(definition)
        self.tell_all()

    def _inputs(self, partition: Partition) -> Inputs:
        return PlantedInputs(partition.open_turn, self.planted)

    # --- what operators and senders do --------------------------------------------------------------------------

    def define(self, definition: Definition) -> None:
        """Deploy a function; partitions take it in when they are told."""
        self.broadcast(definition.id.encode(), encode_definition(definition))

    def broadcast(self, key: bytes, value: bytes) -> None:
        """Write to the functions topic."""
        for waiting in self.to_be_told:
            waiting.append(Broadcast(key, value))

    def set_limits(self, name: str, *limits: Concurrency) -> None:
        """Change limits while everything runs, and tell all partitions."""
        self.broadcast(f"~limits/shop-{name}".encode(), msgspec.json.encode({"concurrency": limits}))

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Pause or resume a function, or a key of it (`name/key`)."""
        self.broadcast(f"~pause/shop-{name}".encode(), msgspec.json.encode({"paused": paused}))

    def send(self, name: str, key: str = "k", **data: Any) -> str:
        """Send an event by a record with this key, which is `event.data.key` as well; returns the event's id."""
        self._events += 1
        body = msgspec.json.encode({"key": key, **data})
        event = known_event(name, number=self._events, at_ms=self.now_ms, data=body, key=key.encode())
        self.apply(partition_of(key.encode(), len(self.partitions)), event)
        return event.id

    # --- what partitions do -------------------------------------------------------------------------------------

    def apply(self, number: int, command: AnyCommand) -> None:
        """Apply a command in a turn of its own."""
        with self.partitions[number].turn(self.now_ms):
            self.inputs[number].command(command)
        self._after(number)

    def _after(self, number: int) -> None:
        partition = self.partitions[number]
        for kind, run_id, _, _ in partition.effects:
            if kind == STOP:
                self.stopped.append(run_id)
                self.executing.pop(run_id, None)
            elif kind in (START, RESOLVE):
                run = self.run(run_id)
                if run is not None and not run.suspended:
                    if run_id not in self.begun:
                        self.begun.append(run_id)
                    self.executing[run_id] = number
            else:
                assert kind == QUEUED
        sends, self._taken[number] = partition.sends[self._taken[number] :], len(partition.sends)
        for row_sent in sends:
            if row_sent.topic == TOPICS.commands:
                for _, value, _ in row_sent.records:
                    pair = (number, row_sent.partition)
                    self.on_way.setdefault(pair, deque()).append(value or b"")
                    for look in self.sending:
                        look(pair, value or b"")
        for check in self.turned:
            check(number)

    def arrive(self, pair: tuple[int, int]) -> None:
        """Let the oldest message between two partitions arrive."""
        waiting = self.on_way[pair]
        value = waiting.popleft()
        if not waiting:
            del self.on_way[pair]
        self._offset += 1
        record = Record(TOPICS.commands, pair[1], self._offset, self.now_ms, None, value, None)
        with self.partitions[pair[1]].turn(self.now_ms):
            self.inputs[pair[1]].commands_record(record)
        self._after(pair[1])

    def arrive_again(self, index: int) -> None:
        """Let a message come once more that has arrived, or will: past the numbers that keep the engine's own apart."""
        number, value = self.repeats.pop(index)
        self.apply(number, ENVELOPE.decode(value).command)

    def tell(self, number: int) -> None:
        """Let a partition take in the next record of the functions topic."""
        broadcast = self.to_be_told[number].popleft()
        with self.partitions[number].turn(self.now_ms):
            self.inputs[number].define(broadcast)
        self._after(number)

    def tell_all(self) -> None:
        """Let every partition take in all of the functions topic."""
        for number, waiting in enumerate(self.to_be_told):
            while waiting:
                self.tell(number)

    def settle(self) -> None:
        """Let everything arrive."""
        self.tell_all()
        while self.on_way:
            self.arrive(next(iter(self.on_way)))

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass, from one due timer to the next; messages stay where they are."""
        until_ms = self.now_ms + milliseconds
        while True:
            due = [(ms, n) for n, p in enumerate(self.partitions) if (ms := p.overlay.timers.next_due_ms()) is not None]
            if not due or min(due)[0] > until_ms:
                break
            ms, number = min(due)
            self.now_ms = max(self.now_ms, ms)
            with self.partitions[number].turn(self.now_ms):
                while (key := self.partitions[number].overlay.timers.pop_due(self.now_ms)) is not None:
                    self.inputs[number].timer(key)
            self._after(number)
        self.now_ms = until_ms

    def crash(self, number: int) -> None:
        """Give a partition another owner: it starts the code of what is not suspended."""
        partition = self.partitions[number]
        partition.overlay = Overlay(partition.store)
        partition.open_turn = OpenTurn(
            number, len(self.partitions), TOPICS, partition.overlay, partition.open_turn.wanted
        )
        self.inputs[number] = self._inputs(partition)
        self.inputs[number].load_definitions()
        self.executing = {run_id: at for run_id, at in self.executing.items() if at != number}
        for key, _ in partition.overlay.runs.active.scan(b""):
            self.executing[key.decode()] = number

    # --- what the code does -------------------------------------------------------------------------------------

    def sleep(self, run_id: str, milliseconds: int, step: bytes = b"nap") -> None:
        """Let the code sleep, and come to rest."""
        at = self.executing[run_id]
        self.apply(at, SleepAsked(run_id, step, 0, milliseconds))
        self.rest(run_id, step)

    def rest(self, run_id: str, *steps: bytes) -> None:
        """Let the code say that it waits for these steps alone."""
        at = self.executing.pop(run_id)
        self.apply(at, Suspended(run_id, list(steps)))

    def report(self, run_id: str, step: bytes, failure: Failure | None = None, attempt: int = 0) -> None:
        """Let an attempt of a step end."""
        output = None if failure else pack_value(1)
        at = self.executing[run_id]
        self.apply(at, StepReport(run_id, step, 0, attempt, self.now_ms, output, failure, "" if failure else "1"))

    def finish(self, run_id: str, failure: Failure | None = None) -> None:
        """Let the body return, or fail."""
        run = self.run(run_id)
        assert run is not None
        at = self.executing.pop(run_id)
        output = None if failure else pack_value(None)
        self.apply(at, RunReport(run_id, run.attempt, output, failure, "" if failure else "null"))

    def cancel(self, run_id: str) -> None:
        """Cancel a run at its home."""
        self.apply(self.home(run_id), CancelRun(run_id, "by the test"))

    # --- what can be seen ---------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run | None:
        """The run, wherever it lives."""
        found = [run for p in self.partitions if (run := p.overlay.runs.get(run_id.encode())) is not None]
        return found[0] if found else None

    def home(self, run_id: str) -> int:
        """The partition where a live run lives."""
        return next(n for n, p in enumerate(self.partitions) if p.overlay.runs.get(run_id.encode()) is not None)

    def live(self) -> dict[str, Run]:
        """All live runs by id."""
        return {key.decode(): run for p in self.partitions for key, run in p.overlay.runs.scan(b"")}

    def run_of(self, event_id: str) -> str:
        """The run that an event has started; it is alive."""
        (found,) = (run_id for run_id, run in self.live().items() if run.events[0].id == event_id)
        return found

    def phases(self, run_id: str) -> list[str]:
        """The phases of a run that the history tells of."""
        return [str(record.phase) for record in self.history if record.run_id == run_id and record.phase]

    def ended(self, run_id: str) -> Lifecycle | None:
        """How a run has ended."""
        found = [record for record in self.history if record.run_id == run_id and record.kind == "RunEnded"]
        assert len(found) < 2
        return found[0] if found else None

    @property
    def history(self) -> list[Lifecycle]:
        """Every lifecycle record, by time."""
        return sorted((record for p in self.partitions for record in p.history), key=lambda record: record.at_ms)

    def claims(self) -> dict[tuple[bytes, str], SlotClaim]:
        """Who has a slot or waits for one, at every gate."""
        return {
            (key[:16], key[16:].decode()): claim
            for partition in self.partitions
            for key, claim in partition.overlay.gates.claims.scan(b"")
        }

    def given(self) -> int:
        """How many slots are given out, over all gates."""
        return sum(not claim.queued for claim in self.claims().values())

    def leftovers(self) -> int:
        """How many rows of gates and pauses stand in the stores."""
        return sum(p.count(table) for p in self.partitions for table in (CLAIMS, QUEUED_RUNS, TURNS, PAUSED_RUNS))
