"""Snapshots. Goal: what is loaded is the store as it stood; what is not whole is never taken for a snapshot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.memory_store import MemoryStore, MemoryStores
from headrace.adapters.seams import Record
from headrace.errors import StateCorrupted
from headrace.records.changelog import BOOKMARK, SNAPSHOT_RECORD, Bookmark, SnapshotChunk
from headrace.records.rows import STORE
from headrace.worker.snapshots import CHUNKS_IN_FLIGHT_MAX, SnapshotIndex, SnapshotLoader, SnapshotWriter
from tests.worker.hand import HandAppender, HandLoop

EVERYTHING = (b"", b"\xff" * 9)


def bookmark(position: int) -> Bookmark:
    return Bookmark("topic-id", position, 3, 2, False, 99)


def store_of(rows: dict[bytes, bytes], position: int = 7) -> MemoryStore:
    store = MemoryStores().open(0)
    store.write([*rows.items(), (STORE, BOOKMARK.encode(bookmark(position)))])
    return store


def numbered(count: int, value: bytes = b"v" * 20) -> dict[bytes, bytes]:
    return {b"%04d" % number: value for number in range(count)}


class Writing:
    """A snapshot being written, and what came of it."""

    def __init__(self, store: MemoryStore, uuid: str = "one") -> None:
        self.appender = HandAppender()
        self.loop = HandLoop()
        self.done: list[tuple[Bookmark, int, int]] = []
        self.failed: list[str] = []
        self.reported = 0
        self.writer = SnapshotWriter(
            store,
            self.appender,
            self.loop,
            ("snapshots", 0),
            uuid,
            100,
            lambda mark, begin, size: self.done.append((mark, begin, size)),
            self.failed.append,
        )

    def begin(self, offset: int = 0) -> None:
        self.appender.appended[0].report(offset, None)

    def acknowledge(self) -> bool:
        if self.reported == len(self.appender.sent):
            return False
        self.appender.sent[self.reported].report(None)
        self.reported += 1
        return True

    def finish(self) -> None:
        self.begin()
        self.loop.advance(1)
        while self.acknowledge():
            self.loop.advance(1)

    def values(self) -> list[bytes]:
        return [self.appender.appended[0].value] + [sent.batch[0].value or b"" for sent in self.appender.sent]


def records(values: list[bytes], first: int = 0) -> list[Record]:
    return [Record("snapshots", 0, first + i, 0, None, value, None) for i, value in enumerate(values)]


def indexed(found: list[Record]) -> SnapshotIndex:
    index = SnapshotIndex()
    for record in found:
        index.take(record)
    return index


@given(st.dictionaries(st.binary(min_size=1, max_size=6), st.binary(max_size=40), max_size=40))
def test_what_is_loaded_is_the_store_as_it_stood_at_the_begin(rows: dict[bytes, bytes]) -> None:
    store = store_of(rows)
    before = list(store.scan(*EVERYTHING))
    writing = Writing(store)
    writing.begin()
    store.write([*((key, b"changed") for key in rows), (b"new", b"row"), (STORE, BOOKMARK.encode(bookmark(8)))])
    writing.finish()
    assert [mark for mark, _, _ in writing.done] == [bookmark(7)]

    found = records(writing.values())
    best = indexed(found).best()
    assert best is not None
    uuid, mark, begin, end = best
    assert (mark, begin, end) == (bookmark(7), 0, len(found) - 1)
    loaded = MemoryStores().open(0)
    loader = SnapshotLoader(loaded, uuid, mark)
    assert [loader.take(record) for record in found] == [False] * (len(found) - 1) + [True]
    assert list(loaded.scan(*EVERYTHING)) == before


def test_only_so_many_chunks_are_on_their_way() -> None:
    writing = Writing(store_of(numbered(100)))
    writing.begin()
    writing.loop.advance(1)
    assert len(writing.appender.sent) == CHUNKS_IN_FLIGHT_MAX
    writing.acknowledge()
    writing.loop.advance(1)
    assert len(writing.appender.sent) == CHUNKS_IN_FLIGHT_MAX + 1


def test_it_is_done_only_when_everything_is_acknowledged_also_out_of_order() -> None:
    writing = Writing(store_of(numbered(4)))
    writing.begin(12)
    writing.loop.advance(1)
    chunk, end = writing.appender.sent
    end.report(None)
    assert writing.done == []
    chunk.report(None)
    assert [(mark.position, begin) for mark, begin, _ in writing.done] == [(7, 12)]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_record_that_may_not_be_in_the_log_fails_the_snapshot(which: int) -> None:
    writing = Writing(store_of(numbered(4)))
    if which == 0:
        writing.appender.appended[0].report(-1, "timed out")
    else:
        writing.begin()
        writing.loop.advance(1)
        writing.appender.sent[which - 1].report(0)
        for sent in writing.appender.sent[which:]:
            sent.report(None)
    assert len(writing.failed) == 1
    assert writing.done == []


def test_an_abandoned_one_is_never_done() -> None:
    writing = Writing(store_of(numbered(4)))
    writing.begin()
    writing.loop.advance(1)
    writing.writer.abandon()
    while writing.acknowledge():
        pass
    assert (writing.done, writing.failed) == ([], [])


def test_a_store_that_stands_nowhere_gives_no_snapshot() -> None:
    with pytest.raises(AssertionError, match="stands nowhere"):
        Writing(MemoryStores().open(0))


def finished(rows: dict[bytes, bytes], position: int, uuid: str) -> list[bytes]:
    writing = Writing(store_of(rows, position), uuid)
    writing.finish()
    return writing.values()


def test_a_snapshot_that_lacks_any_record_is_not_complete() -> None:
    values = finished(numbered(30), 7, "one")
    assert len(values) > 5
    for missing in range(len(values)):
        assert indexed(records(values[:missing] + values[missing + 1 :])).best() is None


def test_chunks_that_come_in_another_order_or_with_other_bytes_are_not_complete() -> None:
    values = finished(numbered(30), 7, "one")
    assert indexed(records([values[0], values[2], values[1], *values[3:]])).best() is None
    other = SNAPSHOT_RECORD.encode(SnapshotChunk("one", 1, [(b"x", b"y")] * 4))
    assert indexed(records([*values[:2], other, *values[3:]])).best() is None


def test_a_chunk_that_landed_twice_does_no_harm() -> None:
    values = finished(numbered(30), 7, "one")
    found = records([*values[:3], values[1], values[2], *values[3:]])
    best = indexed(found).best()
    assert best is not None
    loaded = MemoryStores().open(0)
    loader = SnapshotLoader(loaded, best[0], best[1])
    assert any(loader.take(record) for record in found)
    assert dict(loaded.scan(b"0", b"9")) == numbered(30)


def test_the_complete_one_with_the_highest_position_is_the_best_whoever_wrote_it_last() -> None:
    low, high = finished(numbered(9), 7, "low"), finished(numbered(12), 9, "high")
    assert indexed(records(high + low)).best() == ("high", bookmark(9), 0, len(high) - 1)
    assert indexed(records(low + high)).best() == ("high", bookmark(9), len(low), len(low) + len(high) - 1)
    unfinished = high[:-1]
    assert indexed(records(unfinished + low)).best() == ("low", bookmark(7), len(high) - 1, len(high) + len(low) - 2)


def test_two_that_are_written_at_the_same_time_do_not_disturb_each_other() -> None:
    one, two = finished(numbered(9), 7, "one"), finished(numbered(9, b"other"), 9, "two")
    mixed = [value for pair in zip(one, two, strict=False) for value in pair] + one[len(two) :] + two[len(one) :]
    best = indexed(records(mixed)).best()
    assert best is not None
    loaded = MemoryStores().open(0)
    loader = SnapshotLoader(loaded, best[0], best[1])
    assert any(loader.take(record) for record in records(mixed))
    assert dict(loaded.scan(b"0", b"9")) == numbered(9, b"other")


def test_a_snapshot_whose_begin_is_trimmed_is_none() -> None:
    values = finished(numbered(9), 7, "one")
    assert indexed(records(values[1:], 1)).best() is None


def test_what_is_cut_off_while_it_is_loaded_leaves_a_store_that_stands_nowhere() -> None:
    values = finished(numbered(9), 7, "one")
    loaded = MemoryStores().open(0)
    loader = SnapshotLoader(loaded, "one", bookmark(7))
    for record in records(values[:-1]):
        assert not loader.take(record)
    assert loaded.get(STORE) is None


def test_strangers_are_passed_over_and_a_newer_format_is_refused() -> None:
    values = finished(numbered(9), 7, "one")
    assert indexed(records([b"", b"hello", *values, b"\xff"])).best() is not None
    with pytest.raises(StateCorrupted, match="format version 2"):
        indexed(records([b"\x02" + values[0][1:]]))
