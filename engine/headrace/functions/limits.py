"""Limits: how many runs at once, and how many in a time."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.functions.reading import (
    Duration,
    invalid,
    read_choice,
    read_count,
    read_duration_ms,
    read_expression,
    read_shape,
    several,
)
from headrace.functions.shapes import option_shape
from headrace.records import definitions

CONCURRENCY_MAX = 5
SCOPES = ("function", "app", "account")
_SCOPE_ALIASES = {"fn": "function", "env": "account", "environment": "account", "global": "account"}


@option_shape
@dataclass(frozen=True, slots=True)
class Concurrency:
    """Have at most `limit` runs execute at once; those that sleep or wait do not count.

    With a `key` (CEL over `event`) the limit holds for each of its values. `scope` is "function", "app" (all functions
    of the app with this key) or "account" (all functions of the cluster with this key).
    """

    limit: int
    key: str | None = None
    scope: str = "function"


@option_shape
@dataclass(frozen=True, slots=True)
class Throttle:
    """Start at most `limit` runs in `period`, and `burst` more at once; what is too much waits its turn."""

    limit: int
    period: Duration
    burst: int = 0
    key: str | None = None


@option_shape
@dataclass(frozen=True, slots=True)
class RateLimit:
    """Start at most `limit` runs in `period`; what is too much is dropped, with a verdict that can be looked up."""

    limit: int
    period: Duration
    key: str | None = None


def read_concurrency(value: object, where: str) -> list[definitions.Concurrency]:
    """Read the option `concurrency`: a number, a `Concurrency`, or a list of these."""
    read: list[definitions.Concurrency] = []
    for one in several(value, "concurrency", CONCURRENCY_MAX, where):
        given = read_shape(one, Concurrency, "concurrency", where, "concurrency=10", short="limit")
        gate = definitions.Concurrency(
            read_count(given.limit, "concurrency.limit", where),
            read_expression(given.key, "concurrency.key", where),
            read_choice(given.scope, SCOPES, "concurrency.scope", where, _SCOPE_ALIASES),
        )
        for other in read:
            if (other.key, other.scope) == (gate.key, gate.scope):
                raise invalid(
                    f"concurrency has two limits of the scope {gate.scope!r} with the key {gate.key!r}: "
                    f"{other.limit} and {gate.limit}",
                    "only the smaller one would count",
                    "keep one of them, or give them different keys",
                    where,
                )
        read.append(gate)
    return read


def read_throttle(value: object, where: str) -> definitions.Throttle:
    """Read the option `throttle`: a `Throttle`, or a dict of its shape."""
    given = read_shape(value, Throttle, "throttle", where, 'throttle=Throttle(10, "1m")')
    return definitions.Throttle(
        read_count(given.limit, "throttle.limit", where),
        read_duration_ms(given.period, "throttle.period", where),
        read_count(given.burst, "throttle.burst", where, least=0),
        read_expression(given.key, "throttle.key", where),
    )


def read_rate_limit(value: object, where: str) -> definitions.RateLimit:
    """Read the option `rate_limit`: a `RateLimit`, or a dict of its shape."""
    given = read_shape(value, RateLimit, "rate_limit", where, 'rate_limit=RateLimit(10, "1m")')
    return definitions.RateLimit(
        read_count(given.limit, "rate_limit.limit", where),
        read_duration_ms(given.period, "rate_limit.period", where),
        read_expression(given.key, "rate_limit.key", where),
    )
