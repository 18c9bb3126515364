"""Several partitions that talk to each other: the real inputs and turns, with commands delivered between them."""

from __future__ import annotations

from headrace.adapters.seams import Record
from headrace.records.commands import AnyCommand, Broadcast, RunReport
from headrace.records.definitions import Definition, encode_definition
from headrace.records.history import Lifecycle
from headrace.records.ids import partition_of
from headrace.records.rows import Failure, Run, Start, Step
from headrace.records.values import pack_value
from headrace.worker.apply import Inputs
from headrace.worker.overlay import Overlay
from headrace.worker.turn import OpenTurn
from tests.turns import TOPICS, Partition, known_event

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Partitions:
    """All partitions of a cluster at one time; nothing is lost, and everything arrives in order."""

    def __init__(self, *definitions: Definition, partitions: int = 4, now_ms: int = START_MS) -> None:
        self.all = [Partition(partitions=partitions, partition=number) for number in range(partitions)]
        self.inputs = [Inputs(partition.open_turn, "events-id", 1 << 20) for partition in self.all]
        self.now_ms = now_ms
        self._taken = [0] * partitions
        self._offset = 0
        for definition in definitions:
            self.define(definition.id, definition)

    def define(self, function_id: str, definition: Definition | None) -> None:
        """Let every partition take in a definition, or its removal."""
        value = None if definition is None else encode_definition(definition)
        for number in range(len(self.all)):
            self.apply(number, Broadcast(function_id.encode(), value))

    def apply(self, number: int, command: AnyCommand) -> None:
        """Apply a command on a partition, and everything that follows from it everywhere."""
        with self.all[number].turn(self.now_ms):
            self.inputs[number].command(command)
        self.deliver()

    def start(self, function_id: str, number: int = 0, *, event: int = 0, data: bytes = b"{}") -> str:
        """Start a run on a partition as routing would, past all stages."""
        known = known_event(number=event, at_ms=self.now_ms, data=data)
        start = Start(function_id, known.id, [known], self.now_ms)
        self.apply(number, start)
        return known.id

    def deliver(self) -> None:
        """Deliver commands until there are none on their way."""
        again = True
        while again:
            again = False
            for number, partition in enumerate(self.all):
                sends, self._taken[number] = partition.sends[self._taken[number] :], len(partition.sends)
                for row in sends:
                    if row.topic != TOPICS.commands:
                        continue
                    again = True
                    for _, value, _ in row.records:
                        self._offset += 1
                        record = Record(row.topic, row.partition, self._offset, self.now_ms, None, value, None)
                        with self.all[row.partition].turn(self.now_ms):
                            self.inputs[row.partition].commands_record(record)

    def crash(self, number: int) -> None:
        """Forget everything of a partition but what is committed, as when it gets another owner."""
        partition = self.all[number]
        partition.overlay = Overlay(partition.store)
        wanted = partition.open_turn.wanted
        partition.open_turn = OpenTurn(number, len(self.all), TOPICS, partition.overlay, wanted)
        self.inputs[number] = Inputs(partition.open_turn, "events-id", 1 << 20)
        self.inputs[number].load_definitions()

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass, from one due timer to the next."""
        until_ms = self.now_ms + milliseconds
        while True:
            dues = [due for p in self.all if (due := p.overlay.timers.next_due_ms()) is not None and due <= until_ms]
            if not dues:
                break
            self.now_ms = max(self.now_ms, min(dues))
            self.fire()
        self.now_ms = until_ms

    def stand_still(self, milliseconds: int) -> None:
        """Let time pass while nothing runs, and then fire what is due."""
        self.now_ms += milliseconds
        self.fire()

    def fire(self) -> None:
        """Fire what is due now, on every partition, in one turn each."""
        for number, partition in enumerate(self.all):
            with partition.turn(self.now_ms):
                while (key := partition.overlay.timers.pop_due(self.now_ms)) is not None:
                    self.inputs[number].timer(key)
        self.deliver()

    def live(self, function_id: str) -> dict[str, tuple[int, Run]]:
        """The live runs of a function: partition and row by id."""
        return {
            key.decode(): (number, run)
            for number, partition in enumerate(self.all)
            for key, run in partition.overlay.runs.scan(b"")
            if run.function_id == function_id
        }

    def end(self, run_id: str, output: object = None, failure: Failure | None = None) -> None:
        """Let a run's code return, or fail for good."""
        (number,) = (n for n, p in enumerate(self.all) if p.overlay.runs.get(run_id.encode()) is not None)
        packed = None if failure else pack_value(output)
        self.apply(number, RunReport(run_id, 0, packed, failure, "" if failure else "null"))

    def step(self, run_id: str, name: bytes) -> Step | None:
        """What is recorded of a step, on whichever partition."""
        found = [row for p in self.all if (row := p.overlay.steps.get(run_id.encode() + name)) is not None]
        return found[0] if found else None

    @property
    def history(self) -> list[Lifecycle]:
        """Every lifecycle record of every partition, by time."""
        return sorted((r for p in self.all for r in p.history), key=lambda record: record.at_ms)

    def ended(self, run_id: str) -> Lifecycle | None:
        """How a run has ended."""
        found = [record for record in self.history if record.run_id == run_id and record.kind == "RunEnded"]
        return found[0] if found else None

    def rows(self, table: bytes) -> int:
        """How many rows of a table stand in all stores."""
        return sum(partition.count(table) for partition in self.all)

    def place(self, key: str) -> int:
        """The partition of a key."""
        return partition_of(key.encode(), len(self.all))
