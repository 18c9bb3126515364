"""What only a real consumer does: fetch ahead without end, skip what a transaction hides, lose its topic.

Goal: a reader's memory is bounded, and whatever happens to the log a reading goes on exactly where it was, or fails.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from headrace.adapters.kafka_appender import AppenderLimits
from headrace.adapters.kafka_lane import Lane, ReaderLimits
from headrace.adapters.kafka_reader import KafkaReader
from headrace.adapters.kafka_reading import Delivery, KafkaReading
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import Outgoing, ReadFailure, Record
from tests.contracts.worlds import Gathered, KafkaWorld, append_all, wait_for

pytestmark = pytest.mark.kafka


@pytest.fixture
def world(kafka_bootstrap: str) -> Iterator[KafkaWorld]:
    world = KafkaWorld(kafka_bootstrap)
    yield world
    world.close()


def fill(world: KafkaWorld, topic: str, count: int, size: int, partitions: int = 1) -> None:
    """Write `count` records of `size` bytes to each partition."""
    failed: list[int | None] = []
    appender = world.appender(limits=AppenderLimits(linger_ms=5))
    for partition in range(partitions):
        appender.send(
            [Outgoing(topic, partition, None, b"%08d" % n + b"." * size) for n in range(count)], failed.append
        )
    world.until(lambda: len(failed) == partitions)
    assert failed == [None] * partitions


def pending_bytes(read: Gathered) -> int:
    assert isinstance(read.reading, KafkaReading)
    return read.reading.pending_bytes


def test_a_paused_reading_holds_back_a_bounded_amount_and_hinders_no_other(world: KafkaWorld) -> None:
    limits = ReaderLimits(pending_bytes=100_000, round_records=50)
    topic = world.topic(2)
    fill(world, topic, 5_000, 1_000, partitions=2)
    reader = world.reader(limits=limits)
    paused, free = Gathered(reader, topic, 0), Gathered(reader, topic, 1)
    paused.reading.pause()
    wait_for(world, free, 5_000)
    round_bytes = limits.round_records * 1_500
    assert 0 < pending_bytes(paused) <= limits.pending_bytes + round_bytes
    assert not paused.records
    paused.reading.resume()
    wait_for(world, paused, 5_000)
    assert paused.offsets == list(range(5_000))
    assert pending_bytes(paused) == 0


def test_a_loop_that_does_not_come_round_is_not_buried(world: KafkaWorld) -> None:
    limits = ReaderLimits(loop_bytes=100_000, round_records=50)
    topic = world.topic()
    fill(world, topic, 5_000, 1_000)
    seen: list[int] = []
    records: list[Record] = []

    def take(more: list[Record]) -> None:
        records.extend(more)
        seen.append(reading.pending_bytes)
        if len(seen) == 1:
            # The loop is busy here until the thread has read as much as it may.
            while reading.pending_bytes <= limits.loop_bytes:
                assert len(records) < 5_000
            seen.append(reading.pending_bytes)

    reading = world.reader(limits=limits).read(topic, 0, 0, take, lambda failure, text: pytest.fail(text))
    world.until(lambda: len(records) == 5_000)
    assert [record.offset for record in records] == list(range(5_000))
    assert max(seen) <= limits.loop_bytes + limits.round_records * 1_500


def test_a_reading_that_stands_still_while_its_log_is_trimmed_fails(world: KafkaWorld) -> None:
    topic = world.topic()
    fill(world, topic, 3_000, 1_000)
    reader = world.reader(limits=ReaderLimits(pending_bytes=100_000, round_records=50))
    read = Gathered(reader, topic)
    read.reading.pause()
    world.until(lambda: pending_bytes(read) > 100_000)
    trimmed: list[str | None] = []
    world.partitions().trim(topic, 0, 3_000, trimmed.append)
    world.until(lambda: bool(trimmed))
    assert not read.failures
    read.reading.resume()
    world.until(lambda: bool(read.failures))
    assert read.failures[0][0] is ReadFailure.OUT_OF_RANGE
    assert read.offsets == list(range(len(read.offsets)))
    assert len(read.offsets) < 3_000


def test_a_topic_that_is_deleted_under_a_reading_ends_it(world: KafkaWorld) -> None:
    topic = world.topic()
    fill(world, topic, 10, 10)
    read = Gathered(world.reader(limits=ReaderLimits(grace_ms=500, silence_ms=200)), topic)
    wait_for(world, read, 10)
    world.delete_topic(topic)
    world.until(lambda: bool(read.failures))
    assert read.failures[0][0] is ReadFailure.UNKNOWN_TOPIC


def test_silence_alone_ends_no_reading(world: KafkaWorld) -> None:
    topic = world.topic(2)
    append_all(world, world.appender(), topic, [b"a"])
    reader = world.reader(limits=ReaderLimits(grace_ms=100, silence_ms=50))
    silent, ending = Gathered(reader, topic, 1), Gathered(reader, "contract.nowhere")
    world.until(lambda: bool(ending.failures))
    again = Gathered(reader, "contract.nowhere")
    world.until(lambda: bool(again.failures))
    append_all(world, world.appender(), topic, [b"b"], partition=1)
    wait_for(world, silent, 1)
    assert not silent.failures


def test_only_what_a_transaction_has_committed_is_read_and_its_marks_are_passed_over(world: KafkaWorld) -> None:
    topic = world.topic()
    producer = Producer(
        {"bootstrap.servers": world.settings.bootstrap, "transactional.id": f"tx-{topic}", "linger.ms": 0}
    )
    producer.init_transactions(30)
    for value, commit in ((b"a", True), (b"dropped", False), (b"b", True)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    producer.close()
    read = Gathered(world.reader(), topic)
    wait_for(world, read, 2)
    assert read.values == [b"a", b"b"]
    assert read.offsets == [0, 4], "each transaction takes an offset for its mark"
    append_all(world, world.appender(), topic, [b"on"])
    wait_for(world, read, 3)
    assert read.offsets[-1] == 6


def test_records_of_megabytes_come_whole(world: KafkaWorld) -> None:
    topic = world.topic()
    values = [bytes([number]) * size for number, size in enumerate((3_000_000, 1, 8_300_000, 5_000_000))]
    assert [error for _, error in append_all(world, world.appender(), topic, values)] == [None] * 4
    read = Gathered(world.reader(), topic)
    wait_for(world, read, 4)
    assert read.values == values


def test_a_second_place_in_one_partition_takes_a_lane_and_gives_it_back(world: KafkaWorld) -> None:
    topic = world.topic()
    fill(world, topic, 10, 10)
    reader = KafkaReader(world.settings, world.loop, name=f"lanes-of-{topic}")

    def lanes() -> int:
        return sum(thread.name.startswith(f"lanes-of-{topic}") for thread in threading.enumerate())

    assert lanes() == 0
    first, second, third = (Gathered(reader, topic, offset=offset) for offset in (0, 2, 4))
    assert lanes() == 3
    for read, count in ((first, 10), (second, 8), (third, 6)):
        wait_for(world, read, count)
    second.reading.close()
    world.until(lambda: lanes() == 2)
    fourth = Gathered(reader, topic, offset=9)
    wait_for(world, fourth, 1)
    reader.close()
    world.until(lambda: lanes() == 0)


def test_a_callback_that_raises_swallows_no_records_of_others_and_none_overtake(world: KafkaWorld) -> None:
    lane = Lane(KafkaSettings("127.0.0.1:1"), world.loop, "group", ReaderLimits(), "idle-lane")
    taken: list[int] = []

    def raise_it(records: list[Record]) -> None:
        raise RuntimeError("the caller's mistake")

    def take(records: list[Record]) -> None:
        taken.extend(record.offset for record in records)

    raising, sound = (
        KafkaReading(world.loop, ("topic", number), 0, callback, lambda failure, text: None, lambda reading: None)
        for number, callback in enumerate((raise_it, take))
    )

    def brought(reading: KafkaReading, offset: int) -> Delivery:
        return Delivery(reading, [Record(*reading.key, offset, 0, None, b"", None)], 1, None, "")

    # Two rounds are on their way when the first one is taken.
    lane._hand_over([brought(raising, 0), brought(sound, 0)])
    lane._hand_over([brought(sound, 1)])
    lane.end()
    with pytest.raises(RuntimeError, match="mistake"):
        world.until(lambda: False)
    world.until(lambda: len(taken) == 2)
    assert taken == [0, 1]


def test_what_cannot_be_read_is_a_mistake_of_the_caller(world: KafkaWorld) -> None:
    reader = world.reader()
    for offset in (-1, -2, -1001):
        with pytest.raises(ValueError, match="negative"):
            Gathered(reader, "topic", offset=offset)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        Gathered(reader, "topic")
