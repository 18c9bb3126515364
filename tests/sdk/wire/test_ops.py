"""Sections 3.3 and 3.5: what ops do, and what is remembered of them. Goal: memos have the keys that SDKs parse, no
more and no less."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from tests.sdk.programs import ask, await_that
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import NO_RETRY, Call, Reply, done, error, hashed, op, ops, scripted


def memo(played: Played, step: str, call: int = -1) -> object:
    """Give what a call was told of a step."""
    return played.calls[call].body["steps"][hashed(step)]


@scripted(ops(op("StepRun", "a")), ops(op("StepRun", "b", data=None)), ops(op("steprun", "c", data=0)), done("end"))
def test_3_3_a_step_without_a_result_has_null_as_its_data(played: Played) -> None:
    assert played.output() == "end"
    assert [memo(played, step) for step in "abc"] == [{"data": None}, {"data": None}, {"data": 0}]


@scripted(ops(op("Step", "a", data={"data": 5})), done("end"))
def test_3_3_step_is_stored_as_it_was_sent(played: Played) -> None:
    assert played.output() == "end"
    assert memo(played, "a") == {"data": 5}


@scripted(ops(op("StepError", "a", error=error("first"))), ops(op("StepRun", "a", data=1)), done("end"))
def test_3_3_an_error_of_a_step_is_tried_again(played: Played) -> None:
    assert played.output() == "end"
    assert [call.attempt for call in played.calls] == [0, 1, 0]
    assert played.calls[1].body["steps"] == {}
    assert played.gaps()[0] >= 0.8


@scripted(ops(op("StepError", "a", error=error("one"))), ops(op("StepError", "a", error=error("two"))), done("caught"))
def test_3_3_an_error_of_a_step_on_the_last_attempt_is_its_failure(played: Played) -> None:
    assert played.output() == "caught"
    assert memo(played, "a") == {"error": error("two")}
    assert [call.attempt for call in played.calls] == [0, 1, 0]


@scripted(ops(op("StepError", "a", error=error("at once")), **NO_RETRY), done("caught"), retries=5)
def test_3_3_an_error_of_a_step_that_is_not_retriable_is_its_failure(played: Played) -> None:
    assert played.output() == "caught"
    assert memo(played, "a") == {"error": error("at once")}


@scripted(ops(op("StepError", "a", error=error("x", noRetry=True))), done("caught"), retries=5)
def test_3_3_an_error_may_say_itself_that_it_is_not_retriable(played: Played) -> None:
    assert played.output() == "caught"
    assert len(played.calls) == 2


@scripted(ops(op("StepFailed", "a", data="junk", error=error("no", cause="why", data=[1]))), done("caught"))
def test_3_3_of_a_failed_step_only_its_error_is_kept(played: Played) -> None:
    assert played.output() == "caught"
    assert memo(played, "a") == {"error": error("no", cause="why", data=[1])}
    assert played.calls[1].body["ctx"]["stack"]["stack"] == [hashed("a")]


@scripted(ops(op("StepError", "a", error=error("later")), retry_after="3"), ops(op("StepRun", "a", data=1)), done())
def test_3_6_retry_after_holds_for_steps(played: Played) -> None:
    played.output()
    assert played.gaps()[0] > 2.5


@scripted(ops(op("Sleep", "nap", name="1s")), done("slept"))
def test_3_3_sleep_duration_in_name(played: Played) -> None:
    assert played.output() == "slept"
    assert played.gaps()[0] >= 0.9
    assert memo(played, "nap") is None


@scripted(ops(op("Sleep", "nap", opts={"duration": "1s500ms"})), done("slept"))
def test_3_3_sleep_duration_in_opts(played: Played) -> None:
    assert played.output() == "slept"
    assert played.gaps()[0] > 1.4


def _until(call: Call) -> Reply:
    moment = datetime.now(UTC) + timedelta(seconds=1.5)
    return ops(op("Sleep", "nap", name=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")))


@scripted(_until, done("slept"))
def test_3_3_sleep_until_a_moment(played: Played) -> None:
    assert played.output() == "slept"
    assert played.gaps()[0] > 1.2


@scripted(ops(op("Sleep", "a", name="2020-01-01T00:00:00.000Z")), ops(op("Sleep", "b", name="")), done("at once"))
def test_3_3_sleep_until_the_past_or_for_nothing_is_over_at_once(played: Played) -> None:
    assert played.output() == "at once"
    assert max(played.gaps()) < 30


@scripted(ops(op("Sleep", "a", name="367d")), done("never"))
def test_3_3_a_sleep_over_366_days_fails_the_run(played: Played) -> None:
    assert "InngestErrTimeoutTooLong" in json.dumps(played.failure())


@scripted(ops(op("StepRun", "a", data=1)), ops(op("StepRun", "a", data=2)), done("end"))
def test_3_3_the_first_result_of_a_step_wins(played: Played) -> None:
    assert played.output() == "end"
    assert memo(played, "a") == {"data": 1}
    assert played.calls[2].body["ctx"]["stack"]["stack"] == [hashed("a")]


@scripted(ops(op("NoSuchOp", "a")), done("end"))
def test_3_3_an_unknown_op_is_an_error_that_is_tried_again(played: Played) -> None:
    assert played.output() == "end"
    assert [call.attempt for call in played.calls] == [0, 1]


@scripted(ops(op("StepPlanned", "a", name="a")), ops(op("StepRun", "a", data="made")), done("end"))
def test_3_3_a_planned_step_is_called_for_by_its_hash(played: Played) -> None:
    assert played.output() == "end"
    assert [call.step_id for call in played.calls] == ["step", hashed("a"), "step"]
    assert played.calls[1].body["ctx"]["step_id"] == hashed("a")
    assert memo(played, "a") == {"data": "made"}


@scripted(ops({"op": "RunComplete", "id": hashed("complete"), "data": {"sum": 3}}))
def test_3_3_run_complete_ends_the_run(played: Played) -> None:
    assert played.output() == {"sum": 3}
    assert len(played.calls) == 1


@scripted(ops(op("StepRun", "a", data=1), op("StepRun", "b", data=2), {"op": "RunComplete", "id": "x", "data": "both"}))
def test_3_3_run_complete_may_come_after_steps(played: Played) -> None:
    assert played.output() == "both"
    steps = played.run(played.end()["run_id"])["steps"]
    assert [(step["name"], step["output"]) for step in steps] == [("a", 1), ("b", 2)]


@scripted(ops({"op": "DiscoveryRequest", "id": "d"}), done("again"))
def test_3_3_a_discovery_request_calls_at_once(played: Played) -> None:
    assert played.output() == "again"
    assert played.gaps()[0] < 30


@scripted(ops({"op": "None", "id": "n"}), done("driven on"))
def test_3_3_none_alone_drives_the_run_on(played: Played) -> None:
    assert played.output() == "driven on"


WAIT = {"timeout": "10m", "if": "event.data.id == async.data.id"}


@scripted(ops(op("WaitForEvent", "w", name="wire/4-1", opts=WAIT)), done("woken"), events=[{"data": {"id": 1}}])
def test_4_1_the_memo_of_a_wait_is_the_event_itself(played: Played) -> None:
    played.run_of(played.ids[0], phase="waiting")
    sent = {"name": "wire/4-1", "data": {"id": 1, "x": "y"}, "id": "answer-4-1", "ts": 1755850000001, "v": "2"}
    played.send({**sent, "id": "other", "data": {"id": 2}}, sent)
    assert played.output() == "woken"
    assert memo(played, "w") == {**sent, "user": {}}


@scripted(ops(op("WaitForEvent", "w", opts={"event": "wire/4-1-opts", "timeout": "10m"})), done("woken"))
def test_3_3_the_event_of_a_wait_may_be_in_its_opts(played: Played) -> None:
    played.run_of(played.ids[0], phase="waiting")
    played.send({"name": "wire/4-1-opts", "data": {}})
    assert played.output() == "woken"


@scripted(ops(op("WaitForEvent", "w", name="wire/never", opts={"timeout": "1s"})), done("over"))
def test_4_1_a_wait_that_times_out_is_null(played: Played) -> None:
    assert played.output() == "over"
    assert memo(played, "w") is None
    assert played.gaps()[0] >= 0.9


@scripted(ops(op("WaitForEvent", "w", name="wire/never", opts={})), done("over"))
def test_4_1_a_wait_without_a_time_out_is_over_at_once(played: Played) -> None:
    assert played.output() == "over"
    assert played.gaps()[0] < 30


@scripted(ops(op("WaitForEvent", "w", name="wire/never", opts={"timeout": "1m", "if": "event.data.("})))
def test_4_1_an_expression_that_does_not_compile_fails_the_run(played: Played) -> None:
    assert played.failure()["name"] == "InvalidExpression"


SIGNAL = {"signal": "wire-4-4", "timeout": "10m", "conflict": "fail"}


@scripted(ops(op("WaitForSignal", "s", name="wire-4-4", opts=SIGNAL)), done("woken"))
def test_4_4_the_memo_of_a_signal(played: Played) -> None:
    run = played.run_of(played.ids[0], phase="waiting")
    sent = {"signal": "wire-4-4", "data": {"a": 1}}
    answer = await_that(lambda: ask(f"{played.url}/v1/signals", sent)["data"], "the signal to be taken")
    assert answer["run_id"] == run["run_id"]
    assert played.output() == "woken"
    assert memo(played, "s") == {"data": sent}


@scripted(ops(op("WaitForSignal", "s", opts={"signal": "wire-4-4-never", "timeout": "1s"})), done("over"))
def test_4_4_a_signal_that_does_not_come_is_null(played: Played) -> None:
    assert played.output() == "over"
    assert memo(played, "s") is None


TWO = {"signal": "wire-4-4-two", "timeout": "10m", "conflict": "fail"}


@scripted(lambda call: ops(op("WaitForSignal", "s", opts=TWO)), each=True, events=[{}, {}], retries=0)
def test_4_4_a_second_one_that_waits_for_a_signal_fails(played: Played) -> None:
    def statuses() -> list[str]:
        return sorted(run["status"] for event_id in played.ids for run in played.runs_of(event_id))

    await_that(lambda: statuses() == ["Failed", "Running"], lambda: f"one of two to fail: {statuses()}")
