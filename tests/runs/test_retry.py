"""How long until the next attempt. Goal: what is declared, within its bounds, and the same on every node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.records.definitions import Backoff
from headrace.records.rows import Failure
from headrace.runs.retry import RETRY_DELAY_MS_MAX, retry_delay_ms

FAILURE = Failure("ValueError", "no")


@pytest.mark.parametrize(
    ("kind", "delays"),
    [
        ("fixed", [100, 100, 100, 100, 100]),
        ("linear", [100, 200, 300, 400, 450]),
        ("exponential", [100, 200, 400, 450, 450]),
    ],
)
def test_the_three_kinds(kind: str, delays: list[int]) -> None:
    backoff = Backoff(kind, 100, 450, 0.0)
    assert [retry_delay_ms(backoff, attempt, FAILURE, "salt") for attempt in range(5)] == delays


def test_what_the_user_said_beats_the_back_off_within_a_day() -> None:
    backoff = Backoff("fixed", 100, 100, 0.5)
    assert retry_delay_ms(backoff, 0, Failure("E", "", retry_after_ms=0), "salt") == 0
    assert retry_delay_ms(backoff, 3, Failure("E", "", retry_after_ms=12_345), "salt") == 12_345
    assert retry_delay_ms(backoff, 0, Failure("E", "", retry_after_ms=1 << 60), "salt") == RETRY_DELAY_MS_MAX


@given(
    st.sampled_from(["fixed", "linear", "exponential"]),
    st.integers(1, 10_000),
    st.integers(1, 3_600_000),
    st.floats(0, 1),
    st.integers(0, 1_000),
    st.text(max_size=5),
)
def test_jitter_only_adds_up_to_its_share_and_is_the_same_every_time(
    kind: str, base_ms: int, max_ms: int, jitter: float, attempt: int, salt: str
) -> None:
    plain = retry_delay_ms(Backoff(kind, base_ms, max_ms, 0.0), attempt, FAILURE, salt)
    drawn = retry_delay_ms(Backoff(kind, base_ms, max_ms, jitter), attempt, FAILURE, salt)
    assert plain <= drawn <= plain * (1 + jitter) + 1
    assert plain <= max_ms
    assert drawn == retry_delay_ms(Backoff(kind, base_ms, max_ms, jitter), attempt, FAILURE, salt)


def test_many_that_fail_at_once_do_not_come_back_at_once() -> None:
    backoff = Backoff("fixed", 10_000, 10_000, 0.1)
    delays = {retry_delay_ms(backoff, 0, FAILURE, f"run-{number}") for number in range(100)}
    assert len(delays) > 80
