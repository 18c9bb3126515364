"""What apps want, from their ops. Goal: sections 3.3 and 4 of the protocol: where values stand, and what they mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.execution.sdk.answer import Op
from headrace.execution.sdk.wishes import (
    INVOKE_TIMEOUT_MS,
    Refused,
    invoke_wish,
    signal_wish,
    sleep_wish,
    wait_wish,
)

NOW_MS = 1_755_850_000_000
DAY = 86_400_000


def op(name: str | None = None, **opts: Any) -> Op:
    return Op("X", "id", name, opts=msgspec.Raw(msgspec.json.encode(opts)))


@pytest.mark.parametrize(
    ("asked", "after_ms"),
    [
        (op("10s"), 10_000),
        (op(duration="1h30m"), 5_400_000),
        (op("1w2d3h4m5s6ms"), 604_800_000 + 2 * DAY + 3 * 3_600_000 + 245_006),
        (op("2025-08-22T08:06:50.000Z"), 10_000),
        (op("2025-08-22T10:06:50+02:00"), 10_000),
        (op("2025-08-22T08:06:50"), 10_000),
        (op("1999-01-01T00:00:00Z"), None),
        (op(""), 0),
        (op(), 0),
    ],
)
def test_a_sleep_is_a_duration_or_a_moment_in_its_options_or_name(asked: Op, after_ms: int | None) -> None:
    command: Any = sleep_wish(asked, "run", b"s", NOW_MS)
    assert command.due_ms <= NOW_MS if after_ms is None else command.due_ms == NOW_MS + after_ms


@pytest.mark.parametrize("asked", [op("367d"), op("2099-01-01T00:00:00Z")])
def test_a_sleep_beyond_a_year_fails_the_run(asked: Op) -> None:
    with pytest.raises(Refused) as refused:
        sleep_wish(asked, "run", b"s", NOW_MS)
    assert refused.value.name == "InngestErrTimeoutTooLong"


@pytest.mark.parametrize("asked", [op("soon"), op("5 parsecs long")])
def test_a_sleep_that_is_neither_fails_the_run(asked: Op) -> None:
    with pytest.raises(Refused, match="neither a duration nor a moment"):
        sleep_wish(asked, "run", b"s", NOW_MS)


def test_a_wait_names_its_event_in_its_options_or_name() -> None:
    for asked in (op("paid", timeout="1h"), op(event="paid", timeout="1h")):
        command: Any = wait_wish(asked, "run", b"s", NOW_MS)
        assert (command.waits[0].event, command.timeout_ms) == ("paid", 3_600_000)
    command = wait_wish(op("paid", timeout="2025-08-22T08:06:50Z", **{"if": "async.data.n == 1"}), "run", b"s", NOW_MS)
    assert (command.waits[0].expression, command.timeout_ms) == ("async.data.n == 1", 10_000)


def test_a_wait_without_time_left_times_out_at_once() -> None:
    for asked in (op("paid"), op("paid", timeout=""), op("paid", timeout="1999-01-01T00:00:00Z")):
        command: Any = wait_wish(asked, "run", b"s", NOW_MS)
        assert command.timeout_ms == 1


def test_a_wait_whose_expression_cannot_be_compiled_fails_the_run() -> None:
    with pytest.raises(Refused) as refused:
        wait_wish(op("paid", timeout="1h", **{"if": "async.data.n =="}), "run", b"s", NOW_MS)
    assert refused.value.name == "InvalidExpression"


def test_a_wait_for_a_signal() -> None:
    command: Any = signal_wish(op(signal="approve-7", timeout="5m"), "run", b"s", NOW_MS)
    assert (command.signal, command.timeout_ms) == ("approve-7", 300_000)
    with pytest.raises(Refused):
        signal_wish(op(timeout="5m"), "run", b"s", NOW_MS)


def test_an_invoke_has_data_and_a_time_out_of_a_year() -> None:
    command: Any = invoke_wish(op(function_id="app-f", payload={"data": {"n": 1}}), "run", b"s", NOW_MS)
    assert (command.function_id, command.data, command.timeout_ms) == ("app-f", b'{"n":1}', INVOKE_TIMEOUT_MS)
    command = invoke_wish(op(function_id="app-f", payload={}, timeout="1m"), "run", b"s", NOW_MS)
    assert (command.data, command.timeout_ms) == (b"null", 60_000)
    with pytest.raises(Refused):
        invoke_wish(Op("InvokeFunction", "id", opts=msgspec.Raw(b"[]")), "run", b"s", NOW_MS)
