"""Parking: what has used up its retries waits for an operator, if its function says so."""

from __future__ import annotations

from typing import Any

from headrace.records.commands import ResumeRun
from headrace.records.definitions import Backoff, Concurrency
from headrace.records.rows import Failure, StepState
from headrace.worker.turn import RESOLVE, START
from tests.concurrency.shop import FAILURE, Shop, function

PARKING: dict[str, Any] = {"retries": 1, "backoff": Backoff("fixed", 1_000, 1_000, 0.0), "on_exhausted": "park"}


def test_a_body_whose_retries_are_spent_is_parked_until_it_is_resumed() -> None:
    shop = Shop(function("p", **PARKING))
    run = shop.run_of(shop.send("p"))
    for _ in range(2):
        shop.finish(run, FAILURE)
        shop.pass_time(3_600_000)
    assert shop.ended(run) is None
    assert not shop.executing
    assert shop.phases(run)[-1] == "parked"
    assert [record.code for record in shop.history if record.run_id == run][-1] == "retries_spent"
    home = shop.home(run)
    shop.crash(home)
    assert not shop.executing
    shop.apply(home, ResumeRun(run))
    assert [kind for kind, _, _, _ in shop.partitions[home].effects] == [START]
    for _ in range(2):  # it has all its retries again
        shop.finish(run, FAILURE)
        shop.pass_time(1_000)
    assert shop.phases(run)[-1] == "parked"
    shop.apply(home, ResumeRun(run))
    shop.finish(run)
    ended = shop.ended(run)
    assert ended is not None
    assert ended.status == "Completed"


def test_a_step_whose_retries_are_spent_is_tried_afresh_when_its_run_is_resumed() -> None:
    shop = Shop(function("p", **PARKING))
    run = shop.run_of(shop.send("p"))
    home = shop.home(run)
    shop.report(run, b"charge", FAILURE)
    shop.rest(run, b"charge")
    shop.pass_time(1_000)
    shop.report(run, b"charge", FAILURE, attempt=1)
    shop.rest(run, b"charge")
    assert shop.phases(run)[-1] == "parked"
    shop.pass_time(1 << 40)
    assert not shop.executing
    shop.apply(home, ResumeRun(run))
    ((kind, _, step, row),) = shop.partitions[home].effects
    assert (kind, step) == (RESOLVE, b"charge")
    assert row is not None
    assert (row.state, row.attempt, row.due_ms) == (StepState.PENDING, 0, 0)
    shop.report(run, b"charge")
    shop.finish(run)
    assert shop.live() == {}


def test_what_must_not_be_tried_again_fails_at_once() -> None:
    shop = Shop(function("p", **PARKING))
    run = shop.run_of(shop.send("p"))
    shop.finish(run, Failure("NonRetriableError", "never", retriable=False))
    ended = shop.ended(run)
    assert ended is not None
    assert ended.status == "Failed"


def test_without_the_option_a_run_fails_when_its_retries_are_spent() -> None:
    shop = Shop(function("p", retries=0))
    run = shop.run_of(shop.send("p"))
    shop.finish(run, FAILURE)
    ended = shop.ended(run)
    assert ended is not None
    assert ended.status == "Failed"


def test_a_parked_run_holds_no_slot_and_asks_for_one_when_it_is_resumed() -> None:
    shop = Shop(function("p", Concurrency(1, "event.data.key"), **{**PARKING, "retries": 0}))
    first = shop.run_of(shop.send("p"))
    second = shop.run_of(shop.send("p"))
    shop.finish(first, FAILURE)
    assert list(shop.executing) == [second]
    shop.apply(shop.home(first), ResumeRun(first))
    assert list(shop.executing) == [second]
    shop.finish(second)
    assert list(shop.executing) == [first]
    shop.finish(first)
    assert shop.leftovers() == 0


def test_a_parked_run_can_be_cancelled() -> None:
    shop = Shop(function("p", **{**PARKING, "retries": 0}))
    run = shop.run_of(shop.send("p"))
    shop.finish(run, FAILURE)
    shop.cancel(run)
    ended = shop.ended(run)
    assert ended is not None
    assert ended.status == "Cancelled"
    assert shop.partitions[0].overlay.timers.next_due_ms() is None


def test_resuming_what_is_not_parked_is_nothing() -> None:
    shop = Shop(function("p"))
    run = shop.run_of(shop.send("p"))
    home = shop.home(run)
    shop.apply(home, ResumeRun(run))
    assert shop.partitions[home].effects == []
    shop.finish(run)
    shop.apply(home, ResumeRun(run))
    assert shop.partitions[home].effects == []
