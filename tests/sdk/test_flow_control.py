"""Flow control as the SDKs register it. Goal: what the server of the SDKs does with it, down to the odd corners."""

from __future__ import annotations

import time

import pytest

from tests.sdk.play import Play
from tests.sdk.programs import ask, await_that


def one_of_two(play: Play, case: str) -> int:
    """Say which of a case's first two events has started a run; two that were sent at once may come in any order.

    Both are decided once the third one of the case has run and the first of the two is over or waits.
    """
    play.run_of(play.ids[case][2])

    def started() -> list[int]:
        rows = [[run for run in play.runs_of(event_id) if run["status"] != "Skipped"] for event_id in play.ids[case]]
        return [number for number in (0, 1) if rows[number]]

    await_that(lambda: started(), f"a run of the first two of {case}")
    settled(play, case)
    (number,) = started()
    return number


def settled(play: Play, case: str) -> None:
    """Wait until the two events have been decided: their reasons say so."""
    for event_id in play.ids[case][:2]:
        await_that(lambda: ask(f"{play.url}/v1/events/{event_id}/why")["data"], f"why {event_id}")  # noqa: B023


def test_7_6_a_batch_starts_when_it_is_full(play: Play) -> None:
    batches = {tuple(play.result("batch", number)) for number in range(6)}
    assert sorted(map(len, batches)) == [3, 3]
    assert sorted(sum(batches, ())) == [0, 1, 2, 3, 4, 5]
    assert len(play.noted("batch", what="called")) == 2


def test_7_6_a_batch_starts_when_its_time_is_up_one_for_each_key(play: Play) -> None:
    assert [play.result("batch_timeout", number) for number in range(3)] == [[1, 3], [2], [1, 3]]


def test_7_5_a_debounced_function_starts_once_with_the_last_event(play: Play) -> None:
    now = int(time.time() * 1000)
    # The last is the one with the latest time stamp, in whatever order they come.
    _, last, other = play.send(
        *[
            {"name": play.event("debounce"), "data": {"user": user, "n": n}, "ts": now - 1000 + n}
            for user, n in (("a", 1), ("a", 2), ("b", 3))
        ]
    )
    assert (play.end_of(last)["output"], play.end_of(other)["output"]) == (2, 3)
    assert sorted((line["user"], line["n"]) for line in play.noted("debounce")) == [("a", 2), ("b", 3)]


def test_7_4_what_is_over_the_rate_starts_nothing(play: Play) -> None:
    assert play.result("rate_limit", 2) == "b"
    assert play.result("rate_limit", one_of_two(play, "rate_limit")) == "a"


@pytest.mark.usefixtures("later")
def test_7_3_a_throttle_delays_and_drops_nothing(play: Play) -> None:
    for number in range(3):
        play.result("throttle", number)
    first, _, third = sorted(line["at"] for line in play.noted("throttle"))
    assert third - first >= 2.5  # four seconds, less what the app was slow to note the first


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
    case = "singleton_skip"
    winner = one_of_two(play, case)
    for number in (winner, 2):
        play.run_of(play.ids[case][number], phase="waiting")
    play.tell("singleton_skip.go")
    assert [play.result(case, number) for number in (winner, 2)] == ["ran", "ran"]
    skipped = [run["status"] for run in play.runs_of(play.ids[case][1 - winner])]
    assert skipped in ([], ["Skipped"])


def test_7_8_a_singleton_may_cancel_the_one_that_runs(play: Play) -> None:
    first = play.tell("singleton_cancel")
    play.run_of(first, phase="waiting")
    second = play.tell("singleton_cancel")
    assert play.end_of(first)["status"] == "Cancelled"
    play.run_of(second, phase="waiting")
    play.tell("singleton_cancel.go")
    assert play.end_of(second)["output"] == "ran"


def test_2_3_an_idempotent_function_runs_once_for_each_value(play: Play) -> None:
    assert play.result("idempotency", 2) == "o2"
    assert play.result("idempotency", one_of_two(play, "idempotency")) == "o1"


@pytest.mark.slow
def test_7_9_a_cron_line_starts_its_function_on_the_minute(play: Play) -> None:
    fires = await_that(lambda: play.noted("every_minute"), "the next minute", within_s=75)
    assert fires[0]["event"] == "inngest/scheduled.timer"
    assert fires[0]["data"]["cron"] == "* * * * *"
    assert fires[0]["at"] % 60 < 10
    runs = await_that(lambda: play.run(fires[0]["run"])["status"] == "Completed", "its end")
    assert runs
