"""Records that arrive together. Goal: applied together they come to the very same as one by one."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from headrace.adapters.seams import Record
from headrace.records.admission_rows import BUFFERS
from headrace.records.commands import ENVELOPE, Gathered
from headrace.records.definitions import Batch, Definition, EventTrigger
from headrace.records.events import HEADER_ID
from headrace.records.ids import derive_ulid, partition_of
from headrace.worker.apply import Inputs
from tests.turns import TOPICS, Partition

NOW_MS = 1_767_225_600_000


def function(name: str, trigger: str, **options: object) -> Definition:
    """Declare a function of the app `shop`."""
    return Definition(f"shop-{name}", "shop", name, [EventTrigger(trigger)], **options)  # type: ignore[arg-type]


FUNCTIONS = [
    function("here", "here", batch=Batch(5, 1_000, partitioned=True)),
    function("together", "together", batch=Batch(5, 1_000)),
    function("keyed", "keyed", batch=Batch(3, 1_000, key="event.data.key")),
    function("large", "large", batch=Batch(100, 1_000, max_bytes=150)),
    function("some", "some", batch=Batch(4, 1_000, expression="event.data.number % 2 == 0")),
    function("plain", "plain"),
    function("both", "both", batch=Batch(5, 1_000)),
    function("besides", "both"),
]
NAMES = ["here", "together", "keyed", "large", "some", "plain", "both", "nobody"]


def draw_records(draw: Random, count: int) -> list[Record]:
    """Draw records of one partition, in stretches of one name, as busy producers write them."""
    records: list[Record] = []
    while len(records) < count:
        name = draw.choice(NAMES)
        for _ in range(draw.choice([1, 2, 7, 12])):
            offset = len(records)
            fields = {"name": name, "data": {"number": offset, "key": draw.choice("ab")}}
            if draw.random() < 0.1:
                fields["id"] = f"given-{draw.randrange(4)}"
            if draw.random() < 0.1:
                fields["ts"] = NOW_MS + draw.choice([-5_000, 5_000])
            headers = None
            if draw.random() < 0.1:
                headers = [(HEADER_ID, derive_ulid(NOW_MS, b"%d" % offset).encode())]
            value = b"no event" if draw.random() < 0.05 else msgspec.json.encode(fields)
            key = draw.choice([None, b"a", b"customer"])
            records.append(Record(TOPICS.events, 0, offset, NOW_MS + offset // 7, key, value, headers))
    return records


class Shop:
    """Partitions that take in records, and hand commands to each other."""

    def __init__(self, partitions: int) -> None:
        self.parts = [Partition(*FUNCTIONS, partitions=partitions, partition=p) for p in range(partitions)]
        self.inputs = [Inputs(part.open_turn, "topic-id", 1_000) for part in self.parts]
        for inputs in self.inputs:
            inputs.load_definitions()
        self._delivered = [0] * partitions
        self.commands: list[object] = []

    def turn(self, number: int, records: list[Record], *, together: bool) -> None:
        """Apply records in one turn, and let everything arrive that is sent."""
        with self.parts[number].turn(NOW_MS):
            if together:
                self.inputs[number].event_records(records)
            else:
                for record in records:
                    self.inputs[number].event_record(record)
        self._deliver(number)

    def _deliver(self, number: int) -> None:
        part = self.parts[number]
        rows, self._delivered[number] = part.sends[self._delivered[number] :], len(part.sends)
        for row in rows:
            for _, value, _ in row.records if row.topic == TOPICS.commands else ():
                self.commands.append(ENVELOPE.decode(value or b"").command)
                record = Record(TOPICS.commands, row.partition, 0, NOW_MS, None, value, None)
                with self.parts[row.partition].turn(NOW_MS):
                    self.inputs[row.partition].commands_record(record)
                self._deliver(row.partition)

    def accepted(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Every run that was begun: its function, its id and its events' ids."""
        return sorted(
            (run.function_id, key.decode(), tuple(event.id for event in run.events))
            for part in self.parts
            for key, run in part.overlay.runs.scan(b"")
        )

    def gathered(self) -> dict[bytes, list[str]]:
        """The events that wait in each buffer, by its key."""
        found: dict[bytes, list[str]] = {}
        for part in self.parts:
            for key, chunk in part.overlay.admission.chunks.scan(b""):
                found.setdefault(key[:-8], []).extend(event.id for event in chunk.events)
        return found


@pytest.mark.parametrize("seed", range(60))
def test_records_applied_together_leave_the_same_state_as_one_by_one(seed: int) -> None:
    draw = Random(seed)
    records = draw_records(draw, 120)
    apart, together = Shop(1), Shop(1)
    while records:
        some = records[: draw.choice([1, 10, 40])]
        records = records[len(some) :]
        apart.turn(0, some, together=False)
        together.turn(0, some, together=True)
    assert together.parts[0].everything() == apart.parts[0].everything()
    assert together.parts[0].sends == apart.parts[0].sends


@pytest.mark.parametrize("seed", range(30))
def test_records_that_are_gathered_elsewhere_start_the_same_runs(seed: int) -> None:
    draw = Random(seed)
    records = draw_records(draw, 120)
    apart, together = Shop(4), Shop(4)
    at = draw.randrange(4)
    while records:
        some = records[: draw.choice([1, 10, 40])]
        records = records[len(some) :]
        apart.turn(at, some, together=False)
        together.turn(at, some, together=True)
    assert together.accepted() == apart.accepted()
    assert together.gathered() == apart.gathered()
    assert len(apart.accepted()) > 10


def test_neighbours_travel_to_their_batch_in_one_command() -> None:
    shop = Shop(4)
    home = partition_of(b"shop-together", 4)
    records = [
        Record(TOPICS.events, 0, offset, NOW_MS, None, b'{"name":"together","data":{}}', None) for offset in range(12)
    ]
    shop.turn((home + 1) % 4, records, together=True)
    (command,) = shop.commands
    assert isinstance(command, Gathered)
    assert [len(events) for _, _, events in shop.accepted()] == [5, 5]
    assert [part.count(BUFFERS) for part in shop.parts] == [int(n == home) for n in range(4)]
