"""What a log knows of its partitions, and trimming. Goal: a restore is told the truth about what is still there."""

from __future__ import annotations

import pytest

from tests.contracts.worlds import Gathered, World, append_all, wait_for

Answer = tuple[tuple[int, int] | None, str | None]


def ask_bounds(world: World, topic: str, partition: int = 0) -> Answer:
    answers: list[Answer] = []
    world.partitions().bounds(topic, partition, lambda bounds, error: answers.append((bounds, error)))
    assert not answers, "called back from inside the call"
    world.until(lambda: bool(answers), "the bounds are told")
    return answers[0]


def trim(world: World, topic: str, before: int, partition: int = 0) -> str | None:
    answers: list[str | None] = []
    world.partitions().trim(topic, partition, before, answers.append)
    assert not answers, "called back from inside the call"
    world.until(lambda: bool(answers), "the trim is answered")
    return answers[0]


def test_a_new_partition_is_empty(world: World) -> None:
    assert ask_bounds(world, world.topic(2), 1) == ((0, 0), None)


def test_an_append_moves_the_end_of_its_partition_only(world: World) -> None:
    topic = world.topic(2)
    append_all(world, world.appender(), topic, [b"a", b"b", b"c"], partition=1)
    assert ask_bounds(world, topic, 0) == ((0, 0), None)
    assert ask_bounds(world, topic, 1) == ((0, 3), None)


def test_a_trim_moves_the_start_and_leaves_the_end(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    append_all(world, appender, topic, [b"."] * 10)
    assert trim(world, topic, 4) is None
    assert ask_bounds(world, topic) == ((4, 10), None)
    assert trim(world, topic, 10) is None
    assert ask_bounds(world, topic) == ((10, 10), None)
    assert append_all(world, appender, topic, [b"on"]) == [(10, None)]
    assert ask_bounds(world, topic) == ((10, 11), None)


def test_trimming_what_is_gone_already_changes_nothing(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, [b"."] * 10)
    assert trim(world, topic, 5) is None
    assert trim(world, topic, 2) is None
    assert trim(world, topic, 0) is None
    assert ask_bounds(world, topic) == ((5, 10), None)


def test_trimming_beyond_the_end_is_refused(world: World) -> None:
    topic = world.topic()
    append_all(world, world.appender(), topic, [b"."] * 3)
    assert trim(world, topic, 4) is not None
    assert ask_bounds(world, topic) == ((0, 3), None)


def test_a_trim_below_zero_is_a_mistake_of_the_caller(world: World) -> None:
    with pytest.raises(ValueError, match="negative"):
        world.partitions().trim(world.topic(), 0, -1, lambda error: None)


@pytest.mark.parametrize("partition", [0, 9])
def test_a_partition_that_is_not_there_is_an_error(world: World, partition: int) -> None:
    topic = world.topic(1) if partition else "contract.nowhere"
    bounds, error = ask_bounds(world, topic, partition)
    assert bounds is None
    assert error
    assert trim(world, topic, 0, partition)


def ask_offset(world: World, topic: str, time_ms: int, partition: int = 0) -> tuple[int | None, str | None]:
    answers: list[tuple[int | None, str | None]] = []
    world.partitions().offset_at(topic, partition, time_ms, lambda offset, error: answers.append((offset, error)))
    assert not answers, "called back from inside the call"
    world.until(lambda: bool(answers), "the offset is told")
    return answers[0]


def test_the_offset_at_a_time_is_that_of_the_first_record_not_older(world: World) -> None:
    topic = world.topic()
    appender = world.appender()
    append_all(world, appender, topic, [b"."] * 4)
    read = Gathered(world.reader(), topic)
    wait_for(world, read, 4)
    records = read.records
    assert ask_offset(world, topic, 0) == (0, None)
    first_ms, last_ms = records[0].timestamp_ms, records[-1].timestamp_ms
    at_last = next(record.offset for record in records if record.timestamp_ms == last_ms)
    assert ask_offset(world, topic, first_ms) == (0, None)
    assert ask_offset(world, topic, last_ms) == (at_last, None)
    assert ask_offset(world, topic, last_ms + 1_000_000) == (4, None), "behind the last record it is the end"
    assert trim(world, topic, 2) is None
    assert ask_offset(world, topic, 0) == (2, None), "what is gone has no offset any more"


def test_the_offset_at_a_time_of_a_partition_that_is_not_there_is_an_error(world: World) -> None:
    offset, error = ask_offset(world, world.topic(1), 0, 9)
    assert offset is None
    assert error
