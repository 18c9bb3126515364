"""The feed, on Kafka's memory twin. Goal: everything on the topics reaches the archive, and what cannot is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.memory_network import Faults, Network
from headrace.adapters.memory_node import MemoryNode
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.console.feed import Feed, FeedLimits, Source
from headrace.console.lag_queries import ALIVE_MS, Lag, read_lag
from headrace.console.projection import Projection
from headrace.console.retention import Retention, RetentionLimits
from tests.console.archives import open_for_writing
from tests.console.histories import EVENTS_TOPIC_ID, TOPICS, History
from tests.console.shop import shop_history

_SOURCES = [
    Source(TOPICS.functions, 1),
    Source(TOPICS.events, 8),
    Source(TOPICS.history, 8),
    Source(TOPICS.dead, 8),
]


class World:
    """A memory Kafka with our topics, and a feed into an archive."""

    def __init__(self, loop: VirtualLoop, folder: Path, network: Network | None = None) -> None:
        self.loop = loop
        self.cluster = MemoryCluster(loop, network)
        self.clock = ManualClock(loop.time)
        for source in _SOURCES:
            self.cluster.create_topic(source.topic, source.partitions)
        self.path = folder / "a.db"
        self.errors: list[BaseException] = []
        self.archive: sqlite3.Connection
        self.projection: Projection
        self.node: MemoryNode
        self.feed: Feed

    def start(self, limits: FeedLimits | None = None, retention: RetentionLimits | None = None) -> None:
        """Start a projecting process."""
        self.archive = open_for_writing(self.path)
        self.projection = Projection(self.archive, TOPICS, EVENTS_TOPIC_ID)
        self.node = self.cluster.node("console")
        self.feed = Feed(
            self.projection,
            Retention(self.archive, retention or RetentionLimits(runs_age_ms=1 << 50, events_age_ms=1 << 50)),
            _SOURCES,
            TOPICS.events,
            reader=self.node.reader(),
            partitions=self.node.partitions(),
            loop=self.node.loop,
            clock=self.clock,
            on_error=self.errors.append,
            limits=limits,
        )
        self.feed.start()

    def crash(self) -> None:
        """Kill the process: whatever it had not written is gone."""
        self.node.crash()
        self.archive.close()

    def put(self, history: History) -> None:
        """Put a history on the topics."""
        for record in history.records:
            self.cluster.append(record.topic, record.partition, record.value, record.key, record.headers)

    def count(self, table: str) -> int:
        """Count rows."""
        (number,) = self.archive.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(number)

    def lag(self) -> Lag:
        """Read how far behind the archive is."""
        return read_lag(self.archive, self.clock.wall_ms())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with VirtualLoop() as loop:
        yield World(loop, tmp_path)


def _sizes(history: History) -> tuple[int, int]:
    events = sum(record.topic == TOPICS.events for record in history.records)
    runs = len({record.key for record in history.records if record.topic == TOPICS.history and record.key})
    return events, runs


def test_what_is_there_and_what_comes_is_projected(world: World) -> None:
    first, second = shop_history(world.clock.wall_ms(), runs=50, seed=1), shop_history(world.clock.wall_ms(), seed=2)
    world.put(first)
    world.start()
    world.loop.advance(3)
    events, runs = _sizes(first)
    assert (world.count("events"), world.count("runs")) == (events, runs)
    assert world.lag()[:3] == (True, 0, 0.0)
    world.put(second)
    world.loop.advance(3)
    # The second history's runs have ids of their own, but for those that live at this moment.
    assert world.count("events") == events + _sizes(second)[0]
    assert not world.errors


def test_a_record_is_there_within_a_moment(world: World) -> None:
    world.start()
    world.loop.advance(5)
    history = History()
    history.event("a", {}, world.clock.wall_ms())
    world.put(history)
    world.loop.advance(0.2)
    assert world.count("events") == 1


def test_a_process_that_is_killed_again_and_again_leaves_nothing_out_and_repeats_nothing(world: World) -> None:
    history = shop_history(world.clock.wall_ms(), runs=120)
    world.put(history)
    for number in range(12):
        world.start(FeedLimits(batch_records=40 + number, batch_wait_ms=5))
        world.loop.advance(0.02 * number)
        world.crash()
    world.start()
    world.loop.advance(3)
    assert (world.count("events"), world.count("runs")) == _sizes(history)
    assert world.lag().missed == 0


def test_expired_records_are_counted_and_the_rest_is_read(world: World) -> None:
    history = History(8)
    for number in range(40):
        history.event("a", {"n": number}, world.clock.wall_ms(), partition=0)
    world.put(history)
    world.start()
    world.loop.advance(1)
    world.crash()
    for number in range(40):
        world.cluster.append(TOPICS.events, 0, b'{"name":"b","data":{"n":%d}}' % number)
    world.cluster.expire(TOPICS.events, 0, 60)
    world.start()
    world.loop.advance(5)
    assert world.count("events") == 40 + 20
    assert world.lag().missed == 20


def test_what_had_arrived_is_kept_when_what_follows_it_expires(world: World) -> None:
    world.start(FeedLimits(batch_wait_ms=10_000))
    world.loop.advance(1)
    for number in range(80):
        world.cluster.append(TOPICS.events, 0, b'{"name":"a","data":{"n":%d}}' % number)
        if number == 39:
            world.loop.advance(1)
            assert world.count("events") == 0  # on their way into the archive
    world.cluster.expire(TOPICS.events, 0, 60)
    world.loop.advance(30)
    assert world.count("events") == 40 + 20
    assert world.lag().missed == 20


def test_a_log_that_is_shorter_than_what_was_read_is_read_from_its_beginning(world: World) -> None:
    for number in range(40):
        world.cluster.append(TOPICS.events, 0, b'{"name":"a","data":{"n":%d}}' % number)
    world.start()
    world.loop.advance(1)
    world.crash()
    world.cluster.truncate(TOPICS.events, 0, 10)
    world.start()
    world.loop.advance(5)
    world.cluster.append(TOPICS.events, 0, b'{"name":"after"}')
    world.loop.advance(5)
    names = [name for (name,) in world.archive.execute("SELECT DISTINCT name FROM events ORDER BY name")]
    assert names == ["a", "after"]
    assert world.lag().missed == 0
    assert not world.errors


def test_a_broker_that_is_away_for_a_while_stops_nothing(world: World) -> None:
    world.start()
    world.loop.advance(1)
    world.cluster.restart_broker(40)
    world.loop.advance(20)
    assert world.lag().running
    history = shop_history(world.clock.wall_ms(), runs=10)
    world.put(history)
    world.loop.advance(60)
    assert (world.count("events"), world.count("runs")) == _sizes(history)
    assert not world.errors


def test_a_topic_that_is_missing_is_tried_again_until_it_is_there(world: World) -> None:
    world.cluster.delete_topic(TOPICS.dead)
    world.start()
    world.loop.advance(60)
    assert not world.errors
    world.cluster.create_topic(TOPICS.dead, 8)
    world.cluster.append(TOPICS.dead, 3, b"x")
    world.loop.advance(60)
    assert world.count("dead_letters") == 1


def test_how_far_behind_it_is_can_be_read(world: World) -> None:
    world.start()
    world.loop.advance(3)
    for _ in range(500):
        world.cluster.append(TOPICS.history, 0, b"unreadable")
    world.cluster.freeze(TOPICS.history, 0, 30)
    for _ in range(500):
        world.cluster.append(TOPICS.history, 0, b"unreadable")
    world.loop.advance(45)
    lag = world.lag()
    assert (lag.records_behind, lag.unreadable) == (0, 1_000)
    world.crash()
    world.archive = open_for_writing(world.path)
    world.loop.advance(ALIVE_MS / 1000 + 1)
    assert not world.lag().running


def test_far_behind_events_are_sampled_and_lifecycles_are_not(tmp_path: Path) -> None:
    with VirtualLoop() as loop:
        world = World(loop, tmp_path, Network(1, Faults(delay_ms=(5, 10)), fetch_records_max=10))
        history = shop_history(world.clock.wall_ms(), runs=100)
        world.put(history)
        for number in range(3_000):
            world.cluster.append(TOPICS.events, 0, b'{"name":"late","data":{"n":%d}}' % number)
        world.start(FeedLimits(sample_behind=500, sample_stride=10, measure_ms=50, measure_partition_ms=1))
        world.loop.advance(60)
        (late,) = world.archive.execute("SELECT count(*) FROM events WHERE name='late'").fetchone()
        assert 500 < late < 1_500  # one in ten of the first 2,500 or so, then all
        lag = world.lag()
        assert late + lag.events_seen - lag.events_kept >= 3_000
        assert world.count("runs") == _sizes(history)[1]
        # Caught up, it keeps all of them again.
        world.cluster.append(TOPICS.events, 1, b'{"name":"later"}')
        world.loop.advance(1)
        (later,) = world.archive.execute("SELECT count(*) FROM events WHERE name='later'").fetchone()
        assert later == 1


def test_old_rows_go_by_themselves(world: World) -> None:
    history = shop_history(world.clock.wall_ms(), runs=100)
    world.put(history)
    world.start(retention=RetentionLimits(runs_max=30, events_max=20))
    world.loop.advance(60)
    assert world.count("runs") == 30
    assert world.count("events") == 20


def test_a_disk_that_is_full_ends_the_process_with_its_reason(world: World) -> None:
    world.start()
    world.loop.advance(1)
    world.archive.execute("PRAGMA max_page_count=1")
    for number in range(500):
        world.cluster.append(TOPICS.events, 0, b'{"name":"a","data":{"n":%d,"x":"%s"}}' % (number, b"x" * 5_000))
    world.loop.advance(5)
    assert len(world.errors) == 1
    assert "full" in str(world.errors[0])
