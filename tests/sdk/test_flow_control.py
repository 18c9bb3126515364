"""Flow control as the SDKs register it. Goal: what the server of the SDKs does with it, down to the odd corners."""

from __future__ import annotations

import pytest

from tests.sdk.play import Play
from tests.sdk.programs import await_that


def started(play: Play, case: str) -> list[int]:
    """Say how many runs each of a case's first events has started."""
    return [len(play.runs_of(event_id)) for event_id in play.ids[case]]


def test_7_6_a_batch_starts_when_it_is_full(play: Play) -> None:
    play.result("batch", 5)
    assert play.result("batch", 0) == [0, 1, 2]
    assert play.result("batch", 5) == [3, 4, 5]
    assert len(play.noted("batch", what="called")) == 2


def test_7_6_a_batch_starts_when_its_time_is_up_one_for_each_key(play: Play) -> None:
    assert [play.result("batch_timeout", number) for number in range(3)] == [[1, 3], [2], [1, 3]]


def test_7_5_a_debounced_function_starts_once_with_the_last_event(play: Play) -> None:
    assert play.result("debounce", 1) == 2
    assert play.result("debounce", 2) == 3
    assert sorted((line["user"], line["n"]) for line in play.noted("debounce")) == [("a", 2), ("b", 3)]


def test_7_4_what_is_over_the_rate_starts_nothing(play: Play) -> None:
    assert play.result("rate_limit", 0) == "a"
    assert play.result("rate_limit", 2) == "b"
    assert started(play, "rate_limit") == [1, 0, 1]


def test_7_3_a_throttle_delays_and_drops_nothing(play: Play) -> None:
    for number in range(3):
        play.result("throttle", number)
    first, second, third = sorted(line["at"] for line in play.noted("throttle"))
    assert second - first >= 1
    assert third - second >= 1
    assert third - first >= 3


def overlap(play: Play, case: str, key: str | None = None) -> int:
    """Say how many steps of a case were under way at the same time, at most."""
    marks = sorted(
        (line["at"], 1 if line["what"] == "in" else -1) for line in play.noted(case) if key in (None, line["key"])
    )
    most = now = 0
    for _, change in marks:
        now += change
        most = max(most, now)
    return most


def test_7_2_no_more_steps_at_once_than_the_limit_for_each_key(play: Play) -> None:
    for number in range(3):
        play.result("concurrency", number)
    assert (overlap(play, "concurrency", "a"), overlap(play, "concurrency", "b")) == (1, 1)


def test_7_2_no_more_steps_at_once_than_the_limit(play: Play) -> None:
    for number in range(5):
        play.result("concurrency_plain", number)
    assert overlap(play, "concurrency_plain") <= 2


def test_7_7_the_run_of_higher_priority_starts_before_those_that_wait(play: Play) -> None:
    for number in range(5):
        play.result("priority", number)
    order = [line["n"] for line in play.noted("priority")]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert order.index(4) <= 1, order


def test_7_8_a_singleton_skips_what_comes_while_it_runs(play: Play) -> None:
    play.run_of(play.ids["singleton_skip"][0], phase="waiting")
    play.run_of(play.ids["singleton_skip"][2], phase="waiting")
    play.tell("singleton_skip.go")
    assert [play.result("singleton_skip", number) for number in (0, 2)] == ["ran", "ran"]
    statuses = [run["status"] for run in play.runs_of(play.ids["singleton_skip"][1])]
    assert statuses in ([], ["Skipped"])


def test_7_8_a_singleton_may_cancel_the_one_that_runs(play: Play) -> None:
    first = play.tell("singleton_cancel")
    play.run_of(first, phase="waiting")
    second = play.tell("singleton_cancel")
    assert play.end_of(first)["status"] == "Cancelled"
    play.run_of(second, phase="waiting")
    play.tell("singleton_cancel.go")
    assert play.end_of(second)["output"] == "ran"


def test_2_3_an_idempotent_function_runs_once_for_each_value(play: Play) -> None:
    assert [play.result("idempotency", number) for number in (0, 2)] == ["o1", "o2"]
    assert started(play, "idempotency") == [1, 0, 1]


@pytest.mark.slow
def test_7_9_a_cron_line_starts_its_function_on_the_minute(play: Play) -> None:
    fires = await_that(lambda: play.noted("every_minute"), "the next minute", within_s=75)
    assert fires[0]["event"] == "inngest/scheduled.timer"
    assert fires[0]["data"]["cron"] == "* * * * *"
    assert fires[0]["at"] % 60 < 10
    runs = await_that(lambda: play.run(fires[0]["run"])["status"] == "Completed", "its end")
    assert runs
