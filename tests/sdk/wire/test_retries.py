"""Section 3.6 and the rules of section 3.4: retries belong to a call or a step, never to the run."""

from __future__ import annotations

from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import NO_RETRY, done, error, failed, hashed, op, ops, scripted


@scripted(
    failed("a"),
    ops(op("StepRun", "a", data=1)),
    failed("b"),
    ops(op("StepRun", "b", data=2)),
    failed("c"),
    done("end"),
)
def test_3_4_every_call_after_a_step_has_the_full_budget(played: Played) -> None:
    assert played.output() == "end"
    assert [call.attempt for call in played.calls] == [0, 1, 0, 1, 0, 1]


@scripted(ops(op("StepRun", "a", data=1)), failed("once"), done("end"))
def test_3_4_a_retry_is_told_again_what_is_remembered(played: Played) -> None:
    assert played.output() == "end"
    assert played.calls[1].body["steps"] == played.calls[2].body["steps"] == {hashed("a"): {"data": 1}}


@scripted(failed("one"), failed("two", name="CardError"))
def test_3_6_a_run_fails_with_the_error_of_its_last_attempt(played: Played) -> None:
    failure = played.failure()
    assert (failure["name"], failure["message"]) == ("CardError", "two")
    assert failure["stack"].startswith("CardError: two")


@scripted(ops(op("StepFailed", "a", error=error("no"))), failed("uncaught", 400, **NO_RETRY), retries=3)
def test_3_6_a_failure_that_nobody_caught_fails_the_run(played: Played) -> None:
    assert played.failure()["message"] == "uncaught"
    assert len(played.calls) == 2


@scripted(failed("no", 500, **NO_RETRY), retries=3)
def test_3_6_500_with_no_retry_fails_the_run(played: Played) -> None:
    assert played.failure()["message"] == "no"
    assert len(played.calls) == 1


@scripted(failed("a"), failed("b"), failed("c"), done(), retries=3)
def test_3_1_max_attempts_is_the_number_of_all_attempts(played: Played) -> None:
    played.output()
    assert {call.body["ctx"]["max_attempts"] for call in played.calls} == {4}
