"""A run executes while it has its slots: it asks, waits, begins, gives back, asks again, and ends."""

from __future__ import annotations

import pytest

from headrace.records.commands import Acquire, AnnounceRuns, Granted, Release, SleepAsked
from headrace.records.definitions import Concurrency, Timeouts
from headrace.records.gate_rows import CLAIMS
from headrace.records.ids import partition_of
from headrace.records.rows import Phase, Start
from headrace.worker.turn import QUEUED, RESOLVE, START
from tests.concurrency.shop import FAILURE, Shop, function
from tests.turns import known_event

ONE = function("one", Concurrency(1, "event.data.key"))


def test_a_run_of_a_free_key_begins_in_the_turn_of_its_event() -> None:
    shop = Shop(ONE)
    run = shop.run_of(shop.send("one"))
    assert list(shop.executing) == [run]
    assert not shop.on_way  # the record's key is the limit's key: no hop
    assert shop.given() == 1


def test_the_next_run_of_the_key_waits_until_the_first_ends() -> None:
    shop = Shop(ONE)
    first = shop.run_of(shop.send("one"))
    second = shop.run_of(shop.send("one"))
    assert list(shop.executing) == [first]
    found = shop.run(second)
    assert found is not None
    assert (found.phase, found.suspended) == (Phase.QUEUED, True)
    shop.finish(first)
    assert list(shop.executing) == [second]
    shop.finish(second)
    assert shop.leftovers() == 0


def test_other_keys_are_not_held_up() -> None:
    shop = Shop(ONE)
    runs = [shop.run_of(shop.send("one", key)) for key in ("a", "b", "c")]
    assert sorted(shop.executing) == sorted(runs)


def test_the_home_is_the_partition_of_the_key_wherever_the_event_came() -> None:
    shop = Shop(function("far", Concurrency(1, "event.data.user")))
    at = {shop.send("far", key, user="ann") for key in ("a", "b", "c", "d", "e")}
    shop.settle()
    homes = {shop.home(shop.run_of(event)) for event in at}
    assert len(homes) == 1
    assert len(shop.executing) == 1


def test_without_a_key_the_run_lives_where_it_is_and_the_gate_where_the_function_is() -> None:
    shop = Shop(function("few", Concurrency(2)))
    events = [shop.send("few", key) for key in ("a", "b", "c", "d", "e", "f")]
    shop.settle()
    assert len({shop.home(shop.run_of(event)) for event in events}) > 1
    assert len(shop.executing) == 2
    assert sum(1 for p in shop.partitions if p.count(CLAIMS)) == 1


def test_a_slot_is_given_back_over_a_sleep_and_asked_for_again() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.sleep(first, 1_000)
    assert list(shop.executing) == [second]
    shop.pass_time(1_000)
    assert list(shop.executing) == [second]  # the first has slept enough, and waits for its slot
    step = shop.partitions[shop.home(first)].overlay.steps.get(first.encode() + b"nap")
    assert step is not None
    assert step.output is not None  # its result is recorded all the same
    shop.finish(second)
    assert list(shop.executing) == [first]
    home = shop.partitions[shop.home(first)]
    assert [(kind, step) for kind, _, step, _ in home.effects if kind != QUEUED] == [(RESOLVE, b"nap")]


def test_all_results_that_came_while_it_waited_reach_the_code() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    at = shop.executing[first]
    shop.apply(at, SleepAsked(first, b"a", 0, 1_000))
    shop.apply(at, SleepAsked(first, b"b", 0, 2_000))
    shop.rest(first, b"a", b"b")
    shop.pass_time(5_000)
    shop.finish(second)
    steps = [step for kind, run_id, step, _ in shop.partitions[at].effects if kind == RESOLVE and run_id == first]
    assert steps == [b"a", b"b"]


def test_a_branch_that_executes_keeps_the_slot_for_those_that_wake() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.apply(shop.executing[first], SleepAsked(first, b"a", 0, 1_000))
    shop.pass_time(1_000)  # it never came to rest
    run = shop.run(first)
    assert run is not None
    assert run.slots is not None
    assert run.slots.number == 1
    assert list(shop.executing) == [first]
    assert second not in shop.begun


def test_a_slot_is_given_back_while_the_body_backs_off() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.finish(first, FAILURE)
    assert list(shop.executing) == [second]
    shop.pass_time(60_000)
    assert list(shop.executing) == [second]
    shop.finish(second)
    assert list(shop.executing) == [first]
    assert [kind for kind, run, _, _ in shop.partitions[shop.home(first)].effects if run == first][-1] == START


@pytest.mark.parametrize("how", ["finish", "fail", "cancel", "cancel queued", "cancel asleep"])
def test_however_a_run_ends_nothing_of_it_is_left(how: str) -> None:
    shop = Shop(function("wide", Concurrency(1, "event.data.key"), Concurrency(1), Concurrency(1, scope="app")))
    run = shop.run_of(shop.send("wide"))
    other = shop.run_of(shop.send("wide"))
    shop.settle()
    assert shop.given() == 3
    if how == "finish":
        shop.finish(run)
    elif how == "fail":
        for _ in range(4):
            shop.finish(run, FAILURE)
            shop.settle()
            if run not in shop.executing and shop.run(run) is not None:
                shop.finish(other) if other in shop.executing else None
                shop.pass_time(60_000)
                shop.settle()
    elif how == "cancel queued":
        shop.cancel(other)
        shop.settle()
        assert len(shop.claims()) == 3
        shop.finish(run)
    else:
        if how == "cancel asleep":
            shop.sleep(run, 10_000)
        shop.cancel(run)
    shop.settle()
    for left in list(shop.executing):
        shop.finish(left)
        shop.settle()
    assert shop.live() == {}
    assert shop.leftovers() == 0


def test_a_grant_for_a_run_that_is_gone_comes_to_nothing_and_is_not_lost() -> None:
    shop = Shop(function("few", Concurrency(1)))
    gate_at = next(n for n in range(4) if n == _place(b"shop-few"))
    key = next(key for key in "abcdefgh" if _place(key.encode()) != gate_at)
    run = shop.run_of(shop.send("few", key))
    shop.arrive((shop.home(run), gate_at))  # the gate gives its slot away; the answer is on its way
    assert shop.given() == 1
    home = shop.home(run)
    shop.cancel(run)
    shop.arrive((gate_at, home))
    assert not shop.executing
    shop.arrive((home, gate_at))
    assert shop.given() == 0


def test_a_grant_of_an_earlier_time_is_void() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.sleep(first, 1_000)
    shop.pass_time(1_000)
    shop.apply(shop.home(first), Granted(first, 1, 0))  # of the time before it slept
    assert list(shop.executing) == [second]
    shop.apply(shop.home(second), Granted(second, 1, 0))  # what it has already
    shop.finish(second)
    assert list(shop.executing) == [first]
    shop.finish(first)
    assert shop.leftovers() == 0


def test_a_release_of_an_earlier_time_is_void_and_one_that_comes_twice_counts_once() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    ((gate, _), *_) = shop.claims()
    at = shop.home(first)
    shop.sleep(first, 1_000)
    shop.finish(second)
    shop.pass_time(1_000)
    assert list(shop.executing) == [first]
    for _ in range(2):
        shop.apply(at, Release(gate, first, 1))
        shop.apply(at, Release(gate, second, 1))
    assert shop.given() == 1
    shop.send("one")
    assert list(shop.executing) == [first]


def test_an_acquire_that_is_repeated_or_old_is_nothing() -> None:
    shop = Shop(ONE)
    run = shop.run_of(shop.send("one"))
    waiting = shop.run_of(shop.send("one"))
    for run_id in (run, waiting):
        row = shop.run(run_id)
        assert row is not None
        assert row.slots is not None
        gate = row.slots.gates[0]
        again = Acquire(gate.id, run_id, 1, 0, gate.partition, "shop-one", gate.limit, gate.share, 0, False, b"k")
        shop.apply(gate.partition, again)
    assert len(shop.claims()) == 2
    assert shop.given() == 1


def test_a_run_that_waits_is_seen_as_queued_and_then_as_executing() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    assert (QUEUED, second, b"", None) in shop.partitions[shop.home(second)].effects
    shop.apply(shop.home(second), AnnounceRuns([second]))
    assert shop.phases(second) == ["queued"]
    shop.finish(first)
    assert shop.phases(second) == ["queued", "executing"]


def test_a_run_that_has_to_wait_after_a_sleep_is_seen_as_queued_again() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.sleep(first, 1_000)
    shop.pass_time(1_000)
    shop.apply(shop.home(first), AnnounceRuns([first]))
    shop.finish(second)
    assert shop.phases(first) == ["executing", "sleeping", "queued", "executing"]


def test_a_new_owner_goes_on_under_the_leases_that_there_are() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.crash(shop.home(first))
    assert list(shop.executing) == [first]
    third = shop.run_of(shop.send("one"))
    shop.finish(first)
    assert list(shop.executing) == [second]
    shop.crash(shop.home(third))
    shop.finish(second)
    assert list(shop.executing) == [third]


def test_a_run_that_has_not_begun_in_time_is_cancelled_and_says_why() -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), timeouts=Timeouts(start_ms=5_000)))
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.pass_time(4_999)
    assert shop.run(second) is not None
    shop.pass_time(1)
    ended = shop.ended(second)
    assert ended is not None
    assert (ended.status, ended.code) == ("Cancelled", "queue_timed_out")
    shop.pass_time(60_000)
    assert list(shop.executing) == [first]  # it has begun in time
    shop.finish(first)
    assert shop.leftovers() == 0
    assert shop.partitions[_place(b"k")].overlay.timers.next_due_ms() is None


def test_a_place_in_the_queue_after_a_sleep_is_not_timed() -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), timeouts=Timeouts(start_ms=5_000)))
    first = shop.run_of(shop.send("one"))
    shop.sleep(first, 1_000)
    second = shop.run_of(shop.send("one"))
    shop.pass_time(60_000)
    assert shop.run(first) is not None
    shop.finish(second)
    assert list(shop.executing) == [first]


def test_the_time_in_the_queue_counts_from_the_event_not_from_the_queue() -> None:
    shop = Shop(function("late", timeouts=Timeouts(start_ms=5_000)))
    event = known_event("late", at_ms=shop.now_ms)
    shop.apply(0, Start("shop-late", event.id, [event], shop.now_ms - 5_000))
    ended = shop.ended(event.id)
    assert ended is not None
    assert ended.code == "queue_timed_out"
    assert not shop.begun


def test_a_finish_time_out_counts_from_the_moment_the_run_begins() -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), timeouts=Timeouts(finish_ms=5_000)))
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.pass_time(4_000)
    shop.finish(first)
    shop.pass_time(4_000)
    assert shop.run(second) is not None
    shop.pass_time(1_000)
    assert shop.run(second) is None


def test_a_function_without_a_limit_has_no_slots() -> None:
    shop = Shop(function("free"))
    run = shop.run(shop.run_of(shop.send("free")))
    assert run is not None
    assert run.slots is None
    assert shop.leftovers() == 0


def _place(key: bytes) -> int:
    return partition_of(key, 4)
