"""Singleton. Goal: one run of a key at a time, wherever it is on its way; no lock is lost, none outlives its holder."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.admission import count_held, remove_held
from headrace.records.admission_rows import QUEUED_STARTS, SINGLETONS
from headrace.records.commands import CancelRun
from headrace.records.definitions import Concurrency, Singleton, Throttle
from headrace.records.ids import derive_ulid
from headrace.records.rows import Reply, Start
from tests.admission.cluster import FUNCTION, Cluster, declared, order


def cluster_of(mode: str, key: str = "event.data.user", **options: object) -> Cluster:
    return Cluster(declared(singleton=Singleton(mode, key), **options))


def user(number: int, name: str = "a", more: str = "") -> str:
    return f'{{"user":"{name}","n":{number}{more}}}'


def test_another_one_is_skipped_until_the_run_has_ended() -> None:
    cluster = cluster_of("skip")
    for n in range(4):
        cluster.send(order(n, user(n)), at=n)
    (run,) = cluster.started
    assert [v.event_ids[0] for v in cluster.verdicts("skipped")] == [order(n).id for n in (1, 2, 3)]
    assert run.run_id in cluster.verdicts("skipped")[0].explanation
    cluster.end(run.run_id)
    assert cluster.rows(SINGLETONS) == 0
    cluster.send(order(4, user(4)))
    assert len(cluster.started) == 2


def test_keys_do_not_touch_one_another_and_a_false_one_needs_no_lock() -> None:
    cluster = cluster_of("skip")
    for n in range(4):
        cluster.send(order(n, user(n, f"u{n}")))
        cluster.send(order(10 + n, "{}"))
    assert len(cluster.started) == 8
    assert cluster.rows(SINGLETONS) == 4


def test_a_newer_one_cancels_the_run_and_takes_its_place() -> None:
    cluster = cluster_of("cancel")
    cluster.send(order(0, user(0)), at=0)
    cluster.send(order(1, user(1)), at=1)
    first, second = cluster.started
    assert cluster.stopped == [first.run_id]
    assert list(cluster.live) == [second.run_id]
    ended = [r for part in cluster.parts for r in part.history if r.kind == "RunEnded"]
    assert [(r.run_id, r.status) for r in ended] == [(first.run_id, "Cancelled")]
    assert "takes its place for the key 'a'" in ended[0].error_message
    cluster.end(second.run_id)
    assert cluster.rows(SINGLETONS) == 0


@pytest.mark.parametrize("mode", ["skip", "cancel"])
@pytest.mark.parametrize("how", ["completed", "cancelled"])
def test_however_a_run_ends_its_lock_comes_back(mode: str, how: str) -> None:
    cluster = cluster_of(mode, concurrency=[Concurrency(1, "event.data.home")])
    cluster.send(order(0, user(0, more=',"home":"far"')))
    (run,) = cluster.started
    if how == "completed":
        cluster.end(run.run_id)
    else:
        cluster.apply_all(run.partition, [CancelRun(run.run_id, "because")])
    assert cluster.rows(SINGLETONS) == 0


def test_what_waits_in_a_throttle_on_another_partition_gives_way_too() -> None:
    cluster = cluster_of("cancel", throttle=Throttle(1, 10_000, key="event.data.tenant"))
    places = {n: user(n, f"u{n % 2}", ',"tenant":"t"') for n in range(6)}
    for n, data in places.items():
        cluster.advance(1_000 + n)
        cluster.send(order(n, data), at=n % 4)
    # u0's first passes the throttle and is cancelled as a run; of the others each next one replaces the one before
    assert cluster.rows(SINGLETONS) == 2
    assert sum(count_held(part.overlay, FUNCTION)["throttle"] for part in cluster.parts) == 2
    cluster.advance(60_000)
    assert [run.events[0] for run in cluster.started] == [order(n).id for n in (0, 4, 5)]
    assert cluster.dropped() == {order(n).id: 1 for n in (1, 2, 3)}
    assert cluster.rows(QUEUED_STARTS) == 0


def test_a_newer_one_replaces_the_one_that_waits() -> None:
    cluster = cluster_of("cancel", concurrency=[Concurrency(5, "event.data.home")])
    cluster.send(order(9, user(9, more=',"home":"h"')))
    lock = next(n for n, part in enumerate(cluster.parts) if part.count(SINGLETONS))
    home = cluster.started[0].partition
    assert lock != home, "choose another key: the cancellation has to be on its way"
    ids = [derive_ulid(1_000, b"%d" % n) for n in range(3)]
    reply = Reply(home, "01CALLER", b"call")
    # In one turn: the cancellation of the first is on its way meanwhile, so all of them find the lock taken.
    data = user(0, more=',"home":"h"')
    cluster.apply_all(lock, [Start(FUNCTION, ids[n], [order(n, data)], 1_000, replies=[reply]) for n in range(3)])
    assert [run.run_id for run in cluster.started[1:]] == [ids[2]]
    assert [v.event_ids[0] for v in cluster.verdicts("singleton_replaced")] == [order(0).id, order(1).id]
    assert [answer.child_run_id for answer in cluster.answers()] == ids[:2]
    assert list(cluster.live) == [ids[2]]


def test_a_start_that_is_dropped_behind_the_lock_gives_it_back() -> None:
    cluster = cluster_of("skip", throttle=Throttle(1, 10_000))
    cluster.send(order(0, user(0, "first")))
    cluster.send(order(1, user(1, "second")))
    assert cluster.rows(SINGLETONS) == 2
    for part in cluster.parts:
        number = part.open_turn.partition
        with part.turn(cluster.now_ms) as turn:
            remove_held(turn, FUNCTION, lambda event: True, "cancelled", "nobody wants it")
            cluster.inputs[number]._apply_local()
    cluster.fire_due()
    assert cluster.rows(SINGLETONS) == 1
    cluster.send(order(2, user(2, "second")))
    assert len(cluster.verdicts("throttled")) == 2


def test_a_cancellation_does_not_overtake_the_start_that_it_is_for() -> None:
    cluster = cluster_of(
        "cancel", throttle=Throttle(5, 5_000, key="event.data.tenant"), concurrency=[Concurrency(9, "event.data.home")]
    )
    data = user(0, more=',"tenant":"t","home":"x"')
    cluster.send(order(0, data))
    (first,) = cluster.started
    cluster.end(first.run_id)
    assert cluster.hops >= 3, "choose other keys: lock, throttle and home have to be on three partitions"
    cluster.slow = True
    cluster.send(order(1, data), at=0)
    cluster.send(order(2, data), at=0)
    while cluster.deliver(-1):  # the youngest way first: what may overtake does
        pass
    assert [run.events[0] for run in cluster.started[1:]][-1] == order(2).id
    assert len(cluster.live) == 1
    cluster.end(next(iter(cluster.live)))
    while cluster.deliver(-1):
        pass
    assert cluster.rows(SINGLETONS) == 0


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["skip", "cancel"]),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2_000), st.booleans()), max_size=25),
    st.lists(st.integers(0, 20), max_size=60),
)
def test_never_two_runs_of_a_key_and_never_a_lock_without_its_holder(
    mode: str, throttled: bool, homed: bool, steps: list[tuple[int, int, int, bool]], ways: list[int]
) -> None:
    options: dict[str, object] = {}
    if throttled:
        options["throttle"] = Throttle(1, 1_500, key="event.data.tenant")
    if homed:
        options["concurrency"] = [Concurrency(50, "event.data.home")]
    cluster = cluster_of(mode, **options)
    cluster.slow = True
    names: dict[str, str] = {}
    for n, (who, at, gap_ms, end) in enumerate(steps):
        cluster.advance(cluster.now_ms + gap_ms)
        event = order(n, user(n, f"u{who}", f',"tenant":"t{n % 2}","home":"h{n % 5}"'))
        names[event.id] = f"u{who}"
        if end and cluster.live:
            cluster.end(next(iter(cluster.live)))
        cluster.send(event, at=at)
        if at == 3:
            cluster.crash(n % 4)
        for choice in ways[3 * n : 3 * n + 3]:
            cluster.deliver(choice)
        by_run = {run.run_id: names[run.events[0]] for run in cluster.started}
        alive = [by_run[run_id] for run_id in cluster.live]
        assert len(alive) == len(set(alive))
    while cluster.deliver(0):
        pass
    cluster.slow = False
    cluster.advance(cluster.now_ms + 100_000)
    while cluster.live:
        cluster.end(next(iter(cluster.live)))
        cluster.advance(cluster.now_ms + 100_000)
    assert cluster.rows(SINGLETONS) == cluster.rows(QUEUED_STARTS) == 0
    begun = {event for run in cluster.started for event in run.events}
    assert begun.isdisjoint(cluster.dropped())
    assert begun | set(cluster.dropped()) == set(names)
