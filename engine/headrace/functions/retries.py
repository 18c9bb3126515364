"""Retries: how often, and how long between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headrace.errors import BadDeclaration
from headrace.expressions.durations import format_duration, parse_duration_ms
from headrace.functions.mistakes import nearest
from headrace.functions.shapes import option_shape, read_fields
from headrace.records import definitions

Duration = str | int | float | timedelta

RETRIES_MAX = 1_000
DELAY_MS_MIN = 10
TYPES = ("exponential", "linear", "fixed")
_TYPE_ALIASES = {"constant": "fixed", "const": "fixed", "exp": "exponential"}


@option_shape
@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next attempt.

    `type` is "exponential" (base, 2 base, 4 base …), "linear" (base, 2 base, 3 base …) or "fixed"; no wait is longer
    than `max`; `jitter` adds up to this share of the wait (0.1: 10 %), so that many failures do not come back at once.
    """

    type: str = "exponential"
    base: Duration = "1s"
    max: Duration = "1h"
    jitter: float = 0.1


@option_shape
@dataclass(frozen=True, slots=True)
class Retries:
    """How often a step or a function is tried again after its first attempt fails: 3 retries are 4 attempts."""

    attempts: int = 3
    backoff: Backoff | Mapping[str, Any] | str = Backoff()


def read_retries(value: object, where: str) -> tuple[int, definitions.Backoff]:
    """Read the option `retries`: a number, `Retries`, or a dict of its shape."""
    if value is None:
        value = Retries()
    if isinstance(value, Mapping):
        value = Retries(**read_fields(Retries, "retries", value, where))
    if isinstance(value, Retries):
        return read_attempts(value.attempts, where), _read_backoff(value.backoff, where)
    return read_attempts(value, where), _read_backoff(Backoff(), where)


def read_attempts(value: object, where: str = "") -> int:
    """Read a number of retries: a whole number from 0 to 1000."""
    if type(value) is int and 0 <= value <= RETRIES_MAX:
        return value
    raise BadDeclaration(
        "retries_invalid",
        f"retries is {value!r}",
        why=f"retries are the attempts after the first, a whole number from 0 to {RETRIES_MAX}",
        do='write retries=3, or retries=Retries(3, backoff=Backoff("exponential", base="1s", max="5m"))',
        where=where,
    )


def _read_backoff(value: object, where: str) -> definitions.Backoff:
    if isinstance(value, str):
        value = Backoff(value)
    if isinstance(value, Mapping):
        value = Backoff(**read_fields(Backoff, "backoff", value, where))
    if not isinstance(value, Backoff):
        raise BadDeclaration(
            "backoff_invalid",
            f"backoff is {value!r}",
            why="a back-off has a type, a base, a max and a jitter",
            do='write backoff=Backoff("exponential", base="1s", max="5m")',
            where=where,
        )
    if value.type not in TYPES:
        meant = nearest(str(value.type), TYPES, _TYPE_ALIASES)
        raise BadDeclaration(
            "backoff_type_unknown",
            f"the back-off's type is {value.type!r}",
            why=f"there are: {', '.join(TYPES)}",
            do=f"did you mean {meant!r}?" if meant else 'write type="exponential"',
            where=where,
        )
    base_ms = _delay_ms(value.base, "backoff.base", where)
    max_ms = _delay_ms(value.max, "backoff.max", where)
    if max_ms < base_ms:
        raise BadDeclaration(
            "backoff_invalid",
            f"the back-off starts at {format_duration(base_ms)} and is at most {format_duration(max_ms)}",
            why="base is the first wait, max the longest",
            do="make max as long as base, or longer",
            where=where,
        )
    return definitions.Backoff(value.type, base_ms, max_ms, _read_jitter(value.jitter, where))


def _delay_ms(value: Duration, option: str, where: str) -> int:
    try:
        delay_ms = parse_duration_ms(value, option=option)
    except BadDeclaration as error:
        raise BadDeclaration(error.code, error.what, why=error.why, do=error.do, where=where) from None
    if delay_ms < DELAY_MS_MIN:
        raise BadDeclaration(
            "duration_too_short",
            f"{option} is {value!r}",
            why=f"a wait has at least {DELAY_MS_MIN} milliseconds",
            do=f'write {option}="1s"',
            where=where,
        )
    return delay_ms


def _read_jitter(value: object, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1:
        return float(value)
    raise BadDeclaration(
        "backoff_invalid",
        f"backoff.jitter is {value!r}",
        why="the jitter is a share of the wait, from 0 to 1",
        do="write jitter=0.1 for up to 10 % more",
        where=where,
    )
