"""What every log does for those who append and read, on the memory twin and on Kafka.

Goal: an owner knows the offset of each of its records, and a reader misses none and gets none twice.
"""

from __future__ import annotations

import random
from functools import partial

from headrace.adapters.seams import Outgoing, ReadFailure
from tests.contracts.worlds import Gathered, World, append_all, wait_for


def numbered(count: int, mark: str = "") -> list[bytes]:
    return [f"{mark}{number}".encode() for number in range(count)]


def wait_for_failure(world: World, read: Gathered) -> None:
    world.until(lambda: bool(read.failures), "the reading fails")


def test_a_sole_writer_gets_consecutive_offsets_and_a_reader_the_records_in_order(world: World) -> None:
    topic = world.topic()
    reports = append_all(world, world.appender(), topic, numbered(500))
    assert reports == [(offset, None) for offset in range(500)]
    read = Gathered(world.reader(), topic)
    wait_for(world, read, 500)
    assert read.offsets == list(range(500))
    assert read.values == numbered(500)
    assert {(record.topic, record.partition) for record in read.records} == {(topic, 0)}


def test_a_record_comes_as_it_was_sent_with_the_brokers_time(world: World) -> None:
    topic = world.topic(2)
    sent = [
        Outgoing(topic, 1, b"key", b"value", [("a", b"1"), ("b", None), ("a", b"")]),
        Outgoing(topic, 1, None, b"no key"),
        Outgoing(topic, 1, b"no value", None),
        Outgoing(topic, 1, b"", b""),
        Outgoing(topic, 1, b"a tuple", b"of headers", (("x", b"\x00\xff"),)),
    ]
    reports: list[int | None] = []
    world.appender().send(sent, reports.append)
    assert not reports, "called back from inside the call"
    world.until(lambda: bool(reports))
    assert reports == [None]
    read = Gathered(world.reader(), topic, 1)
    wait_for(world, read, len(sent))
    assert [(record.key, record.value) for record in read.records] == [(out.key, out.value) for out in sent]
    headers = [list(record.headers or ()) for record in read.records]
    assert headers == [list(out.headers or ()) for out in sent]
    times = [record.timestamp_ms for record in read.records]
    assert times == sorted(times)
    assert times[0] > 0


def test_records_of_one_batch_keep_their_order_in_each_partition(world: World) -> None:
    topic = world.topic(3)
    appender = world.appender()
    reports: list[int | None] = []
    chooser = random.Random(7)
    expected: dict[int, list[bytes | None]] = {0: [], 1: [], 2: []}
    for batch_number in range(20):
        batch = [Outgoing(topic, chooser.randrange(3), None, b"%d.%d" % (batch_number, n)) for n in range(100)]
        for outgoing in batch:
            expected[outgoing.partition].append(outgoing.value)
        appender.send(batch, reports.append)
    world.until(lambda: len(reports) == 20)
    assert reports == [None] * 20
    reader = world.reader()
    reads = [Gathered(reader, topic, partition) for partition in range(3)]
    world.until(lambda: sum(len(read.records) for read in reads) == 2_000)
    assert {read.records[0].partition: read.values for read in reads} == expected


def test_appends_and_batches_to_one_partition_land_in_the_order_of_the_calls(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    reports: list[object] = []
    expected: list[bytes | None] = []
    for number in range(50):
        value = b"append %d" % number
        appender.append(topic, 0, value, lambda offset, error: reports.append((offset, error)))
        batch = [Outgoing(topic, 0, None, b"batch %d.%d" % (number, n)) for n in range(3)]
        appender.send(batch, reports.append)
        expected += [value, *(outgoing.value for outgoing in batch)]
    assert appender.unreported == 100
    world.until(lambda: len(reports) == 100)
    assert appender.unreported == 0
    read = Gathered(world.reader(), topic)
    wait_for(world, read, 200)
    assert read.values == expected
    appended = [report for report in reports if isinstance(report, tuple)]
    assert appended == [(4 * number, None) for number in range(50)]


def test_an_empty_batch_is_reported_later_as_sent(world: World) -> None:
    reports: list[int | None] = []
    appender = world.appender()
    appender.send([], reports.append)
    assert not reports, "called back from inside the call"
    world.until(lambda: bool(reports))
    assert reports == [None]
    assert appender.unreported == 0


def test_a_second_writers_record_shows_as_a_gap_in_the_offsets(world: World) -> None:
    topic = world.topic()
    first, second = world.appender(), world.appender()
    assert append_all(world, first, topic, [b"a", b"b"]) == [(0, None), (1, None)]
    assert append_all(world, second, topic, [b"stranger"]) == [(2, None)]
    assert append_all(world, first, topic, [b"c"]) == [(3, None)]


def test_an_oversize_record_fails_and_the_next_one_lands(world: World) -> None:
    topic = world.topic(record_bytes_max=20_000)
    reports = append_all(world, world.appender(), topic, [b"before", b"x" * 50_000, b"after"])
    assert [offset for offset, _ in reports] == [0, -1, 1]
    assert [error is None for _, error in reports] == [True, False, True]
    read = Gathered(world.reader(), topic)
    wait_for(world, read, 2)
    assert read.values == [b"before", b"after"]


def test_a_batch_reports_the_first_record_that_may_not_be_there(world: World) -> None:
    topic = world.topic(2, record_bytes_max=20_000)
    appender = world.appender()
    reports: list[int | None] = []
    small = [Outgoing(topic, n % 2, None, b"small %d" % n) for n in range(10)]
    large = [Outgoing(topic, 1, None, mark * 50_000) for mark in (b"x", b"y")]
    appender.send([*small[:6], large[0], *small[6:8], large[1], *small[8:]], reports.append)
    world.until(lambda: bool(reports))
    assert reports == [6]
    appender.send(small, reports.append)
    world.until(lambda: len(reports) == 2)
    assert reports[1] is None


def test_a_record_for_a_partition_that_is_not_there_fails_and_others_land(world: World) -> None:
    topic = world.topic(1)
    appender = world.appender()
    append_all(world, appender, topic, [b"the topic is known now"])
    ((offset, error),) = append_all(world, appender, topic, [b"nowhere"], partition=7)
    assert (offset, error is not None) == (-1, True)
    reports: list[int | None] = []
    appender.send([Outgoing(topic, 0, None, b"here"), Outgoing(topic, 7, None, b"nowhere")], reports.append)
    world.until(lambda: bool(reports))
    assert reports == [1]
    assert append_all(world, appender, topic, [b"here"]) == [(2, None)]


def test_renewing_reports_what_is_open_as_failed_before_anything_new(world: World) -> None:
    topic = world.topic(2)
    appender = world.appender()
    told: list[str] = []

    def tell(number: int, offset: int, error: str | None) -> None:
        told.append(f"{number} {offset} {bool(error)}")

    for number in range(5):
        appender.append(topic, number % 2, b"old %d" % number, partial(tell, number))
    appender.send([Outgoing(topic, 0, None, b"old batch")], lambda failed: told.append(f"batch {failed}"))
    appender.renew()
    assert not told, "called back from inside the call"
    appender.append(topic, 0, b"new", lambda offset, error: told.append(f"new {error}"))
    assert appender.unreported >= 1
    world.until(lambda: len(told) == 7)
    assert told == [*(f"{n} -1 True" for n in range(5)), "batch 0", "new None"]
    assert appender.unreported == 0
    appender.send([Outgoing(topic, 0, None, b"new batch")], lambda failed: told.append(f"batch {failed}"))
    world.until(lambda: len(told) == 8)
    assert told[-1] == "batch None"


def test_a_reading_at_the_end_gets_what_comes_next(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    append_all(world, appender, topic, numbered(3))
    read = Gathered(world.reader(), topic, offset=3)
    other = Gathered(world.reader(), topic, offset=0)
    wait_for(world, other, 3)
    append_all(world, appender, topic, [b"next"])
    world.until(lambda: bool(read.records))
    assert (read.offsets, read.values) == ([3], [b"next"])


def test_reading_beyond_the_end_fails(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, numbered(3))
    read = Gathered(world.reader(), topic, offset=4)
    wait_for_failure(world, read)
    assert read.failures[0][0] is ReadFailure.OUT_OF_RANGE
    assert not read.records


def test_reading_below_the_start_fails_and_from_the_start_on_it_works(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, numbered(10))
    trimmed: list[str | None] = []
    world.partitions().trim(topic, 0, 4, trimmed.append)
    world.until(lambda: bool(trimmed))
    assert trimmed == [None]
    reader = world.reader()
    below, at = Gathered(reader, topic, offset=3), Gathered(reader, topic, offset=4)
    world.until(lambda: bool(below.failures) and len(at.records) == 6)
    assert below.failures[0][0] is ReadFailure.OUT_OF_RANGE
    assert not below.records
    assert at.offsets == list(range(4, 10))


def test_reading_a_topic_or_partition_that_is_not_there_fails(world: World) -> None:
    topic = world.topic(1)
    reader = world.reader()
    reads = [Gathered(reader, "contract.nowhere"), Gathered(reader, topic, partition=5)]
    world.until(lambda: all(read.failures for read in reads))
    assert [read.failures[0][0] for read in reads] == [ReadFailure.UNKNOWN_TOPIC] * 2


def test_after_a_failure_the_partition_can_be_read_anew(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, numbered(3))
    reader = world.reader()
    for _ in range(3):
        failing = Gathered(reader, topic, offset=99)
        wait_for_failure(world, failing)
        failing.reading.close()
        read = Gathered(reader, topic, offset=1)
        wait_for(world, read, 2)
        assert read.offsets == [1, 2]
        read.reading.close()


def test_reading_anew_elsewhere_drops_what_was_fetched_ahead(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, [b"%d" % n + b"." * 200 for n in range(3_000)])
    reader = world.reader()
    chooser = random.Random(3)
    for _ in range(15):
        offset = chooser.randrange(2_900)
        read = Gathered(reader, topic, offset=offset)
        wanted = chooser.choice((1, 10, 100))
        wait_for(world, read, wanted)
        read.reading.close()
        assert read.offsets == list(range(offset, offset + len(read.records)))


def test_closing_and_reading_anew_at_once_starts_at_the_new_offset(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, numbered(100))
    reader = world.reader()
    for offset in (0, 50, 10, 99):
        Gathered(reader, topic, offset=offset).reading.close()
    read = Gathered(reader, topic, offset=70)
    wait_for(world, read, 30)
    assert read.offsets == list(range(70, 100))


def test_one_partition_can_be_read_at_two_places_at_once(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    append_all(world, appender, topic, numbered(10))
    reader = world.reader()
    whole, tail = Gathered(reader, topic), Gathered(reader, topic, offset=8)
    world.until(lambda: len(whole.records) == 10 and len(tail.records) == 2)
    whole.reading.close()
    append_all(world, appender, topic, [b"more"])
    wait_for(world, tail, 3)
    assert tail.offsets == [8, 9, 10]
    assert whole.offsets == list(range(10))


def test_a_paused_reading_gets_nothing_and_then_everything(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    reader = world.reader()
    read, other = Gathered(reader, topic), Gathered(world.reader(), topic)
    append_all(world, appender, topic, numbered(10))
    wait_for(world, read, 10)
    read.reading.pause()
    append_all(world, appender, topic, numbered(300, "while paused "))
    wait_for(world, other, 310)
    assert len(read.records) == 10
    read.reading.resume()
    assert len(read.records) == 10, "called back from inside the call"
    wait_for(world, read, 310)
    append_all(world, appender, topic, numbered(10))
    wait_for(world, read, 320)
    assert read.offsets == list(range(320))


def test_a_reading_paused_from_its_own_callback_stops_there(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, [b"." * 500] * 3_000)
    reader = world.reader()
    read = Gathered(reader, topic)
    deliveries = 0
    seen = 0
    while len(read.records) < 3_000:
        wait_for(world, read, seen + 1)
        read.reading.pause()
        seen = len(read.records)
        other = Gathered(world.reader(), topic, offset=2_999)
        wait_for(world, other, 1)
        other.reading.close()
        assert len(read.records) == seen
        read.reading.resume()
        deliveries += 1
    assert deliveries >= 1
    assert read.offsets == list(range(3_000))


def test_a_closed_reading_gets_nothing_more(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    reader = world.reader()
    read, other = Gathered(reader, topic), Gathered(reader, topic)
    append_all(world, appender, topic, numbered(5))
    wait_for(world, read, 5)
    read.reading.pause()
    append_all(world, appender, topic, numbered(5))
    wait_for(world, other, 10)
    read.reading.close()
    read.reading.resume()
    append_all(world, appender, topic, numbered(5))
    wait_for(world, other, 15)
    assert len(read.records) == 5
    assert not read.failures


def test_closing_the_reader_closes_its_readings(world: World) -> None:
    topic = world.topic(2)
    appender = world.appender()
    reader = world.reader()
    reads = [Gathered(reader, topic, partition) for partition in range(2)]
    append_all(world, appender, topic, numbered(3))
    world.until(lambda: len(reads[0].records) == 3)
    reader.close()
    append_all(world, appender, topic, numbered(3))
    other = Gathered(world.reader(), topic)
    wait_for(world, other, 6)
    assert len(reads[0].records) == 3
    assert not reads[0].failures
    assert not reads[1].records


def test_a_reading_goes_on_over_a_trim_behind_it(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    read = Gathered(world.reader(), topic)
    append_all(world, appender, topic, numbered(10))
    wait_for(world, read, 10)
    trimmed: list[str | None] = []
    world.partitions().trim(topic, 0, 10, trimmed.append)
    world.until(lambda: bool(trimmed))
    assert append_all(world, appender, topic, [b"on"]) == [(10, None)]
    wait_for(world, read, 11)
    assert read.offsets == list(range(11))
