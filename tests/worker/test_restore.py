"""How a store is brought to the end of its log. Goal: equal to the log, from the nearest start, or a loud stop."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import pytest

from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.memory_network import Faults
from headrace.adapters.memory_store import MemoryStores
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.errors import HeadraceError
from headrace.records.changelog import (
    BOOKMARK,
    LOG_RECORD,
    SNAPSHOT_RECORD,
    Bookmark,
    Chunk,
    Claim,
    RowChange,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
)
from headrace.records.rows import STORE
from headrace.worker.follow import bookmark_of
from headrace.worker.layout import Topics
from headrace.worker.restore import SILENCE_S, STARTS_MAX, Restore

TOPICS = Topics("test")


class Log:
    """One partition's changelog and snapshots, and a restore of it."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.cluster = MemoryCluster(self.loop)
        for topic in (TOPICS.changelog, TOPICS.snapshots):
            self.cluster.create_topic(topic, 1)
        self.node = self.cluster.node("n")
        self.stores = MemoryStores()
        self.claim, self.k = -1, 0
        self.reached = 0
        self.errors: list[HeadraceError] = []
        self.restore: Restore | None = None

    @property
    def topic_id(self) -> str:
        return self.cluster.topics[TOPICS.changelog].id

    def write(self, value: bytes) -> int:
        return self.cluster.append(TOPICS.changelog, 0, value)

    def claims(self) -> None:
        self.claim, self.k = self.write(LOG_RECORD.encode(Claim("n", f"uuid-{self.claim}"))), 0

    def commit(self, *rows: RowChange, final: bool = True) -> bytes:
        self.k += 1
        value = LOG_RECORD.encode(Chunk(self.claim, self.k, self.k, 0, final, list(rows)))
        self.write(value)
        return value

    def bookmark(self, value: bytes, topic_id: str = "") -> Bookmark:
        """Where a store stands that has applied everything up to this last record."""
        end = self.cluster.topics[TOPICS.changelog].partitions[0].end
        return Bookmark(topic_id or self.topic_id, end, self.claim, self.k, False, crc32(value))

    def put_store(self, rows: dict[bytes, bytes], bookmark: Bookmark) -> None:
        store = self.stores.open(0)
        store.write([*rows.items(), (STORE, BOOKMARK.encode(bookmark))])
        store.close()

    def snapshot(self, rows: dict[bytes, bytes], bookmark: Bookmark, uuid: str = "s") -> None:
        chunk = SNAPSHOT_RECORD.encode(SnapshotChunk(uuid, 0, sorted(rows.items())))
        end = SnapshotEnd(uuid, 1, len(rows), crc32(chunk))
        for value in (SNAPSHOT_RECORD.encode(SnapshotBegin(uuid, bookmark)), chunk, SNAPSHOT_RECORD.encode(end)):
            self.cluster.append(TOPICS.snapshots, 0, value)

    def start(self) -> Restore:
        self.restore = Restore(
            0,
            TOPICS,
            self.topic_id,
            self.stores,
            self.node.reader(),
            self.node.partitions(),
            self.node.loop,
            self._done,
            self.errors.append,
        )
        self.restore.start()
        return self.restore

    def _done(self) -> None:
        self.reached += 1

    def run(self, seconds: float = 0.5) -> dict[bytes, bytes]:
        """Restore, and give the rows."""
        self.start()
        self.loop.advance(seconds)
        return self.rows()

    def rows(self) -> dict[bytes, bytes]:
        assert self.restore is not None
        assert self.restore.store is not None
        return {key: value for key, value in self.restore.store.scan(b"", b"\xff" * 9) if key != STORE}

    def position(self) -> int:
        assert self.restore is not None
        assert self.restore.store is not None
        bookmark = bookmark_of(self.restore.store)
        return -1 if bookmark is None else bookmark.position


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.loop.close()


def test_an_empty_log_is_restored_at_once(log: Log) -> None:
    assert log.run() == {}
    assert (log.reached, log.position()) == (1, -1)


def test_without_a_store_the_whole_log_is_followed(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"1"), (b"b", b"2"))
    log.commit((b"a", None))
    assert log.run() == {b"b": b"2"}
    assert (log.reached, log.position()) == (1, 3)


def test_a_store_that_fits_reads_only_what_came_behind_it(log: Log) -> None:
    log.claims()
    value = log.commit((b"a", b"from the log"))
    log.put_store({b"a": b"from the store"}, log.bookmark(value))
    log.commit((b"b", b"2"))
    assert log.run() == {b"a": b"from the store", b"b": b"2"}
    assert log.position() == 3


def test_the_claim_in_force_goes_with_the_store(log: Log) -> None:
    log.claims()
    value = log.commit((b"a", b"1"))
    log.put_store({b"a": b"1"}, log.bookmark(value))
    log.commit((b"a", b"2"))
    log.write(b"a stranger's")
    log.k += 1
    log.commit((b"a", b"3"))
    assert log.run() == {b"a": b"2"}


@pytest.mark.parametrize("what", ["another record", "another topic", "beyond the end"])
def test_a_store_of_another_log_stops_loudly_and_stays_as_it_is(log: Log, what: str) -> None:
    log.claims()
    bookmark = log.bookmark(log.commit((b"a", b"1")))
    if what == "another record":
        bookmark.crc += 1
    elif what == "another topic":
        bookmark.topic_id = "another"
    else:
        bookmark.position += 1
    log.put_store({b"a": b"of another log"}, bookmark)
    assert log.run() == {b"a": b"of another log"}
    assert [error.code for error in log.errors] == ["state_incomplete"]
    assert log.reached == 0


@pytest.mark.parametrize("what", ["damaged", "older than the log", "stands nowhere"])
def test_a_store_that_is_of_no_use_is_made_anew(log: Log, what: str) -> None:
    log.claims()
    first = log.bookmark(log.commit((b"a", b"1")))
    second = log.bookmark(log.commit((b"a", b"2")))
    log.put_store({b"a": b"wrong", b"stale": b"row"}, first)
    if what == "damaged":
        log.stores.damage(0)
    elif what == "older than the log":
        log.snapshot({b"a": b"2"}, second)
        log.cluster.expire(TOPICS.changelog, 0, 3)
    else:
        store = log.stores.open(0)
        store.write([(STORE, None)])
        store.close()
    assert log.run() == {b"a": b"2"}
    assert (log.reached, log.errors) == (1, [])


def test_a_log_that_is_trimmed_to_where_the_store_stands_is_followed_from_there(log: Log) -> None:
    log.claims()
    value = log.commit((b"a", b"1"))
    log.put_store({b"a": b"1"}, log.bookmark(value))
    log.cluster.expire(TOPICS.changelog, 0, 2)
    log.commit((b"b", b"2"))
    assert log.run() == {b"a": b"1", b"b": b"2"}


def test_a_trimmed_log_is_restored_from_the_best_snapshot(log: Log) -> None:
    log.claims()
    first = log.bookmark(log.commit((b"a", b"1")))
    second = log.bookmark(log.commit((b"a", b"2")))
    log.snapshot({b"a": b"2"}, second, "high")
    log.snapshot({b"a": b"1"}, first, "low")
    log.commit((b"b", b"3"))
    log.cluster.expire(TOPICS.changelog, 0, 3)
    assert log.run() == {b"a": b"2", b"b": b"3"}
    assert log.position() == 4


@pytest.mark.parametrize("snapshot", ["none", "too old", "cut off"])
def test_what_cannot_be_restored_stops_loudly(log: Log, snapshot: str) -> None:
    log.claims()
    first = log.bookmark(log.commit((b"a", b"1")))
    log.commit((b"a", b"2"))
    if snapshot == "too old":
        log.snapshot({b"a": b"1"}, first)
    elif snapshot == "cut off":
        log.cluster.append(TOPICS.snapshots, 0, SNAPSHOT_RECORD.encode(SnapshotBegin("s", first)))
    log.cluster.expire(TOPICS.changelog, 0, 3)
    log.start()
    log.loop.advance(1)
    assert [error.code for error in log.errors] == ["state_incomplete"]
    assert log.reached == 0


def test_a_snapshot_of_a_longer_log_stops_loudly(log: Log) -> None:
    log.claims()
    bookmark = log.bookmark(log.commit((b"a", b"1")))
    bookmark.position += 7
    log.snapshot({b"a": b"1"}, bookmark)
    log.start()
    log.loop.advance(1)
    assert [error.code for error in log.errors] == ["state_incomplete"]


def test_a_snapshot_that_was_written_since_the_bounds_were_read_is_taken(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"1"))
    log.cluster.network.faults = Faults(delay_ms=(10.0, 10.0))
    log.start()
    log.loop.advance(0.025)  # the bounds of the changelog are known, the snapshots are not looked at
    bookmark = log.bookmark(log.commit((b"a", b"2")))
    log.snapshot({b"a": b"2"}, bookmark)
    log.loop.advance(1)
    assert log.errors == []
    assert log.rows() == {b"a": b"2"}


def test_a_log_that_is_trimmed_while_it_is_read_is_begun_again_a_bounded_number_of_times(log: Log) -> None:
    log.claims()
    log.cluster.network.faults = Faults(delay_ms=(10.0, 10.0))
    log.start()
    topic = log.cluster.topics[TOPICS.changelog].partitions[0]
    for _ in range(60):
        bookmark = log.bookmark(log.commit((b"a", b"x")))
        log.snapshot({b"a": b"x"}, bookmark, f"s{topic.end}")
        log.commit((b"a", b"y"))
        log.cluster.expire(TOPICS.changelog, 0, topic.end)
        log.loop.advance(0.01)
        if log.errors:
            break
    assert {error.code for error in log.errors} <= {"restore_overtaken", "state_incomplete"}
    assert log.errors
    assert STARTS_MAX == 5


def test_offsets_without_a_record_at_the_end_are_not_waited_for(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"1"))
    log.cluster.gap(TOPICS.changelog, 0, 2)
    assert log.run(SILENCE_S / 2) == {}
    assert log.reached == 0
    log.loop.advance(2 * SILENCE_S)
    assert (log.reached, log.rows(), log.position()) == (1, {b"a": b"1"}, 2)


def test_silence_behind_the_snapshots_is_taken_for_the_end_if_what_was_found_will_do(log: Log) -> None:
    log.claims()
    bookmark = log.bookmark(log.commit((b"a", b"1")))
    log.snapshot({b"a": b"1"}, bookmark)
    log.cluster.gap(TOPICS.snapshots, 0)
    log.cluster.expire(TOPICS.changelog, 0, 2)
    assert log.run(2 * SILENCE_S) == {b"a": b"1"}
    assert log.reached == 1


def test_silence_behind_snapshots_that_will_not_do_is_tried_again_and_stops_nothing(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"1"))
    log.cluster.gap(TOPICS.snapshots, 0)
    log.cluster.expire(TOPICS.changelog, 0, 2)
    log.start()
    log.loop.advance(2 * SILENCE_S)
    assert [error.code for error in log.errors] == ["snapshots_silent"]


def test_a_commit_whose_last_chunk_is_missing_is_not_applied(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"1"))
    log.commit((b"a", b"half"), final=False)
    assert log.run() == {b"a": b"1"}
    assert log.position() == 2
    assert log.restore is not None
    assert log.restore.follower is not None
    assert log.restore.follower.position == 3


def restored_after_a_stop_in_the_middle_of_a_commit() -> None:
    log = Log()
    try:
        log.claims()
        log.commit((b"a", b"first half"), final=False)
        log.run()
        assert log.restore is not None
        assert log.restore.store is not None
        log.restore.close()
        log.restore.store.close()
        log.commit((b"b", b"second half"))
        assert log.run() == {b"a": b"first half", b"b": b"second half"}
    finally:
        log.loop.close()


def test_a_restore_that_stopped_in_the_middle_of_a_commit_begins_before_it() -> None:
    restored_after_a_stop_in_the_middle_of_a_commit()


def test_following_goes_on_in_the_middle_of_a_commit(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"first half"), final=False)
    log.run()
    log.commit((b"b", b"second half"))
    assert log.restore is not None
    log.restore.follow_to(3, log._done)
    log.loop.advance(0.5)
    assert log.rows() == {b"a": b"first half", b"b": b"second half"}
    assert log.reached == 2


def test_a_record_of_a_newer_format_stops_loudly(log: Log) -> None:
    log.claims()
    log.write(b"\x02" + LOG_RECORD.encode(Claim("n", "u"))[1:])
    log.start()
    log.loop.advance(1)
    assert [error.code for error in log.errors] == ["format_unknown"]


def test_what_stands_behind_ones_own_claim_is_left_to_others(log: Log) -> None:
    log.claims()
    log.commit((b"a", b"1"))
    log.run()
    log.claims()
    mine = log.claim
    log.claims()
    log.commit((b"a", b"of the next owner"))
    assert log.restore is not None
    log.restore.follow_to(mine + 1, log._done)
    log.loop.advance(0.5)
    assert log.rows() == {b"a": b"1"}
    assert log.restore.follower is not None
    assert log.restore.follower.claim == mine


def test_nothing_is_told_after_close(log: Log) -> None:
    log.claims()
    log.cluster.network.faults = Faults(delay_ms=(10.0, 10.0))
    restore = log.start()
    log.loop.advance(0.005)
    restore.close()
    log.loop.advance(5)
    assert (log.reached, log.errors) == (0, [])
