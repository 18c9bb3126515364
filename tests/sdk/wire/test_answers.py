"""Section 3.2: what an app answers. Goal: no proxy's page ends a run, and no odd answer loses one."""

from __future__ import annotations

import json

from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import NO_RETRY, SDK, Reply, done, failed, hashed, op, ops, scripted, zipped


def raw(status: int, body: bytes, **headers: str) -> Reply:
    """Answer with bytes as they are."""
    return Reply(status, body, {**SDK, **headers})


@scripted(raw(200, b"just text"))
def test_3_2_200_may_be_plain_text(played: Played) -> None:
    assert played.output() == "just text"


@scripted(done({"deep": [1, None, "ü"]}))
def test_3_2_200_ends_the_run_with_its_body(played: Played) -> None:
    assert played.output() == {"deep": [1, None, "ü"]}


@scripted(raw(206, json.dumps(op("StepRun", "a", data=1)).encode()), done(2))
def test_3_2_206_may_be_one_op_that_is_no_list(played: Played) -> None:
    assert played.output() == 2
    assert played.calls[1].body["steps"] == {hashed("a"): {"data": 1}}


@scripted(raw(206, b"null"), done("after all"))
def test_3_2_206_null_is_an_error(played: Played) -> None:
    assert played.output() == "after all"
    assert [call.attempt for call in played.calls] == [0, 1]


@scripted(raw(206, b"[null]"), done("after all"))
def test_3_2_206_with_a_null_op_is_an_error(played: Played) -> None:
    assert played.output() == "after all"
    assert [call.attempt for call in played.calls] == [0, 1]


@scripted(raw(206, b"{not json"), done("after all"))
def test_3_2_206_that_is_no_json_is_an_error(played: Played) -> None:
    assert played.output() == "after all"
    assert [call.attempt for call in played.calls] == [0, 1]


@scripted(ops(), done("second"))
def test_3_2_206_without_ops_drives_the_run_on(played: Played) -> None:
    assert played.output() == "second"


def streamed(status: int, body: object, **headers: str) -> Reply:
    """Answer with the envelope of a stream, and the spaces that keep it alive."""
    envelope = {"status": status, "body": body, "headers": {**SDK, **headers}}
    return raw(201, b"  \n " + json.dumps(envelope).encode())


STEP = [op("StepRun", "a", data="streamed")]


@scripted(streamed(206, json.dumps(STEP)), streamed(206, STEP), streamed(200, json.dumps("end")))
def test_3_2_201_is_unwrapped(played: Played) -> None:
    assert played.output() == "end"
    assert played.calls[1].body["steps"] == {hashed("a"): {"data": "streamed"}}


@scripted(streamed(500, json.dumps({"name": "Error", "message": "inside"}), **{"x-inngest-no-retry": "true"}))
def test_3_2_201_with_an_error_inside_is_an_error(played: Played) -> None:
    assert played.failure()["message"] == "inside"
    assert len(played.calls) == 1


@scripted(failed("try again", 400), failed("try again", 404), done("third"), retries=2)
def test_3_2_4xx_is_tried_again(played: Played) -> None:
    assert played.output() == "third"


@scripted(failed("never", 400, **NO_RETRY), retries=3)
def test_3_2_400_with_no_retry_fails_the_run(played: Played) -> None:
    assert played.failure()["message"] == "never"
    assert len(played.calls) == 1


@scripted(Reply(200, b'"a result"', {**SDK, "x-inngest-no-retry": "true"}), retries=3)
def test_3_2_no_retry_makes_an_error_of_any_status(played: Played) -> None:
    assert played.end()["status"] == "Failed"
    assert len(played.calls) == 1


@scripted(Reply(200, b"<html>welcome</html>", {"content-type": "text/html"}), done("the app itself"))
def test_3_2_200_of_somebody_else_ends_no_run(played: Played) -> None:
    assert played.output() == "the app itself"


@scripted(Reply(502, b"<html>bad gateway</html>", {}), retries=0)
def test_3_2_an_error_of_somebody_else_is_named(played: Played) -> None:
    failure = played.failure()
    assert failure["name"] == "Server returned a fatal error"
    assert "502" in failure["message"]


@scripted(raw(401, b'{"code":"sig_verification_failed","message":"signature"}'), done("signed"))
def test_3_2_401_is_tried_again(played: Played) -> None:
    assert played.output() == "signed"


@scripted(failed("busy", 500, retry_after="3"), done("later"))
def test_3_2_retry_after_in_seconds(played: Played) -> None:
    assert played.output() == "later"
    assert played.gaps()[0] > 2.5


@scripted(failed("busy", 500, retry_after="2020-01-01T00:00:00Z"), done("later"))
def test_3_2_retry_after_a_moment_that_has_passed_is_a_second(played: Played) -> None:
    assert played.output() == "later"
    assert played.gaps()[0] > 0.8


@scripted(raw(500, json.dumps(json.dumps({"name": "Inner", "message": "twice encoded"})).encode()), retries=0)
def test_3_2_an_error_may_be_encoded_twice(played: Played) -> None:
    failure = played.failure()
    assert (failure["name"], failure["message"]) == ("Inner", "twice encoded")


@scripted(zipped(ops(op("StepRun", "a", data="z" * 10_000))), zipped(done("unzipped")))
def test_3_1_answers_may_be_compressed(played: Played) -> None:
    assert played.output() == "unzipped"
    assert played.calls[1].body["steps"] == {hashed("a"): {"data": "z" * 10_000}}


@scripted(Reply(200, b'"' + b"x" * (9 << 20) + b'"'), retries=0)
def test_10_an_answer_over_8_mib_is_an_error(played: Played) -> None:
    assert "output_too_large" in json.dumps(played.end())
    assert played.end()["status"] == "Failed"


@scripted(Reply(200, b"", break_off=True), done("the second time"))
def test_3_6_a_connection_that_breaks_is_an_error(played: Played) -> None:
    assert played.output() == "the second time"
    assert [call.attempt for call in played.calls] == [0, 1]


STEP_NOT_FOUND = {"error": "Could not find step", "requestedStep": "x", "foundSteps": [], "totalFoundSteps": 0}


@scripted(raw(500, json.dumps(STEP_NOT_FOUND).encode()), done("found"))
def test_3_2_a_step_that_was_not_found_is_tried_again(played: Played) -> None:
    assert played.output() == "found"
