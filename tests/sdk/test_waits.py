"""Waiting functions of the SDKs. Goal: exactly what they wait for wakes them, and time does where nothing comes."""

from __future__ import annotations

from tests.sdk.play import Play, Run
from tests.sdk.programs import ask, await_that, only


def waiting(play: Play, case: str, number: int = 0) -> Run:
    """Wait until a case's run waits for something."""
    return play.run_of(play.ids[case][number], play.function(case), phase="waiting")


def test_4_1_the_event_that_matches_wakes_one_run_and_is_given_whole(play: Play) -> None:
    waiting(play, "wait_match", 0)
    waiting(play, "wait_match", 1)
    play.tell("answer", id="three")
    woke = play.send({"name": play.event("answer"), "data": {"id": "two", "yes": True}, "ts": 1755850000000})[0]
    result = play.result("wait_match", 1)
    assert result == {
        "name": play.event("answer"),
        "data": {"id": "two", "yes": True},
        "id": woke,
        "ts": 1755850000000,
    }
    assert play.run_of(play.ids["wait_match"][0])["phase"] == "waiting"


def test_4_1_a_wait_has_a_condition_over_both_events(play: Play) -> None:
    waiting(play, "wait_if")
    for item, price in (("lamp", 49), ("vase", 90), ("lamp", 50)):
        play.tell("bid", item=item, price=price)
    assert play.result("wait_if") == 50


def test_4_1_a_wait_that_times_out_gives_null(play: Play) -> None:
    assert play.result("wait_timeout") == "timed out"


def test_4_3_an_invoked_function_gives_its_result_to_the_one_that_asked(play: Play) -> None:
    assert play.result("invoke") == {"first": {"doubled": 42}, "second": {"doubled": 84}}
    assert {line["event"] for line in play.noted("double")} == {"inngest/function.invoked"}


def test_4_3_an_invoked_function_that_fails_gives_its_error(play: Play) -> None:
    result = play.result("invoke_failure")
    assert (result["name"], result["message"]) == (play.error_name("ValueError"), "doomed from the start")
    assert isinstance(result["stack"], str)


def test_4_3_an_invoked_function_that_takes_too_long_is_an_error(play: Play) -> None:
    result = play.result("invoke_timeout")
    assert result["name"] == "InngestInvokeTimeoutError"
    assert result["message"] == "Timed out waiting for invoked function to complete"


def test_4_3_a_function_that_is_not_there_is_an_error(play: Play) -> None:
    result = play.result("invoke_missing")
    assert result["name"] == "Error"
    assert result["message"] == f"could not find function with ID: {play.function('nobody')}"


def test_1_5_a_function_is_invoked_over_http(play: Play) -> None:
    answer = ask(f"{play.url}/invoke/{play.function('double')}", {"data": {"n": 5}})
    assert answer["status"] == 200
    assert play.end_of(answer["id"])["output"] == {"doubled": 10}


def test_4_2_the_event_that_matches_cancels_and_no_other(play: Play) -> None:
    for number in (0, 1):
        play.run_of(play.ids["cancel_on"][number], phase="sleeping")
    play.tell("cancel_on.stop", id="stopped")
    assert play.end("cancel_on", 0)["status"] == "Cancelled"
    assert play.run_of(play.ids["cancel_on"][1])["phase"] == "sleeping"


def test_4_2_a_run_is_cancelled_while_its_function_is_being_called(play: Play) -> None:
    case = "cancel_called"
    event_id = play.tell(case)
    run_id = play.run_of(event_id)["run_id"]
    await_that(lambda: play.noted(case, run_id, "called"), "the call")
    play.tell("cancel_called.stop")
    assert play.end_of(event_id)["status"] == "Cancelled"
    assert not play.noted(case, run_id, "returned"), "the call was over before the run was cancelled"
    await_that(lambda: play.noted(case, run_id, "returned"), "the end of the call")
    # What it gave in the end counts for nothing.
    assert play.run(run_id)["status"] == "Cancelled"


def test_4_2_a_cancellation_is_valid_for_its_time_only(play: Play) -> None:
    run = waiting(play, "cancel_timeout")
    play.tell("cancel_timeout.stop")
    play.tell("cancel_timeout.go")
    assert play.result("cancel_timeout") == "not cancelled"
    assert play.run(run["run_id"])["status"] == "Completed"


def test_7_9_a_run_that_is_not_over_in_time_is_cancelled(play: Play) -> None:
    assert play.end("finish_late")["status"] == "Cancelled"


def test_6_1_a_run_is_cancelled_by_request(play: Play) -> None:
    event_id = play.tell("endless")
    run_id = play.run_of(event_id, phase="sleeping")["run_id"]
    ask(f"{play.url}/v1/runs/{run_id}", method="DELETE")
    assert play.end_of(event_id)["status"] == "Cancelled"


@only("typescript3", "typescript4")
def test_4_4_a_signal_wakes_the_one_that_waits_for_it(play: Play) -> None:
    waiting(play, "wait_signal")
    signal = f"go-{play.kind}"
    sender = play.tell("send_signal", signal=signal)
    assert play.end_of(sender)["output"] == "sent"
    assert play.result("wait_signal") == {"got": {"signal": signal, "data": {"from": "send_signal"}}, "none": None}
