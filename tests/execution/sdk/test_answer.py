"""What an app's answer means: status, headers, body. Goal: the tables of section 3.2 and 3.3 of the protocol hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.execution.sdk.answer import ANSWER_BYTES_MAX, Failed, Ops, Returned, read_answer, read_retry_after
from headrace.execution.sdk.seams import Answer
from headrace.records.rows import Failure

NOW_MS = 1_755_850_000_000
SDK = {"x-inngest-sdk": "inngest-js:v4.18.1"}


def read(status: int, body: object, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_answer(Answer(status, {**SDK, **named}, raw), NOW_MS).outcome


def failure(status: int, body: object, **headers: str) -> Failure:
    outcome = read(status, body, **headers)
    assert isinstance(outcome, Failed)
    return outcome.failure


def test_206_has_ops_in_an_array_or_one_alone() -> None:
    op = {"op": "StepRun", "id": "abc", "data": {"n": 1}, "unknown": 1, "userland": {"id": "a", "index": 2}}
    many, one = read(206, [op]), read(206, op)
    assert isinstance(many, Ops)
    assert [(o.op, o.id, bytes(o.data)) for o in many.ops] == [("StepRun", "abc", b'{"n":1}')]
    assert one.ops[0].userland.index == 2


def test_206_with_nothing_is_nothing_to_do_and_null_is_an_error() -> None:
    assert read(206, []).ops == []
    assert failure(206, None).name == "InvalidAnswer"
    assert failure(206, [None]).name == "InvalidAnswer"


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b"null", b"null"),
        (b"", b"null"),
        (b"plain text", b'"plain text"'),
        (b"1.0", b"1.0"),
    ],
)
def test_200_is_what_the_function_returned(body: bytes, output: bytes) -> None:
    assert read(200, body) == Returned(output)


def test_200_that_forbids_to_try_again_is_an_error() -> None:
    found = failure(200, {"name": "E", "message": "m"}, x_inngest_no_retry="true")
    assert (found.name, found.retriable) == ("E", False)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_every_other_status_is_an_error_that_is_tried_again(status: int) -> None:
    found = failure(status, {"name": "E", "message": "m", "stack": "s"}, x_inngest_no_retry="false")
    assert (found.name, found.message, found.stack, found.retriable) == ("E", "m", "s", True)
    assert not failure(status, {"name": "E", "message": "m"}, x_inngest_no_retry="TRUE").retriable


def test_an_error_may_be_json_within_json_and_keeps_what_else_it_says() -> None:
    told = {"name": "E", "message": "m", "code": "step_errored", "cause": {"name": "C"}, "__serialized": True}
    found = failure(500, msgspec.json.encode(told).decode())
    assert (found.name, found.message) == ("E", "m")
    assert msgspec.json.decode(found.more) == {"code": "step_errored", "cause": {"name": "C"}, "__serialized": True}


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ({"error": "Could not find step 'x'"}, "Error", "Could not find step 'x'"),
        ({"code": "sig_verification_failed", "message": "no"}, "sig_verification_failed", "no"),
        (b"<html>oops", "Error", "<html>oops"),
        (b"", "Error", "the app answered HTTP 500"),
        ([1], "Error", "[1]"),
        ({"name": None, "message": {"a": 1}}, "Error", '{"a":1}'),
    ],
)
def test_errors_of_other_shapes_are_still_errors(body: object, name: str, message: str) -> None:
    found = failure(500, body)
    assert (found.name, found.message) == (name, message)


def test_what_does_not_come_from_an_sdk_never_completes_a_run() -> None:
    outcome = read_answer(Answer(200, {}, b'{"ok":true}'), NOW_MS).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.failure.name, outcome.failure.retriable) == ("NotAnSdk", True)
    outcome = read_answer(Answer(504, {}, b"gateway"), NOW_MS).outcome
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "Your server returned HTTP 504 before the SDK responded."


def test_201_is_an_envelope_after_blanks() -> None:
    inner = [{"op": "Sleep", "id": "x", "name": "1s"}]
    wrapped = {"status": 206, "body": msgspec.json.encode(inner).decode(), "headers": {"X-Inngest-No-Retry": "true"}}
    found = read(201, b"   \n " + msgspec.json.encode(wrapped))
    assert (found.ops[0].op, found.no_retry) == ("Sleep", True)
    assert read(201, {"status": 200, "body": {"a": 1}}) == Returned(b'{"a":1}')
    assert failure(201, {"status": 500, "body": {"name": "E", "message": "m"}}).name == "E"
    assert failure(201, b"  ").name == "InvalidAnswer"


def test_a_body_beyond_the_limit_is_an_error() -> None:
    found = failure(200, b'"' + b"x" * ANSWER_BYTES_MAX + b'"')
    assert (found.name, found.retriable) == ("output_too_large", True)


def test_the_version_of_requests_is_read() -> None:
    def version(text: str) -> int:
        return read_answer(Answer(206, {**SDK, "x-inngest-req-version": text}, b"[]"), NOW_MS).version

    assert [version(text) for text in ("1", "2", "", "x", "-1", "٣")] == [1, 2, -1, -1, -1, -1]


@pytest.mark.parametrize(
    ("text", "after_ms"),
    [
        ("30", 30_000),
        ("0", 1_000),
        ("-5", 1_000),
        ("", -1),
        ("soon", -1),
        ("whenever it suits", -1),
        ("2025-08-22T08:07:40Z", 60_000),
        ("2025-08-22T10:07:40+02:00", 60_000),
        ("Fri, 22 Aug 2025 08:07:40 GMT", 60_000),
        ("Friday, 22-Aug-25 08:07:40 GMT", 60_000),
        ("Fri Aug 22 08:07:40 2025", 60_000),
        ("1999-01-01T00:00:00Z", 1_000),
    ],
)
def test_retry_after_is_seconds_or_a_moment(text: str, after_ms: int) -> None:
    assert read_retry_after(text, 1_755_850_000_000) == after_ms
