"""All partitions of a cluster, with everything that is on its way between them in the test's hands.

The inputs, turns and rows are the real ones. Events stand in logs and are read when the test says so; commands wait on
the link from one partition to another, broadcasts in the functions topic, look-backs until they are gone on with.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from headrace.adapters.seams import Record
from headrace.records.commands import AnyCommand, Broadcast
from headrace.records.definitions import Definition, encode_definition
from headrace.records.events import read_event
from headrace.records.history import Lifecycle
from headrace.records.rows import Positions, Run, Step
from headrace.records.values import unpack_value
from headrace.records.waits import RECENT, RECENT_EXPIRY, UNDECIDED, WAITERS, WAITS, Found, LookedBack, ShapeRow
from headrace.worker.apply import Inputs
from headrace.worker.event_records import known_event
from headrace.worker.overlay import Overlay
from headrace.worker.turn import LOOK_BACK, START, OpenTurn
from tests.turns import TOPICS, Partition

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DEAD_BYTES = 1 << 20


@dataclass
class Job:
    """A look-back that is under way: what its row said when it began."""

    shape: bytes
    job: int
    event: str
    from_ms: int
    left: deque[tuple[int, int]] = field(default_factory=deque)


class Cluster:
    """Partitions, logs and links."""

    def __init__(self, *definitions: Definition, partitions: int = 3, events_partitions: int = 3) -> None:
        self.all = [Partition(partitions=partitions, partition=number) for number in range(partitions)]
        self.inputs = [self._inputs(number) for number in range(partitions)]
        self.now_ms = START_MS
        self.logs: list[list[Record]] = [[] for _ in range(events_partitions)]
        self.trimmed = [0] * events_partitions
        self.functions: list[tuple[bytes, bytes | None]] = []
        self.links: dict[tuple[int, int], deque[bytes]] = {}
        self.jobs: list[dict[bytes, Job]] = [{} for _ in range(partitions)]
        self.gone_ms = 0
        self.started: list[str] = []  # runs whose code was to be started
        self._taken = [0] * partitions
        self._numbers = 0
        for definition in definitions:
            self.functions.append((definition.id.encode(), encode_definition(definition)))
        for number in range(partitions):
            while self.tell(number):
                pass

    def _inputs(self, number: int) -> Inputs:
        inputs = Inputs(self.all[number].open_turn, "events-id", DEAD_BYTES)
        inputs.load_definitions()
        inputs.load_shapes()
        return inputs

    # --- inputs -------------------------------------------------------------------------------------------------

    def positions(self, number: int) -> Positions:
        """How far a partition has read."""
        return self.all[number].overlay.positions.get(b"") or Positions()

    def apply(self, number: int, command: AnyCommand) -> None:
        """Apply a command of the partition's own process."""
        with self.all[number].turn(self.now_ms):
            self.inputs[number].command(command)
        self._collect(number)

    def publish(self, name: str, data: object, *, partition: int = 0, event_id: str = "") -> int:
        """Append an event to the log; returns its offset."""
        body: dict[str, object] = {"name": name, "data": data}
        if event_id:
            body["id"] = event_id
        log = self.logs[partition]
        offset = len(log)
        key = b"key%d" % partition
        log.append(Record(TOPICS.events, partition, offset, self.now_ms, key, msgspec.json.encode(body), None))
        return offset

    def read(self, partition: int) -> bool:
        """Let the owner apply the next event of a partition of events; False if there is none."""
        number = partition % len(self.all)
        positions = self.positions(number)
        offset = positions.events.get(partition, 0)
        if offset >= len(self.logs[partition]):
            return False
        with self.all[number].turn(self.now_ms) as turn:
            self.inputs[number].event_record(self.logs[partition][offset])
            positions.events[partition] = offset + 1
            turn.state.positions.put(b"", positions)
        self._collect(number)
        return True

    def tell(self, number: int) -> bool:
        """Let a partition take in the next record of the functions topic; False if there is none."""
        positions = self.positions(number)
        offset = positions.functions
        if offset >= len(self.functions):
            return False
        key, value = self.functions[offset]
        with self.all[number].turn(self.now_ms) as turn:
            self.inputs[number].define(Broadcast(key, value))
            positions.functions = offset + 1
            turn.state.positions.put(b"", positions)
        self._collect(number)
        return True

    def deliver(self, source: int, target: int) -> bool:
        """Deliver the next command on a link; False if there is none."""
        link = self.links.get((source, target))
        if not link:
            return False
        self._numbers += 1
        record = Record(TOPICS.commands, target, self._numbers, self.now_ms, None, link.popleft(), None)
        with self.all[target].turn(self.now_ms):
            self.inputs[target].commands_record(record)
        self._collect(target)
        return True

    def look(self, number: int, shape: bytes) -> None:
        """Go on with a look-back: read one partition of events, or end it."""
        job = self.jobs[number][shape]
        if not job.left:
            del self.jobs[number][shape]
            self.apply(number, LookedBack(shape, job.job, [], True, self.gone_ms))
            return
        partition, floor = job.left.popleft()
        found = self.search(number, job, partition, floor)
        if found:
            self.apply(number, LookedBack(shape, job.job, found))

    def search(self, number: int, job: Job, partition: int, floor: int) -> list[Found]:
        """Read the log as the worker does: from the time asked for to exactly the floor."""
        found = []
        for record in self.logs[partition][self.trimmed[partition] : floor]:
            if record.timestamp_ms >= job.from_ms:
                event = known_event(record, read_event(record.value, record.key), self.inputs[number].cause(record))
                if event.name == job.event:
                    found.append(Found(partition, record.offset, event))
        return found

    def _collect(self, number: int) -> None:
        partition = self.all[number]
        sends, self._taken[number] = partition.sends[self._taken[number] :], len(partition.sends)
        for row in sends:
            for key, value, _ in row.records:
                if row.topic == TOPICS.commands:
                    self.links.setdefault((number, row.partition), deque()).append(value or b"")
                elif row.topic == TOPICS.functions:
                    self.functions.append((key or b"", value))
        for kind, run_id, shape, _ in partition.effects:
            if kind == LOOK_BACK:
                self._begin(number, shape)
            elif kind == START:
                self.started.append(run_id)

    def _begin(self, number: int, shape: bytes) -> None:
        row = self.all[number].overlay.waiting.shapes.get(shape)
        assert row is not None
        if row.looking:
            left = deque(sorted(row.look_floors.items()))
            self.jobs[number][shape] = Job(shape, row.job, row.event, row.look_from_ms, left)

    # --- time and owners ----------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let everything arrive that is on its way."""
        moved = True
        while moved:
            moved = False
            for partition in range(len(self.logs)):
                while self.read(partition):
                    moved = True
            for number in range(len(self.all)):
                while self.tell(number):
                    moved = True
            for source, target in list(self.links):
                while self.deliver(source, target):
                    moved = True
            for number, jobs in enumerate(self.jobs):
                for shape in list(jobs):
                    self.look(number, shape)
                    moved = True

    def drain_commands(self) -> None:
        """Let the commands arrive, and what follows from them."""
        while any(self.deliver(*link) for link in list(self.links)):
            pass

    def due_ms(self) -> int | None:
        """When the next timer of all is due."""
        dues = [due for p in self.all if (due := p.overlay.timers.next_due_ms()) is not None]
        return min(dues, default=None)

    def fire(self) -> None:
        """Fire what is due, everywhere."""
        for number, partition in enumerate(self.all):
            with partition.turn(self.now_ms):
                while (key := partition.overlay.timers.pop_due(self.now_ms)) is not None:
                    self.inputs[number].timer(key)
            self._collect(number)

    def advance(self, milliseconds: int) -> None:
        """Let time pass; everything arrives before a timer fires."""
        until_ms = self.now_ms + milliseconds
        while (due_ms := self.due_ms()) is not None and due_ms <= until_ms:
            self.drain()
            due_ms = self.due_ms()
            if due_ms is None or due_ms > until_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
            self.fire()
        self.now_ms = until_ms

    def hand_over(self, number: int) -> None:
        """Give a partition to another owner: nothing is left but what is committed."""
        partition = self.all[number]
        partition.overlay = Overlay(partition.store)
        partition.open_turn = OpenTurn(number, len(self.all), TOPICS, partition.overlay, partition.open_turn.wanted)
        self.inputs[number] = self._inputs(number)
        self.jobs[number] = {}
        for shape, row in partition.overlay.waiting.shapes.scan(b""):
            if row.looking:
                self._begin(number, shape)

    # --- looking ------------------------------------------------------------------------------------------------

    def home_of(self, run_id: str) -> int | None:
        """Where a run lives; None if it has ended."""
        for number, partition in enumerate(self.all):
            if partition.overlay.runs.get(run_id.encode()) is not None:
                return number
        return None

    def runs(self) -> dict[str, tuple[int, Run]]:
        """Every live run: its partition and row."""
        return {
            key.decode(): (number, run)
            for number, partition in enumerate(self.all)
            for key, run in partition.overlay.runs.scan(b"")
        }

    def step(self, run_id: str, name: str) -> Step | None:
        """What is recorded of a step of a live run."""
        home = self.home_of(run_id)
        return None if home is None else self.all[home].overlay.steps.get(run_id.encode() + name.encode())

    def output(self, run_id: str, name: str) -> object:
        """What a step has come to."""
        step = self.step(run_id, name)
        assert step is not None
        assert step.output is not None, step
        return unpack_value(step.output)

    def shape_rows(self) -> list[tuple[int, ShapeRow]]:
        """Every partition's rows of shapes."""
        return [
            (number, row)
            for number, partition in enumerate(self.all)
            for _, row in partition.overlay.waiting.shapes.scan(b"")
        ]

    @property
    def history(self) -> list[Lifecycle]:
        """Every lifecycle record of every partition, by time."""
        return sorted((r for p in self.all for r in p.history), key=lambda record: (record.at_ms, record.seq))

    def left(self) -> dict[str, int]:
        """How many rows of waits stand in all stores."""
        tables = {"waits": WAITS, "waiters": WAITERS, "undecided": UNDECIDED}
        return {name: sum(p.count(table) for p in self.all) for name, table in tables.items()}

    def remembered(self) -> int:
        """How many rows the index of recent events has."""
        return sum(p.count(RECENT) + p.count(RECENT_EXPIRY) for p in self.all)
