"""Back-fills as rows. Goal: each event of the log starts a new function once, whatever is read again."""

from __future__ import annotations

import pytest

from headrace.adapters.seams import Record
from headrace.records.commands import BackFilled, Broadcast, FilledBack
from headrace.records.definitions import Definition, EventTrigger, encode_definition
from headrace.records.rows import BackFill, Positions
from headrace.worker.apply import Inputs
from headrace.worker.turn import FILL
from tests.turns import TOPICS, Partition, known_event

NEW = Definition("shop-new", "shop", "new", [EventTrigger("order/created", "event.data.n > 0")], start_from="10000ms")
NOW_MS = 50_000
KEY = b"shop-new\0\0\0\0\0"


class Filling:
    """A partition that has applied 40 records of two partitions of events when a new function comes."""

    def __init__(self, definition: Definition = NEW, *, known: bool = False) -> None:
        before = [Definition("shop-new", "shop", "new", [EventTrigger("order/created")])] if known else []
        self.partition = Partition(*before)
        self.inputs = Inputs(self.partition.open_turn, "events-id", 1_000)
        self.inputs.load_definitions()
        with self.partition.turn(1_000) as turn:
            turn.state.positions.put(b"", Positions(1_000, events={0: 40, 4: 40, 8: 0}))
        self.define(definition)

    def define(self, definition: Definition | None) -> None:
        value = None if definition is None else encode_definition(definition)
        with self.partition.turn(NOW_MS):
            self.inputs.define(Broadcast(b"shop-new", value))

    def fill(self, first: int, upto: int, *numbers: int, source: int = -1, data: bytes = b'{"n":1}') -> int:
        """Hand over events; how many runs there are now."""
        events = [BackFilled(NEW.id, known_event(number=n, data=data), (first + 1) * 1_000 + n) for n in numbers]
        sources = [(source, n) if source >= 0 else (-1, -1) for n in numbers]
        with self.partition.turn(NOW_MS):
            self.inputs.command(FilledBack(KEY, first, upto, events, sources))
        return self.partition.count(b"r")

    def row(self) -> BackFill | None:
        return self.partition.overlay.back_fills.get(KEY)


@pytest.fixture
def filling() -> Filling:
    return Filling()


def test_what_was_applied_before_is_filled_back_partition_by_partition(filling: Filling) -> None:
    rows = dict(filling.partition.overlay.back_fills.scan(b""))
    assert {(row.partition, row.until, row.from_ms, row.next) for row in rows.values()} == {
        (0, 40, NOW_MS - 10_000, -1),
        (4, 40, NOW_MS - 10_000, -1),
    }
    assert [(run_id, key) for _, run_id, key, _ in filling.partition.effects] == [(FILL, key) for key in sorted(rows)]


def test_each_part_counts_once_and_in_order(filling: Filling) -> None:
    assert filling.fill(-1, 10, 1, 2, 3) == 3
    assert filling.fill(-1, 10, 1, 2, 3) == 3  # read again
    assert filling.fill(20, 30, 8, 9) == 3  # what is before it is not there yet
    assert filling.fill(10, 20, 4) == 4
    row = filling.row()
    assert row is not None
    assert (row.next, row.events) == (20, 4)
    assert filling.fill(20, 40) == 4
    assert filling.row() is None
    assert filling.fill(40, 50, 7) == 4


def test_its_place_and_the_runs_are_of_one_commit(filling: Filling) -> None:
    filling.fill(-1, 10, 1, 2, 3)
    assert filling.partition.count(b"l") == 2
    again = Inputs(filling.partition.open_turn, "events-id", 1_000)
    again.load_definitions()
    filling.inputs = again
    assert filling.fill(-1, 10, 1, 2, 3) == 3


def test_events_that_the_function_does_not_want_start_nothing(filling: Filling) -> None:
    assert filling.fill(-1, 10, 1, 2, data=b'{"n":0}') == 0


def test_published_events_that_stand_in_the_log_twice_count_once(filling: Filling) -> None:
    assert filling.fill(-1, 10, 5, 6, source=2) == 2
    assert filling.fill(10, 20, 5, 6, 7, source=2) == 3
    assert filling.fill(20, 30, 5, source=3) == 4  # from another sender: it is another event


def test_a_run_is_the_one_that_the_event_would_have_started_when_it_came(filling: Filling) -> None:
    record = Record(TOPICS.events, 0, 7, 1_000, None, b'{"name":"order/created","data":{"n":1}}', None)
    cause = filling.inputs.cause(record)
    with filling.partition.turn(NOW_MS):
        filling.inputs.command(
            FilledBack(KEY, -1, 8, [BackFilled(NEW.id, known_event(data=b'{"n":1}'), cause)], [(-1, -1)])
        )
    (late,) = [key for key, _ in filling.partition.overlay.runs.scan(b"")]
    live = Filling()
    with live.partition.turn(NOW_MS):
        live.inputs.event_record(record)
    (usual,) = [key for key, _ in live.partition.overlay.runs.scan(b"")]
    assert late[10:] == usual[10:]


def test_a_function_that_is_removed_is_not_filled_back_any_more(filling: Filling) -> None:
    filling.define(None)
    assert filling.partition.count(b"l") == 0
    assert filling.fill(-1, 10, 1) == 0


@pytest.mark.parametrize(
    "definition",
    [
        Definition("shop-new", "shop", "new", [EventTrigger("order/created")]),
        Definition("shop-new", "shop", "new", [], start_from="0"),
        Definition("shop-new", "shop", "new", [EventTrigger("order/created")], start_from="long ago"),
    ],
)
def test_what_asks_for_nothing_gets_nothing(definition: Definition) -> None:
    assert Filling(definition).partition.count(b"l") == 0


def test_a_function_that_was_known_is_not_new() -> None:
    assert Filling(known=True).partition.count(b"l") == 0
