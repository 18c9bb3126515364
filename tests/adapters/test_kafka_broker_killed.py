"""The broker is killed in the middle of appends, and comes back.

Goal: what is acknowledged is there, at its offset, once; reports keep their order; a reading goes on without a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.adapters.kafka_appender import AppenderLimits
from headrace.adapters.kafka_lane import ReaderLimits
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topics import ensure_topics
from headrace.adapters.seams import Appender
from tests.contracts.test_membership import ALL, Node
from tests.contracts.worlds import Gathered, KafkaWorld, append_all, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this file's own: the session's must not be killed."""
    with EmbeddedKafka(tmp_path_factory.mktemp("killed")) as broker:
        yield broker


@pytest.fixture
def world(broker: EmbeddedKafka) -> Iterator[KafkaWorld]:
    world = KafkaWorld(broker.bootstrap)
    yield world
    world.close()


class Stream:
    """Appends numbers to one partition without end, at most `ahead` unreported."""

    def __init__(self, appender: Appender, topic: str, ahead: int) -> None:
        self.reports: list[tuple[int, int, str | None]] = []
        self.sent = 0
        self._appender = appender
        self._topic = topic
        self._ahead = ahead
        self.open = True

    def go_on(self) -> None:
        while self.open and self.sent - len(self.reports) < self._ahead:
            self._appender.append(self._topic, 0, b"%d" % self.sent, self._report_to(self.sent))
            self.sent += 1

    def _report_to(self, number: int) -> Callable[[int, str | None], None]:
        def report(offset: int, error: str | None) -> None:
            self.reports.append((number, offset, error))
            self.go_on()

        return report


def kill_and_restart(world: KafkaWorld, broker: EmbeddedKafka) -> None:
    """Kill the broker, and start it again on a thread while the loop goes on."""
    broker.kill()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(broker.start)
        world.until(started.done, "the broker is back", within_s=60)
        started.result()


def test_appends_survive_the_death_of_the_broker(world: KafkaWorld, broker: EmbeddedKafka) -> None:
    topic = world.topic()
    stream = Stream(world.appender(), topic, ahead=300)
    follower = Gathered(world.reader(limits=ReaderLimits()), topic)
    stream.go_on()
    for _ in range(3):
        before = len(stream.reports)
        world.until(lambda before=before: len(stream.reports) > before + 2_000)  # type: ignore[misc]
        kill_and_restart(world, broker)
    before = len(stream.reports)
    world.until(lambda: len(stream.reports) > before + 2_000)
    stream.open = False
    world.until(lambda: len(stream.reports) == stream.sent)
    # The downtime is far shorter than the time that a record is given: nothing fails, and nobody else writes here.
    assert stream.reports == [(number, number, None) for number in range(stream.sent)]
    wait_for(world, follower, stream.sent)
    assert not follower.failures
    assert follower.offsets == list(range(stream.sent))
    assert follower.values == [b"%d" % number for number in range(stream.sent)]


def test_what_fails_while_the_broker_is_dead_is_said_and_the_rest_is_where_it_was_told(
    world: KafkaWorld, broker: EmbeddedKafka
) -> None:
    topic = world.topic()
    stream = Stream(world.appender(limits=AppenderLimits(message_timeout_ms=400)), topic, ahead=300)
    stream.go_on()
    world.until(lambda: len(stream.reports) > 2_000)
    kill_and_restart(world, broker)
    failed = sum(error is not None for _, _, error in stream.reports)
    assert failed, "the broker came back too soon for this test"
    world.until(lambda: stream.reports[-1][2] is None, "appends go on")
    stream.open = False
    world.until(lambda: len(stream.reports) == stream.sent)
    assert [number for number, _, _ in stream.reports] == list(range(stream.sent)), "reported in order, once each"
    assert all((offset == -1) == (error is not None) for _, offset, error in stream.reports)
    end = append_all(world, world.appender(), topic, [b"end"])[0][0]
    read = Gathered(world.reader(), topic)
    wait_for(world, read, end + 1)
    landed = [int(value or b"") for value in read.values[:-1]]
    assert landed == sorted(set(landed)), "in the order of the appends, none twice"
    at = dict(zip(landed, read.offsets, strict=False))
    for number, offset, error in stream.reports:
        if error is None:
            assert at[number] == offset


def test_a_member_of_the_group_has_its_partitions_again(world: KafkaWorld, broker: EmbeddedKafka) -> None:
    topic = world.topic(4)
    node = Node(world, f"group.{topic}", "a", topic)
    world.until(lambda: sorted(node.owned) == ALL)
    kill_and_restart(world, broker)
    append_all(world, world.appender(), topic, [b"the broker serves"])
    world.until(lambda: sorted(node.owned) == ALL and node.held() == ALL)
    assert node.expelled_because is None
    other = Node(world, f"group.{topic}", "b", topic)
    world.until(lambda: len(other.owned) == 2 and len(node.owned) == 2)
    node.leave(world)
    world.until(lambda: sorted(other.owned) == ALL)


def test_topics_are_found_again_as_they_were(broker: EmbeddedKafka, world: KafkaWorld) -> None:
    settings = KafkaSettings(broker.bootstrap)
    before = ensure_topics(settings, "again", 2)
    kill_and_restart(world, broker)
    after = ensure_topics(settings, "again")
    ids = {name: topic.topic_id for name, topic in before.topics.items()}
    assert {name: topic.topic_id for name, topic in after.topics.items()} == ids
