"""Queues of rows. Goal: the first row of each queue by its place, whether in memory, on its way or stored."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.adapters.memory_store import MemoryStores
from headrace.records.admission_rows import QUEUED_STARTS, QueuedStart
from headrace.records.changelog import RowChange
from headrace.worker.queues import QUEUES_MAX, QueueRows

NAMES = [b"queue-a", b"queue-b", b"queue-aa"]  # one begins with another one's name


class Table:
    """A table and its store; turns end and are stored when told to."""

    def __init__(self, window_max: int) -> None:
        self.store = MemoryStores().open(0)
        self.window_max = window_max
        self.on_its_way: list[RowChange] = []
        self.rows = self.reopen()

    def reopen(self) -> QueueRows[QueuedStart]:
        self.end_turn() if hasattr(self, "rows") else None
        self.flush()
        self.rows = QueueRows(QUEUED_STARTS, QueuedStart, self.store, self.window_max)
        return self.rows

    def end_turn(self) -> None:
        self.rows.take(self.on_its_way)

    def flush(self) -> None:
        self.store.write(dict(self.on_its_way).items())
        for key, _ in self.on_its_way:
            self.rows.flushed(key[1:])
        self.on_its_way = []


def key_of(name: bytes, place: int, order: int) -> bytes:
    return name + place.to_bytes(8, "big") + order.to_bytes(8, "big")


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 4),
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 2), st.integers(0, 30)),
            st.tuples(st.just("pop"), st.integers(0, 2), st.just(0)),
            st.tuples(st.just("drop"), st.integers(0, 2), st.integers(0, 30)),
            st.tuples(st.sampled_from(["end_turn", "flush", "reopen"]), st.just(0), st.just(0)),
        ),
        max_size=60,
    ),
)
def test_first_is_the_least_of_what_is_there(window_max: int, steps: list[tuple[str, int, Any]]) -> None:
    table = Table(window_max)
    expected: dict[bytes, list[bytes]] = {name: [] for name in NAMES}
    for order, (what, which, place) in enumerate(steps):
        name = NAMES[which]
        here = expected[name]
        if what == "put":
            if not here:
                table.rows.begin(name)
            here.append(key_of(name, place, order))
            here.sort()
            table.rows.put(here[here.index(key_of(name, place, order))], QueuedStart(None))
        elif what == "pop" and here:
            assert table.rows.first(name) == here[0]
            table.rows.delete(here.pop(0))
        elif what == "drop" and here:
            table.rows.delete(here.pop(place % len(here)))
        elif what == "end_turn":
            table.end_turn()
        elif what == "flush":
            table.end_turn()
            table.flush()
        elif what == "reopen":
            table.reopen()
        assert table.rows.first(name) == (here[0] if here else None)
    for name, here in expected.items():
        while here:
            assert table.rows.first(name) == here[0]
            table.rows.delete(here.pop(0))
        assert table.rows.first(name) is None


def test_a_long_queue_holds_a_window_in_memory_and_is_served_to_its_end() -> None:
    table = Table(window_max=10)
    table.rows.begin(NAMES[0])
    for n in range(500):
        table.rows.put(key_of(NAMES[0], 500 - n, n), QueuedStart(None))
        assert len(table.rows._windows[NAMES[0]].heap) <= 20
    table.end_turn()
    table.flush()
    for n in range(500):
        key = table.rows.first(NAMES[0])
        assert key == key_of(NAMES[0], n + 1, 499 - n)
        table.rows.delete(key)


def test_more_queues_than_windows_are_all_served() -> None:
    table = Table(window_max=10)
    names = [b"queue-%05d" % n for n in range(QUEUES_MAX + 3)]
    for name in names:
        table.rows.begin(name)
        table.rows.put(key_of(name, 7, 1), QueuedStart(None))
        table.rows.put(key_of(name, 7, 0), QueuedStart(None))
    table.end_turn()
    table.flush()
    for name in (*names[:3], *names[-3:]):
        assert table.rows.first(name) == key_of(name, 7, 0)
