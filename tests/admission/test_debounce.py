"""Debounce. Goal: the last event by its own time starts a run once none has come for a while; none is lost unsaid."""

from __future__ import annotations

import pytest

from headrace.records.admission_rows import DEBOUNCES
from headrace.records.definitions import Debounce
from headrace.records.rows import Reply, Start
from tests.admission.cluster import FUNCTION, Cluster, Started, declared, order


def cluster_of(period_ms: int = 1_000, key: str = "", timeout_ms: int = 0) -> Cluster:
    return Cluster(declared(debounce=Debounce(period_ms, key, timeout_ms)))


def starts(cluster: Cluster) -> list[tuple[int, list[str]]]:
    return [(run.at_ms, run.events) for run in cluster.started]


def test_the_last_one_starts_once_none_has_come_for_the_period() -> None:
    cluster = cluster_of()
    events = [order(n, ts_ms=n) for n in range(3)]
    for at_ms, event in zip((1_000, 1_900, 2_800), events, strict=True):
        cluster.advance(at_ms)
        cluster.send(event)
    cluster.advance(3_799)
    assert cluster.started == []
    cluster.advance(10_000)
    assert starts(cluster) == [(3_800, [events[2].id])]
    assert [v.event_ids for v in cluster.verdicts("debounce_replaced")] == [[events[0].id], [events[1].id]]
    assert cluster.rows(DEBOUNCES) == 0


def test_an_older_one_that_comes_late_is_dropped_and_does_not_put_off_the_rest() -> None:
    cluster = cluster_of()
    later, older = order(0, ts_ms=900), order(1, ts_ms=899)
    cluster.send(later)
    cluster.advance(1_900)
    cluster.send(older)
    cluster.advance(10_000)
    assert starts(cluster) == [(2_000, [later.id])]
    (verdict,) = cluster.verdicts("debounce_late")
    assert verdict.event_ids == [older.id]
    assert later.id in verdict.explanation


def test_of_equal_times_the_later_arrival_wins() -> None:
    cluster = cluster_of()
    first, second = order(0, ts_ms=900), order(1, ts_ms=900)
    cluster.send(first)
    cluster.advance(1_500)
    cluster.send(second)
    cluster.advance(10_000)
    assert starts(cluster) == [(2_500, [second.id])]


def test_the_time_out_bounds_the_delay_from_the_first_arrival() -> None:
    cluster = cluster_of(timeout_ms=2_500)
    for n in range(10):
        cluster.advance(1_000 + n * 600)
        cluster.send(order(n, ts_ms=n))
    cluster.advance(60_000)
    assert [at_ms for at_ms, _ in starts(cluster)] == [3_500, 6_500]


def test_a_time_out_shorter_than_the_period_holds_from_the_first_one_on() -> None:
    cluster = cluster_of(period_ms=5_000, timeout_ms=700)
    cluster.send(order(0))
    cluster.advance(60_000)
    assert [at_ms for at_ms, _ in starts(cluster)] == [1_700]


def test_each_key_is_debounced_by_itself() -> None:
    cluster = cluster_of(key="event.data.user")
    for n in range(12):
        cluster.advance(1_000 + n * 100)
        cluster.send(order(n, f'{{"user":"u{n % 3}"}}', ts_ms=n), at=n % 4)
    cluster.advance(60_000)
    assert [at_ms for at_ms, _ in starts(cluster)] == [2_900, 3_000, 3_100]


def test_the_next_one_after_it_fired_is_a_new_beginning() -> None:
    cluster = cluster_of()
    newer, older = order(0, ts_ms=900), order(1, ts_ms=5)
    cluster.send(newer)
    cluster.advance(2_000)
    cluster.send(older)  # older than what has started, but nothing is held
    cluster.advance(3_000)
    assert starts(cluster) == [(2_000, [newer.id]), (3_000, [older.id])]


def test_what_is_held_is_seen_with_the_time_at_which_it_is_due() -> None:
    cluster = cluster_of()
    cluster.send(order(0))
    (verdict,) = cluster.verdicts("debounced")
    assert (verdict.code, verdict.due_ms) == ("held_debounced", 2_000)


def test_a_thousand_events_of_one_key_leave_one_timer() -> None:
    cluster = cluster_of()
    for n in range(1_000):
        cluster.advance(1_000 + n)
        cluster.send(order(n, ts_ms=n), at=0)
    timers = sum(1 for part in cluster.parts for _ in part.overlay.timers.scan(b""))
    assert timers == 1


@pytest.mark.parametrize("late", [False, True])
def test_one_who_invoked_what_is_replaced_or_late_is_told_so(late: bool) -> None:
    cluster = cluster_of()
    cluster.send(order(0, ts_ms=500))
    home = next(n for n, part in enumerate(cluster.parts) if part.count(DEBOUNCES))
    reply = Reply((home + 1) % 4, "01CALLER", b"call")
    asked = Start(FUNCTION, "01CHILD", [order(1, ts_ms=400 if late else 600)], 1_000, replies=[reply])
    cluster.apply_all(home, [asked])
    cluster.send(order(2, ts_ms=700))
    (answer,) = cluster.answers()
    assert answer.child_run_id == "01CHILD"
    assert answer.failure is not None
    cluster.advance(60_000)
    assert len(cluster.started) == 1
    assert isinstance(cluster.started[0], Started)
