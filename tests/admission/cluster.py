"""Several partitions with the real inputs, turns and tables; commands go between them in order, runs begin and end.

Nothing is simulated but the log: what a turn sends to another partition is handed to it as the record that it is. A
crash drops everything but the stored rows.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from headrace.adapters.seams import Record
from headrace.records.commands import ENVELOPE, Answer, RunReport
from headrace.records.definitions import Definition, EventTrigger
from headrace.records.history import Lifecycle
from headrace.records.ids import partition_of
from headrace.records.rows import KnownEvent
from headrace.worker.apply import Inputs
from headrace.worker.overlay import Overlay
from headrace.worker.timers import due_of
from headrace.worker.turn import START, STOP, OpenTurn
from tests.turns import TOPICS, Partition, known_event

FUNCTION = "shop-f"


def declared(**options: object) -> Definition:
    """Define the one function of these tests, started by every order/created."""
    return Definition(FUNCTION, "shop", "f", [EventTrigger("order/created")], **options)  # type: ignore[arg-type]


def order(number: int, data: str = "{}", *, ts_ms: int | None = None, key: str | None = None) -> KnownEvent:
    """Make an event; `number` tells events apart. Its key is that of its record."""
    return known_event(number=number, data=data.encode(), ts_ms=ts_ms, key=None if key is None else key.encode())


class Started(NamedTuple):
    """A run whose code was started."""

    at_ms: int
    partition: int
    run_id: str
    events: list[str]


class Cluster:
    """All partitions of a cluster with one function."""

    def __init__(self, definition: Definition, partitions: int = 4) -> None:
        self.parts = [Partition(definition, partitions=partitions, partition=p) for p in range(partitions)]
        self.inputs: list[Inputs] = []
        self.now_ms = 1_000
        self.started: list[Started] = []
        self.stopped: list[str] = []
        self.live: dict[str, int] = {}  # run id → partition
        self.hops = 0
        self.slow = False  # commands wait for `deliver`, instead of arriving at once
        self._ways: dict[tuple[int, int], deque[bytes]] = {}  # what is on its way, from partition to partition
        self._seen = [0] * partitions
        for partition in self.parts:
            self._load(partition)

    def _load(self, partition: Partition) -> None:
        inputs = Inputs(partition.open_turn, "topic", 1_000)
        inputs.load_definitions()
        self.inputs[partition.open_turn.partition : partition.open_turn.partition + 1] = [inputs]

    def crash(self, number: int) -> None:
        """Take a partition over with nothing but its stored rows."""
        partition = self.parts[number]
        old = partition.open_turn
        partition.overlay = Overlay(partition.store)
        partition.open_turn = OpenTurn(
            number, old.partitions, TOPICS, partition.overlay, lambda name: name in partition.wanted
        )
        self._load(partition)

    def send(self, event: KnownEvent, *, at: int | None = None) -> None:
        """Let an event arrive at the partition of its key, or at another."""
        number = at if at is not None else partition_of(event.key or event.id.encode(), len(self.parts))
        self._apply(number, event)

    def end(self, run_id: str) -> None:
        """Let a run complete."""
        self._apply(self.live[run_id], RunReport(run_id, 0, b"\xc0", None, "null"))

    def advance(self, to_ms: int) -> None:
        """Let time pass, and fire each timer in the millisecond in which it is due."""
        while True:
            dues = [part.overlay.timers.next_due_ms() for part in self.parts]
            due_ms = min((due for due in dues if due is not None), default=None)
            if due_ms is None or due_ms > to_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
            self.fire_due()
        self.now_ms = to_ms

    def fire_due(self) -> None:
        """Fire the timers that are due by now, partition by partition."""
        for number, part in enumerate(self.parts):
            with part.turn(self.now_ms):
                while (key := part.overlay.timers.pop_due(self.now_ms)) is not None:
                    assert due_of(key) <= self.now_ms
                    self.inputs[number].timer(key)
            self._note(number)
        self._send_on()

    def apply_all(self, number: int, inputs: list[object]) -> None:
        """Apply several inputs in one turn."""
        with self.parts[number].turn(self.now_ms):
            for one in inputs:
                self.inputs[number].command(one)  # type: ignore[arg-type]
        self._note(number)
        self._send_on()

    def _apply(self, number: int, command: KnownEvent | RunReport) -> None:
        self.apply_all(number, [command])

    def _note(self, number: int) -> None:
        part = self.parts[number]
        for kind, run_id, _, _ in part.effects:
            if kind == START:
                run = part.overlay.runs.get(run_id.encode())
                if run is not None:
                    self.live[run_id] = number
                    self.started.append(Started(self.now_ms, number, run_id, [event.id for event in run.events]))
            elif kind == STOP:
                self.stopped.append(run_id)
        part.effects = []
        for run_id, place in list(self.live.items()):
            if place == number and part.overlay.runs.get(run_id.encode()) is None:
                del self.live[run_id]

    def _send_on(self) -> None:
        self._collect()
        while not self.slow and self.deliver(0):
            pass

    def _collect(self) -> None:
        for number, part in enumerate(self.parts):
            rows = [row for row in part.sends[self._seen[number] :] if row.topic == TOPICS.commands]
            self._seen[number] = len(part.sends)
            for row in rows:
                way = self._ways.setdefault((number, row.partition), deque())
                way.extend(value or b"" for _, value, _ in row.records)

    def deliver(self, choice: int) -> bool:
        """Let the next command of one of the ways arrive; in the order of its way, which is all that is promised."""
        ways = [way for way, values in self._ways.items() if values]
        if not ways:
            return False
        way = ways[choice % len(ways)]
        value = self._ways[way].popleft()
        if not self._ways[way]:
            del self._ways[way]
        self.hops += 1
        target = way[1]
        with self.parts[target].turn(self.now_ms):
            self.inputs[target].commands_record(Record(TOPICS.commands, target, 0, self.now_ms, None, value, None))
        self._note(target)
        self._collect()
        return True

    # --- what is to be seen --------------------------------------------------------------------------------------

    @property
    def batches(self) -> list[list[str]]:
        """The events of the runs in the order in which they were started."""
        return [run.events for run in self.started]

    def verdicts(self, status: str = "") -> list[Lifecycle]:
        """Every verdict so far, or those of one status."""
        found = [record for part in self.parts for record in part.verdicts]
        return [record for record in found if not status or record.status == status]

    def dropped(self) -> Counter[str]:
        """How often each event was dropped."""
        return Counter(
            event_id
            for record in self.verdicts()
            if not record.code.startswith("held_")
            for event_id in record.event_ids
        )

    def rows(self, table: bytes) -> int:
        """How many rows of a table stand anywhere."""
        return sum(part.count(table) for part in self.parts)

    def answers(self) -> list[Answer]:
        """What callers were told, where they are on another partition than the one that told them."""
        sent = [value for part in self.parts for _, _, value, _ in part.sent_to(TOPICS.commands)]
        commands = [ENVELOPE.decode(value).command for value in sent]
        return [command for command in commands if isinstance(command, Answer)]

    def everything(self) -> list[dict[bytes, bytes]]:
        """All stored rows."""
        return [part.everything() for part in self.parts]
