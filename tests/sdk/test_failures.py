"""Failures in functions of the SDKs. Goal: what may pass is tried again, as often and as late as the SDK says; what
may not, fails once, and everybody who asked is told."""

from __future__ import annotations

from typing import Any

from tests.sdk.play import Play
from tests.sdk.programs import await_that, only

PYTHON = "python"


def attempts(play: Play, case: str, what: str) -> list[int]:
    """Wait for the end of a case; the attempts that were noted."""
    run_id = play.end(case)["run_id"]
    return [line["attempt"] for line in play.noted(case, run_id, what)]


def gap_s(play: Play, case: str, what: str) -> float:
    """Give the time between the first two attempts."""
    first, second = play.noted(case, play.end(case)["run_id"], what)[:2]
    return float(second["at"] - first["at"])


def test_3_6_a_function_that_fails_is_called_again(play: Play) -> None:
    assert play.result("retries") == 2
    assert attempts(play, "retries", "called") == [0, 1, 2]
    assert gap_s(play, "retries", "called") >= 0.9  # --retry-interval 1


def test_3_6_a_step_that_fails_is_made_again_and_nothing_before_it(play: Play) -> None:
    assert play.result("step_retries") == "held"
    run_id = play.end("step_retries")["run_id"]
    assert play.order("step_retries", run_id) == ["sure", "shaky", "shaky", "shaky", "late"]
    assert attempts(play, "step_retries", "shaky") == [0, 1, 2]
    assert attempts(play, "step_retries", "late") == [0]


def test_3_6_an_error_may_say_when_to_try_again(play: Play) -> None:
    assert play.result("retry_after") == 1
    assert gap_s(play, "retry_after", "called") >= 2


def test_3_6_an_error_of_a_step_may_say_when_to_try_again(play: Play) -> None:
    assert play.result("retry_after_step") == 1
    assert gap_s(play, "retry_after_step", "busy") >= 2


def test_3_6_an_error_that_is_not_retriable_fails_the_run_at_once(play: Play) -> None:
    run = play.end("non_retriable")
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "never again"
    assert len(play.noted("non_retriable", run["run_id"])) == 1


def test_3_6_an_error_of_a_step_that_is_not_retriable_fails_the_run_at_once(play: Play) -> None:
    run = play.end("non_retriable_step")
    assert run["status"] == "Failed"
    assert "never again" in run["output"]["message"]
    assert len(play.noted("non_retriable_step", run["run_id"])) == 1


def test_3_6_a_run_fails_once_its_attempts_are_used_up(play: Play) -> None:
    run = play.end("exhausted")
    assert run["status"] == "Failed"
    assert (run["output"]["name"], run["output"]["message"]) == (play.error_name("CardError"), "declined")
    assert attempts(play, "exhausted", "called") == [0, 1]


def failure(play: Play) -> dict[str, Any]:
    """Wait until the function for failures has been called; what it saw."""
    run_id = play.end("exhausted")["run_id"]
    return await_that(lambda: play.noted("exhausted", run_id, "on failure"), "the function for failures")[0]


def test_1_4_the_function_for_failures_sees_the_run_its_error_and_its_event(play: Play) -> None:
    seen = failure(play)
    data = seen["data"]
    assert seen["event"] == "inngest/function.failed"
    assert data["function_id"] == play.function("exhausted")
    assert data["run_id"] == play.end("exhausted")["run_id"]
    assert (data["error"]["name"], data["error"]["message"]) == (play.error_name("CardError"), "declined")
    assert isinstance(data["error"]["stack"], str)
    assert data["event"]["name"] == play.event("exhausted")
    assert data["event"]["data"] == {"of": "exhausted"}
    assert data["_inngest"]["status"] == "Failed"


@only("typescript3", "typescript4")
def test_1_4_the_function_for_failures_is_given_the_error_itself(play: Play) -> None:
    assert failure(play)["error"] == "declined"


@only(PYTHON)
def test_1_4_the_error_of_a_failed_function_says_the_status_that_it_came_with(play: Play) -> None:
    error = failure(play)["data"]["error"]
    assert {key: value for key, value in error.items() if key != "stack"} == {
        "error": "invalid status code: 500",
        "message": "declined",
        "name": "CardError",
    }


def test_3_6_a_step_whose_attempts_are_used_up_fails_the_run(play: Play) -> None:
    run = play.end("step_failed")
    assert run["status"] == "Failed"
    assert (run["output"]["name"], run["output"]["message"]) == (play.error_name("CardError"), "declined")
    assert play.order("step_failed", run["run_id"]) == ["declined", "declined"]


def test_3_5_the_error_of_a_step_can_be_caught(play: Play) -> None:
    assert play.result("step_caught") == {"name": play.error_name("CardError"), "message": "declined", "way": "by hand"}
    run_id = play.end("step_caught")["run_id"]
    assert play.order("step_caught", run_id) == ["declined", "declined", "instead"]


def test_3_7_one_of_several_steps_fails_and_the_others_are_kept(play: Play) -> None:
    assert play.result("parallel_failure") == {"name": play.error_name("ValueError"), "message": "wrong"}
    order = play.order("parallel_failure", play.end("parallel_failure")["run_id"])
    assert sorted(order) == ["right", "wrong", "wrong"]
