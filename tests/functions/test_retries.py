"""Retries: every form that users type, and what is no such form."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace.errors import BadDeclaration
from headrace.functions import Backoff, Retries
from headrace.functions.retries import read_attempts, read_retries
from headrace.records import definitions

DEFAULT = definitions.Backoff()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, (3, DEFAULT)),
        (0, (0, DEFAULT)),
        (7, (7, DEFAULT)),
        (Retries(5), (5, DEFAULT)),
        (Retries(2, "fixed"), (2, definitions.Backoff("fixed"))),
        (
            Retries(3, backoff=Backoff("exponential", base="1s", max="5m")),
            (3, definitions.Backoff("exponential", 1_000, 300_000, 0.1)),
        ),
        (
            {"attempts": 3, "backoff": {"type": "exponential", "base": "1s", "max": "5m"}},
            (3, definitions.Backoff("exponential", 1_000, 300_000, 0.1)),
        ),
        (
            {"attempts": 1, "backoff": Backoff("linear", 0.5, timedelta(seconds=2), jitter=0)},
            (1, definitions.Backoff("linear", 500, 2_000, 0.0)),
        ),
        ({}, (3, DEFAULT)),
    ],
)
def test_forms(written: Any, read: Any) -> None:
    assert read_retries(written, "") == read


@pytest.mark.parametrize(
    ("written", "code", "do"),
    [
        (-1, "retries_invalid", ""),
        (1_001, "retries_invalid", ""),
        (True, "retries_invalid", ""),
        (2.5, "retries_invalid", ""),
        ("3", "retries_invalid", ""),
        (Retries(3, backoff=7), "backoff_invalid", ""),  # type: ignore[arg-type]
        ({"atempts": 3}, "option_unknown", "attempts"),
        ({"attempts": 3, "backoff": {"kind": "x", "base": 1}}, "option_unknown", ""),
        ({"backoff": {"maximum": "5m"}}, "option_unknown", "max"),
        (Retries(3, Backoff("exponental")), "backoff_type_unknown", "exponential"),
        (Retries(3, "constant"), "backoff_type_unknown", "fixed"),
        (Retries(3, Backoff(base="9ms")), "duration_too_short", ""),
        (Retries(3, Backoff(base="1h", max="1m")), "backoff_invalid", ""),
        (Retries(3, Backoff(jitter=1.5)), "backoff_invalid", ""),
        (Retries(3, Backoff(jitter=float("nan"))), "backoff_invalid", ""),
        (Retries(3, Backoff(base="1 hour")), None, ""),
    ],
)
def test_mistakes(written: Any, code: str | None, do: str) -> None:
    with pytest.raises(BadDeclaration) as caught:
        read_retries(written, "app.py:7")
    error = caught.value
    assert error.where == "app.py:7"
    assert error.why
    assert code is None or error.code == code
    assert do in error.do


def test_numbers_alone() -> None:
    assert read_attempts(0) == 0
    with pytest.raises(BadDeclaration):
        read_attempts(None)
