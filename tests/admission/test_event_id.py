"""Ids that users give to events. Goal: one start per function and id within 24 hours; nothing is kept for longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.admission import EVENT_ID_WINDOW_MS, first_starts, forget_event_ids
from headrace.admission.event_id import FORGET_MAX
from headrace.records.rows import TimerKind
from tests.turns import Partition, known_event

MINUTE_MS = 60_000


def starts(partition: Partition, at_ms: int, given_id: str, functions: list[str]) -> list[str]:
    with partition.turn(at_ms) as turn:
        return first_starts(turn, known_event(given_id=given_id), functions)


def forget_due(partition: Partition, at_ms: int) -> None:
    """Fire the timers that are due, as the machine does: at most one firing of each in a turn."""
    for _ in range(100):
        with partition.turn(at_ms) as turn:
            due = partition.overlay.timers.pop_due(at_ms)
            if due is None:
                return
            row = turn.state.timers.get(due)
            assert row is not None
            assert row.kind == TimerKind.EVENT_ID_EXPIRY
            turn.state.timers.delete(due)
            forget_event_ids(turn, int.from_bytes(due[:8], "big"), row.step)
    raise AssertionError("the timers never end")


def test_a_repeat_starts_nothing_and_gets_a_verdict_for_each_function() -> None:
    partition = Partition()
    assert starts(partition, 1_000, "order-1", ["a", "b"]) == ["a", "b"]
    assert partition.verdicts == []
    assert starts(partition, 1_000 + EVENT_ID_WINDOW_MS - 1, "order-1", ["a", "b"]) == []
    assert [(v.function_id, v.status, v.code) for v in partition.verdicts] == [
        ("a", "duplicate", "event_id_repeated"),
        ("b", "duplicate", "event_id_repeated"),
    ]


def test_a_function_that_is_declared_later_is_started_by_a_repeat_once() -> None:
    partition = Partition()
    starts(partition, 0, "order-1", ["a"])
    assert starts(partition, 1, "order-1", ["a", "new"]) == ["new"]
    assert starts(partition, 2, "order-1", ["a", "new"]) == []


def test_equal_ids_under_different_keys_are_two_events_on_one_partition_too() -> None:
    partition = Partition()
    with partition.turn(1_000) as turn:
        for given_id, key in (("7", b"a"), ("7", b"b"), ("7:a", b"b"), ("7", b"a:b"), ("7", None)):
            assert first_starts(turn, known_event(given_id=given_id, key=key), ["f"]) == ["f"]
        for given_id, key in (("7", b"a"), ("7", b"7"), ("7:a", b"b")):
            assert first_starts(turn, known_event(given_id=given_id, key=key), ["f"]) == []


def test_after_a_day_the_id_starts_again_even_if_nobody_has_forgotten_it_yet() -> None:
    partition = Partition()
    starts(partition, 0, "order-1", ["a"])
    assert starts(partition, EVENT_ID_WINDOW_MS, "order-1", ["a"]) == ["a"]
    assert starts(partition, EVENT_ID_WINDOW_MS + 1, "order-1", ["a"]) == []


def test_all_ids_of_a_minute_share_one_timer_and_leave_nothing_behind() -> None:
    partition = Partition()
    with partition.turn(10) as turn:
        for number in range(FORGET_MAX * 2 + 5):
            first_starts(turn, known_event(given_id=f"order-{number}"), ["a"])
    assert partition.count(b"t") == 1
    forget_due(partition, EVENT_ID_WINDOW_MS + MINUTE_MS - 1)
    assert partition.count(b"i") == FORGET_MAX * 2 + 5
    for left, after_ms in ((FORGET_MAX + 5, 0), (5, 1), (0, 2)):  # a turn forgets so many, and the next one goes on
        forget_due(partition, EVENT_ID_WINDOW_MS + 2 * MINUTE_MS + after_ms)
        assert partition.count(b"i") == left
    assert (partition.count(b"i"), partition.count(b"x"), partition.count(b"t")) == (0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20 * 3_600_000), st.booleans()), max_size=30))
def test_the_window_is_the_one_a_plain_list_of_starts_gives(moves: list[tuple[str, int, bool]]) -> None:
    """Method: sends at drawn distances, forgetting now and then; a start is due iff none was within 24 hours."""
    partition = Partition()
    now_ms = 5_000
    started: dict[str, int] = {}
    for given_id, later_ms, forget in moves:
        now_ms += later_ms
        if forget:
            forget_due(partition, now_ms)
        due = given_id not in started or now_ms - started[given_id] >= EVENT_ID_WINDOW_MS
        assert starts(partition, now_ms, given_id, ["f"]) == (["f"] if due else [])
        if due:
            started[given_id] = now_ms
    forget_due(partition, now_ms + EVENT_ID_WINDOW_MS + 2 * MINUTE_MS)
    assert (partition.count(b"i"), partition.count(b"x"), partition.count(b"t")) == (0, 0, 0)
