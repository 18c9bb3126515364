"""Failures: what user code raises, as data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.adapters.manual_clock import EPOCH_MS, ManualClock
from headrace.errors import BadRequest
from headrace.execution.failures import MESSAGE_CHARS_MAX, STACK_CHARS_MAX, failure_of
from headrace.execution.step_calls import guarded
from headrace.functions.errors import (
    DuplicateStep,
    NonRetriableError,
    RetryAfterError,
    StepError,
)

CLOCK = ManualClock(lambda: 0.0)


def failure(error: BaseException) -> Any:
    try:
        raise error
    except BaseException as raised:
        return failure_of(raised, CLOCK)


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (ValueError("no"), True),
        (KeyError("x"), True),
        (SystemExit(3), True),
        (TimeoutError(), True),
        (NonRetriableError("no"), False),
        (StepError("load", "ValueError", "no"), False),
        (DuplicateStep("duplicate_step", "x", why="y", do="z"), False),
        (BadRequest("event_name_invalid", "x"), False),
        (ExceptionGroup("two", [ValueError("a"), NonRetriableError("b")]), False),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), True),
        (ExceptionGroup("deep", [ExceptionGroup("one", [StepError("s", "E", "m")]), KeyError("b")]), False),
    ],
)
def test_whether_trying_again_may_help(error: BaseException, retriable: bool) -> None:
    described = failure(error)
    assert described.retriable is retriable
    assert described.name == type(error).__name__
    assert described.message == str(error)
    assert described.retry_after_ms == -1


def test_a_group_with_one_member_is_that_member() -> None:
    described = failure(ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("no")]))
    assert (described.name, described.message) == ("ValueError", "no")


@pytest.mark.parametrize(
    ("after", "wait_ms"),
    [
        ("30s", 30_000),
        (2.5, 2_500),
        (timedelta(minutes=1), 60_000),
        (datetime.fromtimestamp(EPOCH_MS / 1000 + 10, UTC), 10_000),
        (datetime.fromtimestamp(EPOCH_MS / 1000 - 10, UTC), 0),
        ("soon", -1),
        (datetime(2026, 1, 1), -1),  # without a zone nobody knows when that is
    ],
)
def test_retry_after(after: Any, wait_ms: int) -> None:
    described = failure(RetryAfterError("busy", after))
    assert described.retry_after_ms == wait_ms
    assert described.retriable


def test_of_several_waits_the_longest_counts() -> None:
    group = ExceptionGroup("two", [RetryAfterError("a", "1s"), RetryAfterError("b", "1m")])
    assert failure(group).retry_after_ms == 60_000


def test_the_stack_shows_the_users_frames_and_none_of_ours() -> None:
    def theirs() -> None:
        raise ValueError("no")

    try:
        guarded(theirs, (), {})
    except ValueError as error:
        stack = failure_of(error, CLOCK).stack
    assert "in theirs" in stack
    assert "ValueError: no" in stack
    assert "execution/step_calls" not in stack


def test_causes_are_shown() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        stack = failure_of(error, CLOCK).stack
    assert stack.index("KeyError") < stack.index("ValueError: outer")


def test_everything_is_bounded_and_utf8() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 100_000 + "\ud800")

    try:
        deep(500)
    except ValueError as error:
        described = failure_of(error, CLOCK)
    assert len(described.message) <= MESSAGE_CHARS_MAX
    assert len(described.stack) <= STACK_CHARS_MAX * 2
    described.stack.encode()
    failure(ValueError("\ud800")).message.encode()


def test_an_exception_that_cannot_be_written_is_still_a_failure() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    described = failure(BrokenError())
    assert described.name == "BrokenError"
    assert "RuntimeError" in described.message
