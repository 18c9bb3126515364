"""Steps side by side in functions of the SDKs. Goal: each runs once, and the order is that of the mode."""

from __future__ import annotations

import pytest

from tests.sdk.play import Play
from tests.sdk.programs import only

timed = pytest.mark.usefixtures("later")


def calls(play: Play, case: str) -> int:
    """Count how often a case's function was called for its run."""
    return len(play.noted(case, play.end(case)["run_id"], "called"))


def test_3_7_steps_side_by_side_run_once_each_and_are_joined(play: Play) -> None:
    assert play.result("parallel") == {"joined": "ABC"}
    order = play.order("parallel", play.end("parallel")["run_id"])
    assert (sorted(order[:3]), order[3:]) == (["a", "b", "c"], ["join"])


@timed
def test_3_7_groups_wait_for_each_other(play: Play) -> None:
    assert play.result("groups_wait") == "both"
    order = play.order("groups_wait", play.end("groups_wait")["run_id"])
    assert order == ["a1", "b1", "a2", "b2"]


@timed
def test_3_7_groups_that_race_do_not_wait_for_each_other(play: Play) -> None:
    assert play.result("groups_race") == "both"
    order = play.order("groups_race", play.end("groups_race")["run_id"])
    assert order == ["a1", "a2", "b1", "b2"]


@timed
@only("python")
def test_3_7_two_groups_of_two_steps_take_seven_calls_or_nine_in_a_race(play: Play) -> None:
    assert play.result("groups_wait") == play.result("groups_race") == "both"
    assert (calls(play, "groups_wait"), calls(play, "groups_race")) == (7, 9)


@only("typescript3", "typescript4")
def test_3_7_the_winner_of_a_race_is_seen_before_the_others_are_over(play: Play) -> None:
    assert play.result("race") == "quick"
    run_id = play.end("race")["run_id"]
    assert [line["winner"] for line in play.noted("race", run_id, "after")] == ["quick"]


def test_3_7_steps_of_several_kinds_go_side_by_side(play: Play) -> None:
    assert play.result("parallel_kinds") == ["ran", None, None, {"doubled": 8}]
