"""What only a real producer does: a full queue, a refused batch, a fatal error, a broker that is not there.

Goal: whatever the client does, records keep their order and every append is reported, in order, once.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.adapters.kafka_appender import AppenderLimits, KafkaAppender
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import Outgoing
from tests.contracts.worlds import Gathered, KafkaWorld, append_all, wait_for

Report = tuple[int, str | None]


@pytest.fixture
def world(kafka_bootstrap: str) -> Iterator[KafkaWorld]:
    world = KafkaWorld(kafka_bootstrap)
    yield world
    world.close()


@pytest.fixture
def deaf_world() -> Iterator[KafkaWorld]:
    """A world whose broker is a closed door."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        world = KafkaWorld(f"127.0.0.1:{bound.getsockname()[1]}")
        yield world
        world.close()


class CountingLoop:
    """The world's loop, which counts how often it is woken from another thread."""

    def __init__(self, world: KafkaWorld) -> None:
        self._loop = world.loop
        self.call_soon = world.loop.call_soon
        self.call_later = world.loop.call_later
        self.posts = 0

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> Any:
        self.posts += 1
        return self._loop.call_soon_threadsafe(callback, *args)

    def stand_still_until(self, posts: int) -> None:
        """Wait, without running the loop, until that many calls have been posted to it."""
        deadline = time.monotonic() + 30
        while self.posts < posts:
            assert time.monotonic() < deadline, f"{self.posts} posts"


def note(reports: list[Report]) -> Callable[[int, str | None], None]:
    return lambda offset, error: reports.append((offset, error))


@pytest.mark.kafka
def test_what_the_full_queue_refuses_is_held_back_in_order(world: KafkaWorld) -> None:
    topic = world.topic(2)
    appender = world.appender(limits=AppenderLimits(queue_records=20))
    reports: dict[int, list[Report]] = {0: [], 1: []}
    batches: list[int | None] = []
    expected: dict[int, list[bytes | None]] = {0: [], 1: []}
    for number in range(200):
        partition = number % 2
        batch = [Outgoing(topic, (partition + n) % 2, None, b"batch %d.%d" % (number, n)) for n in range(9)]
        appender.append(topic, partition, b"append %d" % number, note(reports[partition]))
        appender.send(batch, batches.append)
        expected[partition].append(b"append %d" % number)
        for outgoing in batch:
            expected[outgoing.partition].append(outgoing.value)
    assert appender.unreported == 400
    world.until(lambda: appender.unreported == 0)
    assert batches == [None] * 200
    reader = world.reader()
    for partition, values in expected.items():
        read = Gathered(reader, topic, partition)
        wait_for(world, read, 1000)
        assert read.values == values
        appended = [record.offset for record in read.records if (record.value or b"").startswith(b"append")]
        assert reports[partition] == [(offset, None) for offset in appended]


@pytest.mark.kafka
def test_nothing_overtakes_what_is_held_back_when_there_is_room_again(world: KafkaWorld) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, [b"the broker is warm"])
    loop = CountingLoop(world)
    appender = KafkaAppender(world.settings, loop, limits=AppenderLimits(queue_records=10))
    reports: list[Report] = []
    batches: list[int | None] = []
    expected: list[bytes | None] = []
    for number in range(5):
        values = [b"%d.%d" % (number, n) for n in range(40)]
        for value in values[:20]:
            appender.append(topic, 0, value, note(reports))
        # The client has delivered some then and would take more; the loop has not come round to what was held back.
        loop.stand_still_until(loop.posts + 1)
        appender.append(topic, 0, values[20], note(reports))
        appender.send([Outgoing(topic, 0, None, value) for value in values[21:]], batches.append)
        expected += values
        world.until(lambda: appender.unreported == 0)
    assert all(error is None for _, error in reports)
    assert batches == [None] * 5
    read = Gathered(world.reader(), topic, offset=1)
    wait_for(world, read, len(expected))
    assert read.values == expected
    appender.close(2_000)
    world.until(lambda: True)


@pytest.mark.kafka
def test_closing_sends_also_what_was_held_back(world: KafkaWorld) -> None:
    topic = world.topic()
    appender = KafkaAppender(world.settings, world.loop, limits=AppenderLimits(queue_records=10))
    reports: list[Report] = []
    for number in range(100):
        appender.append(topic, 0, b"%d" % number, note(reports))
    appender.close(20_000)
    world.until(lambda: len(reports) == 100)
    assert reports == [(offset, None) for offset in range(100)]
    assert appender.unreported == 0
    with pytest.raises(ValueError, match="closed"):
        appender.append(topic, 0, b"late", note(reports))
    appender.close(0)


@pytest.mark.kafka
def test_a_batch_that_the_broker_refuses_is_reported_in_order_and_truly(world: KafkaWorld) -> None:
    """The broker judges what the client has put together: neighbours of a record that is too large fail with it."""
    topic = world.topic(batch_bytes_max=20_000)
    appender = world.appender(limits=AppenderLimits(linger_ms=20))
    order: list[int] = []
    reports: dict[int, Report] = {}

    def report_to(number: int) -> Callable[[int, str | None], None]:
        def report(offset: int, error: str | None) -> None:
            order.append(number)
            reports[number] = (offset, error)

        return report

    for number in range(60):
        value = b"x" * 50_000 if number % 20 == 10 else b"%d" % number
        appender.append(topic, 0, value, report_to(number))
    world.until(lambda: len(order) == 60)
    assert order == list(range(60))
    assert all(reports[number] != (-1, None) for number in range(60))
    assert all(reports[number][1] for number in (10, 30, 50))
    end = append_all(world, world.appender(), topic, [b"end"])[0][0]
    read = Gathered(world.reader(), topic)
    wait_for(world, read, end + 1)
    landed = {record.value: record.offset for record in read.records}
    for number, (offset, error) in reports.items():
        if error is None:
            assert landed[b"%d" % number] == offset


@pytest.mark.kafka
def test_after_a_fatal_error_everything_fails_in_order_until_it_is_renewed(world: KafkaWorld) -> None:
    # With this setting the client gives up for good when a batch is refused: a fatal error on demand.
    topic = world.topic(batch_bytes_max=20_000)
    appender = world.appender(limits=AppenderLimits(linger_ms=20), enable_gapless_guarantee="true")
    assert append_all(world, appender, topic, [b"fine"]) == [(0, None)]
    told: list[str] = []

    def tell(number: int) -> Callable[[int, str | None], None]:
        return lambda offset, error: told.append(f"{number} {offset} {bool(error)}")

    appender.append(topic, 0, b"x" * 50_000, tell(0))
    for number in range(1, 20):
        appender.append(topic, 0, b"%d" % number, tell(number))
    world.until(lambda: len(told) == 20)
    assert told == [f"{number} -1 True" for number in range(20)]
    for _ in range(2):
        ((offset, error),) = append_all(world, appender, topic, [b"into the void"])
        assert (offset, bool(error)) == (-1, True)
    batches: list[int | None] = []
    appender.send([Outgoing(topic, 0, None, b"a"), Outgoing(topic, 0, None, b"b")], batches.append)
    assert not batches, "called back from inside the call"
    world.until(lambda: bool(batches))
    assert batches == [0]
    appender.renew()
    ((offset, error),) = append_all(world, appender, topic, [b"alive"])
    assert error is None
    assert appender.unreported == 0
    read = Gathered(world.reader(), topic, offset=offset)
    wait_for(world, read, 1)
    assert read.values == [b"alive"]


@pytest.mark.kafka
def test_thousands_of_reports_cost_a_few_wake_ups_of_the_loop(world: KafkaWorld) -> None:
    loop = CountingLoop(world)
    topic = world.topic()
    append_all(world, world.appender(), topic, [b"the broker is warm"])
    appender = KafkaAppender(world.settings, loop, limits=AppenderLimits(linger_ms=50))
    reports: list[Report] = []
    for _ in range(5_000):
        appender.append(topic, 0, b".", note(reports))
    world.until(lambda: len(reports) == 5_000)
    assert all(error is None for _, error in reports)
    assert loop.posts < 200
    appender.close(2_000)
    world.until(lambda: True)


@pytest.mark.kafka
def test_a_report_that_raises_swallows_no_other_and_none_overtakes(world: KafkaWorld) -> None:
    topic = world.topic()
    loop = CountingLoop(world)
    appender = KafkaAppender(world.settings, loop, limits=AppenderLimits(linger_ms=100))
    reports: list[Report] = []

    def raise_it(offset: int, error: str | None) -> None:
        raise RuntimeError("the caller's mistake")

    appender.append(topic, 0, b"a", note(reports))
    appender.append(topic, 0, b"b", raise_it)
    appender.append(topic, 0, b"c", note(reports))
    loop.stand_still_until(1)
    appender.append(topic, 0, b"d", note(reports))
    loop.stand_still_until(2)
    with pytest.raises(RuntimeError, match="mistake"):
        world.until(lambda: False)
    world.until(lambda: len(reports) == 3)
    assert reports == [(0, None), (2, None), (3, None)]
    appender.close(2_000)
    world.until(lambda: True)


@pytest.mark.kafka
def test_compressed_records_are_read_from_the_middle_of_their_batch(world: KafkaWorld) -> None:
    topic = world.topic()
    appender = world.appender(limits=AppenderLimits(linger_ms=100, compression="lz4"))
    values = [b"%d" % number * 50 for number in range(1_000)]
    assert append_all(world, appender, topic, values) == [(offset, None) for offset in range(1_000)]
    reader = world.reader()
    for offset in (1, 500, 999):
        read = Gathered(reader, topic, offset=offset)
        wait_for(world, read, 1_000 - offset)
        assert read.values == values[offset:]
        read.reading.close()


def test_without_a_broker_every_append_fails_in_order_and_in_time(deaf_world: KafkaWorld) -> None:
    appender = deaf_world.appender(limits=AppenderLimits(message_timeout_ms=300))
    told: list[object] = []

    def report_to(number: int) -> Callable[[int, str | None], None]:
        return lambda offset, error: told.append((number, offset, bool(error)))

    for number in range(50):
        appender.append("nowhere", number % 3, b".", report_to(number))
    appender.send([Outgoing("nowhere", 0, None, b".")] * 3, told.append)
    deaf_world.until(lambda: len(told) == 51, within_s=10)
    appended = [entry for entry in told if isinstance(entry, tuple)]
    for partition in range(3):
        numbers = [number for number, _, _ in appended if number % 3 == partition]
        assert numbers == sorted(numbers)
    assert {entry[1:] for entry in appended} == {(-1, True)}
    assert [entry for entry in told if not isinstance(entry, tuple)] == [0]
    assert appender.unreported == 0


def test_closing_without_a_broker_ends_in_time_and_reports_what_was_not_sent(deaf_world: KafkaWorld) -> None:
    appender = KafkaAppender(deaf_world.settings, deaf_world.loop)
    reports: list[Report] = []
    for _ in range(3):
        appender.append("nowhere", 0, b".", note(reports))
    appender.close(200)
    deaf_world.until(lambda: len(reports) == 3)
    assert [offset for offset, _ in reports] == [-1] * 3
    assert all(error for _, error in reports)
    assert appender.unreported == 0


def test_a_setting_that_producers_do_not_take_is_said_at_once(deaf_world: KafkaWorld) -> None:
    settings = KafkaSettings(deaf_world.settings.bootstrap, {"no.such.setting": "1"})
    with pytest.raises(Exception, match=r"no\.such\.setting"):
        KafkaAppender(settings, deaf_world.loop)
