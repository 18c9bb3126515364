"""Who is next at a gate: order, priority, fairness, limits that change, pauses."""

from __future__ import annotations

from collections import Counter

import pytest

from headrace.records.commands import Broadcast
from headrace.records.definitions import Concurrency
from headrace.records.rows import Phase
from tests.concurrency.shop import Shop, function

ONE = function("one", Concurrency(1, "event.data.key"))


def work_through(shop: Shop) -> list[str]:
    """Let everything finish, one run after the other; the runs in the order in which they began."""
    shop.settle()
    while shop.executing:
        shop.finish(next(iter(shop.executing)))
        shop.settle()
    return shop.begun


def test_runs_of_a_key_begin_in_the_order_in_which_they_came() -> None:
    shop = Shop(ONE)
    runs = [shop.run_of(shop.send("one")) for _ in range(20)]
    assert work_through(shop) == runs


def test_priority_shifts_the_time_by_seconds_and_does_not_overtake_beyond_that() -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), priority="event.data.boost"))
    first = shop.run_of(shop.send("one", boost=0))
    shop.now_ms += 10_000
    plain = shop.run_of(shop.send("one", boost=0))
    shop.now_ms += 10_000
    later = shop.run_of(shop.send("one", boost=9))  # not enough for the ten seconds between
    ahead = shop.run_of(shop.send("one", boost=10.5))
    behind = shop.run_of(shop.send("one", boost=-3600))
    tail = shop.run_of(shop.send("one"))
    assert work_through(shop) == [first, ahead, plain, later, tail, behind]


@pytest.mark.parametrize(
    ("value", "shift_ms"),
    [
        (2, 2_000),
        (2.5, 2_500),
        (-1, -1_000),
        (50_000, 43_200_000),
        (-50_000, -43_200_000),
        (43_200, 43_200_000),
        (1e300, 43_200_000),
        (True, 0),
        ("9", 0),
        (None, 0),
        ([1], 0),
    ],
)
def test_any_finite_number_of_seconds_is_a_priority(value: object, shift_ms: int) -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), priority="event.data.boost"))
    run = shop.run(shop.run_of(shop.send("one", boost=value)))
    assert run is not None
    assert run.slots is not None
    assert run.slots.order_ms == shop.now_ms - shift_ms


@pytest.mark.parametrize("expression", ["event.data.boost / 0", "event.data.missing", "size(event.data.boost)", "'x'"])
def test_a_priority_that_cannot_be_computed_is_none(expression: str) -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), priority=expression))
    run = shop.run(shop.run_of(shop.send("one", boost=1)))
    assert run is not None
    assert run.slots is not None
    assert run.slots.order_ms == shop.now_ms


def test_keys_take_turns_at_a_gate_that_is_wider_than_they_are() -> None:
    shop = Shop(function("wide", Concurrency(10, "event.data.key"), Concurrency(1)))
    many = [shop.run_of(shop.send("wide", "many")) for _ in range(10)]
    shop.settle()
    few = [shop.run_of(shop.send("wide", "few")) for _ in range(2)]
    shop.settle()
    order = work_through(shop)
    assert [run for run in order if run in many] == many
    assert [run for run in order if run in few] == few
    assert max(order.index(run) for run in few) <= 5  # not behind all of the other key's


def test_functions_take_turns_at_a_gate_of_the_app() -> None:
    limit = Concurrency(1, scope="app")
    shop = Shop(function("big", limit), function("small", limit))
    for _ in range(6):
        shop.send("big")
        shop.settle()
    small = shop.run_of(shop.send("small"))
    shop.settle()
    assert work_through(shop).index(small) <= 2


def test_an_account_limit_is_shared_by_all_apps_that_have_its_expression() -> None:
    limit = Concurrency(2, "event.data.tenant", scope="account")
    shop = Shop(function("a", limit), function("b", limit), function("c", Concurrency(2, "event.data.key", "account")))
    for name in ("a", "b", "a", "b", "c"):
        shop.send(name, tenant="k")
    shop.settle()
    assert Counter(run.function_id for run in shop.live().values() if run.phase == Phase.EXECUTING)["shop-c"] == 1
    assert len(shop.executing) == 3


def test_each_function_keeps_its_own_number_at_a_gate_that_they_share() -> None:
    shop = Shop(function("a", Concurrency(1, scope="app")), function("b", Concurrency(3, scope="app")))
    for name in ("a", "a", "b", "b", "b"):
        shop.send(name)
        shop.settle()
    executing = Counter(run.function_id for run in shop.live().values() if run.phase == Phase.EXECUTING)
    assert executing == {"shop-a": 1, "shop-b": 2}


def test_a_run_that_goes_on_is_served_before_those_that_have_not_begun() -> None:
    shop = Shop(function("one", Concurrency(1, "event.data.key"), priority="event.data.boost"))
    first = shop.run_of(shop.send("one", boost=0))
    shop.sleep(first, 1_000)
    second = shop.run_of(shop.send("one", boost=0))
    shop.run_of(shop.send("one", boost=40_000))
    shop.pass_time(1_000)
    assert list(shop.executing) == [second]
    shop.finish(second)
    assert list(shop.executing) == [first]


def test_no_wide_slot_is_held_by_a_run_that_queues_at_a_narrow_gate() -> None:
    shop = Shop(function("wide", Concurrency(2), Concurrency(1, "event.data.key")))
    for key in ("a", "a", "a", "b"):
        shop.send("wide", key)
    shop.settle()
    assert len(shop.executing) == 2  # one of a, and b: the other two of a hold no slot of the function


# --- limits that change ---------------------------------------------------------------------------------------------


def test_a_limit_that_is_raised_lets_more_begin_at_once() -> None:
    shop = Shop(ONE)
    for _ in range(5):
        shop.send("one")
    shop.set_limits("one", Concurrency(3, "event.data.key"))
    shop.tell_all()
    assert len(shop.executing) == 3


def test_a_limit_that_is_lowered_takes_nothing_away_and_gives_nothing_out() -> None:
    shop = Shop(function("few", Concurrency(3)))
    for _ in range(6):
        shop.send("few")
    shop.settle()
    shop.set_limits("few", Concurrency(1))
    shop.settle()
    assert len(shop.executing) == 3
    for left in (2, 1, 1):
        shop.finish(next(iter(shop.executing)))
        shop.settle()
        assert len(shop.executing) == left


def test_a_deploy_that_takes_a_limit_away_lets_all_begin_that_wait() -> None:
    shop = Shop(ONE)
    for _ in range(5):
        shop.send("one")
    shop.define(function("one"))
    shop.tell_all()
    assert len(shop.executing) == 5
    work_through(shop)
    assert shop.leftovers() == 0


def test_a_function_that_is_removed_holds_nobody_up() -> None:
    shop = Shop(ONE)
    for _ in range(3):
        shop.send("one")
    for waiting in shop.to_be_told:
        waiting.append(Broadcast(b"shop-one", None))
    shop.tell_all()
    assert len(shop.executing) == 3


def test_a_deploy_that_changes_the_key_counts_for_those_that_go_on_as_well() -> None:
    shop = Shop(ONE)
    runs = [shop.run_of(shop.send("one", key, user="ann")) for key in ("a", "b")]
    for run in runs:
        shop.sleep(run, 1_000)
    shop.define(function("one", Concurrency(1, "event.data.user")))
    shop.settle()
    shop.pass_time(1_000)
    shop.settle()
    assert len(shop.executing) == 1
    work_through(shop)
    assert shop.live() == {}
    assert shop.leftovers() == 0


def test_a_live_limit_may_be_set_where_none_is_declared() -> None:
    shop = Shop(function("free"))
    shop.set_limits("free", Concurrency(2))
    shop.tell_all()
    for _ in range(4):
        shop.send("free")
    shop.settle()
    assert len(shop.executing) == 2
    shop.broadcast(b"~limits/shop-free", b"{}")
    shop.settle()
    assert len(shop.executing) == 4


# --- pauses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", [function("one"), ONE, function("one", Concurrency(1))])
def test_new_runs_of_a_paused_function_are_held_in_sight_and_begin_in_order(definition: object) -> None:
    shop = Shop(definition)  # type: ignore[arg-type]
    shop.pause("one")
    shop.tell_all()
    runs = []
    for _ in range(4):
        runs.append(shop.run_of(shop.send("one")))
        shop.settle()
    assert not shop.executing
    assert all(shop.phases(run)[-1] == "queued" for run in runs)
    assert any(record.code == "function_paused" for record in shop.history)
    shop.pass_time(3_600_000)
    assert not shop.executing
    shop.pause("one", paused=False)
    assert work_through(shop) == runs
    assert shop.leftovers() == 0


def test_runs_that_have_begun_go_on_through_a_pause() -> None:
    shop = Shop(ONE)
    first, second = (shop.run_of(shop.send("one")) for _ in range(2))
    shop.sleep(first, 1_000)
    assert list(shop.executing) == [second]
    third = shop.run_of(shop.send("one"))
    shop.pause("one")
    shop.tell_all()
    shop.pass_time(1_000)
    shop.finish(second)
    assert list(shop.executing) == [first]  # past the third, which has not begun
    shop.finish(first)
    assert not shop.executing
    shop.pause("one", paused=False)
    shop.tell_all()
    assert list(shop.executing) == [third]


def test_one_key_can_be_paused() -> None:
    shop = Shop(ONE)
    shop.pause("one/a")
    shop.tell_all()
    held, free = (shop.run_of(shop.send("one", key)) for key in ("a", "b"))
    assert list(shop.executing) == [free]
    shop.pause("one")
    shop.pause("one/a", paused=False)
    shop.tell_all()
    assert held not in shop.executing  # the function is paused now
    shop.pause("one", paused=False)
    shop.tell_all()
    assert held in shop.executing


def test_a_pause_that_comes_while_a_slot_is_on_its_way_holds_the_run() -> None:
    shop = Shop(function("few", Concurrency(1)))
    events = [shop.send("few", key) for key in ("a", "b", "c", "d", "e", "f")]
    far = next(run for event in events if (run := shop.run_of(event)) and shop.run(run) and run not in shop.executing)
    home = shop.home(far)
    shop.pause("few")
    shop.tell(home)  # the gate does not know yet
    while shop.on_way:
        shop.arrive(next(iter(shop.on_way)))
    assert far not in shop.executing
    shop.pause("few", paused=False)
    work_through(shop)
    assert len(shop.begun) == 6
    assert shop.leftovers() == 0


def test_a_run_that_a_pause_holds_can_be_cancelled() -> None:
    shop = Shop(ONE)
    shop.pause("one")
    shop.tell_all()
    run = shop.run_of(shop.send("one"))
    shop.cancel(run)
    assert shop.leftovers() == 0
    shop.pause("one", paused=False)
    shop.tell_all()
    assert not shop.begun


def test_many_that_were_held_go_on_some_at_a_time() -> None:
    shop = Shop(function("free"), partitions=1)
    shop.pause("free")
    shop.tell_all()
    for _ in range(1_200):
        shop.send("free")
    shop.pause("free", paused=False)
    shop.tell_all()
    assert 0 < len(shop.executing) < 1_200
    shop.pass_time(10)
    assert len(shop.executing) == 1_200


def test_a_new_owner_keeps_the_pause_and_the_queue() -> None:
    shop = Shop(ONE)
    runs = [shop.run_of(shop.send("one")) for _ in range(3)]
    shop.pause("one")
    shop.tell_all()
    at = shop.home(runs[0])
    shop.crash(at)
    shop.finish(runs[0])
    assert not shop.executing
    shop.crash(at)
    shop.pause("one", paused=False)
    assert work_through(shop) == runs


def test_a_paused_function_of_an_sdk_skips_its_runs() -> None:
    shop = Shop(function("sdk", kind="inngest"))
    shop.pause("sdk")
    shop.tell_all()
    shop.send("sdk")
    assert shop.live() == {}
    (verdict,) = [record for record in shop.history if record.kind == "EventVerdict"]
    assert (verdict.status, verdict.code) == ("skipped", "function_paused")
