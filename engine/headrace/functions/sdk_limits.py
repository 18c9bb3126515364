"""Flow control of functions that SDKs register, as definitions have it. Source: the SDK protocol page, 2.3 and 7.

Each reads one field of a function's configuration (see `sdk_fields`: keys in lower case, no nulls). What is said there
of an environment and of an account is one thing here: the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.functions.sdk_fields import (
    as_object,
    list_of,
    number_of,
    object_of,
    read_expression_text,
    read_go_duration_ms,
    refused,
    text_of,
)
from headrace.records.definitions import Batch, Concurrency, Debounce, RateLimit, Singleton, Throttle, Timeouts

_SECOND_MS = 1_000
_DAY_MS = 24 * 3_600_000
_DEBOUNCE_MS_MAX = 7 * _DAY_MS
_CONCURRENCY_MAX = 2
_SCOPES = {"fn": "function", "env": "account", "account": "account"}
_BATCH_SIZE_DEFAULT, _BATCH_TIMEOUT_DEFAULT = 100, "60s"
RUN_LEVEL = "its limit on runs (concurrency.fn) counts runs that execute: one that sleeps or waits makes room here"

Fields = Mapping[str, Any]


def read_concurrency(value: object, notes: list[str]) -> list[Concurrency]:
    """Read `concurrency`: a number, a limit, a list of limits, or limits on runs and on steps.

    A limit of 0 is none: the server's own default holds there. `notes` take what is kept in another way than said.
    """
    if value is None:
        return []
    if isinstance(value, dict) and (value.get("fn") or value.get("step")):
        limits = [_limit(one) for one in list_of(value, "step")] + _run_limits(list_of(value, "fn"), notes)
        _check_count(len(list_of(value, "step")))
    elif isinstance(value, dict):
        limits = [_limit(value)]
    elif isinstance(value, list):
        _check_count(len(value))
        limits = [_limit(one) for one in value]
    else:
        limits = [_limit({"limit": value})]
    least: dict[tuple[str, str], Concurrency] = {}
    for limit in limits:
        before = least.get((limit.scope, limit.key))
        if limit.limit > 0 and (before is None or limit.limit < before.limit):
            least[limit.scope, limit.key] = limit
    return list(least.values())


def _check_count(count: int) -> None:
    if count > _CONCURRENCY_MAX:
        raise refused(
            f"There are more concurrency limits specified than the allowed max of: {_CONCURRENCY_MAX}",
            f"there are {count}",
            "remove some",
        )


def _limit(value: object) -> Concurrency:
    fields = as_object(value, "concurrency")
    written = text_of(fields, "scope", "fn")
    scope = _SCOPES.get(written.lower())
    if scope is None:
        raise refused(f"Invalid concurrency scope {written[:40]!r}", f"there are: {', '.join(_SCOPES)}")
    key = read_expression_text(fields, "key", "concurrency key")
    if scope != "function" and not key:
        raise refused(
            f"A concurrency key must be specified for {written.lower()} scoped limits",
            "functions that have the same key share one limit",
            "add a key, such as '\"stripe\"' for one that all events share",
        )
    return Concurrency(number_of(fields, "limit") or 0, key, scope)


def _run_limits(values: list[Any], notes: list[str]) -> list[Concurrency]:
    if len(values) > 1:
        raise refused("Only one function concurrency limit is allowed", f"there are {len(values)}", "remove some")
    limits = []
    for value in values:
        fields = as_object(value, "concurrency.fn")
        scope = text_of(fields, "scope", "fn").lower()
        if scope == "app":
            raise refused("app-scoped function concurrency cannot be set by users")
        if scope != "fn":
            raise refused(f"invalid function concurrency scope: {scope[:40]}", "there is: fn")
        limit = number_of(fields, "limit") or 0
        if limit <= 0:
            raise refused("function concurrency limit must be > 0", f"it is {limit}")
        limits.append(Concurrency(limit, read_expression_text(fields, "key", "function concurrency key")))
        notes.append(RUN_LEVEL)
    return limits


def read_throttle(fields: Fields | None) -> Throttle | None:
    """Read `throttle`: a limit (0 is 1), a period of a second or more, a burst, a key."""
    if fields is None:
        return None
    period_ms = read_go_duration_ms(text_of(fields, "period"), "The throttle period")
    if period_ms < _SECOND_MS:
        raise refused(f"The throttle period of {text_of(fields, 'period')!r} is less than the min of: 1s")
    limit, burst = number_of(fields, "limit") or 1, number_of(fields, "burst") or 0
    if limit < 0 or burst < 0:
        raise refused(f"Invalid request: throttle has limit {limit} and burst {burst}", "neither is below 0")
    return Throttle(limit, period_ms, burst, read_expression_text(fields, "key", "throttle key"))


def read_rate_limit(fields: Fields | None) -> RateLimit | None:
    """Read `rateLimit`: a limit, a period of a day at most, a key."""
    if fields is None:
        return None
    limit = number_of(fields, "limit") or 0
    if limit <= 0:
        raise refused("limit must be greater than 0", f"the limit of rateLimit is {limit}")
    if not text_of(fields, "period"):
        raise refused("period must be specified", "rateLimit lets so many start in a period")
    period_ms = read_go_duration_ms(text_of(fields, "period"), "The rate limit period")
    if period_ms > _DAY_MS:
        raise refused("period must be less than 24h0m0s", f"the period of rateLimit is {text_of(fields, 'period')!r}")
    return RateLimit(limit, max(period_ms, 1), read_expression_text(fields, "key", "key"))


def read_idempotency(fields: Fields) -> RateLimit | None:
    """Read `idempotency`: one start for each value in a day, in place of any other rate limit."""
    key = read_expression_text(fields, "idempotency", "idempotency")
    return RateLimit(1, _DAY_MS, key) if key else None


def read_debounce(fields: Fields | None) -> Debounce | None:
    """Read `debounce`: a period of a second to a week, the longest time in all, a key."""
    if fields is None:
        return None
    period = text_of(fields, "period")
    period_ms = read_go_duration_ms(period, "The debounce period")
    if period_ms < _SECOND_MS:
        raise refused(f"The debounce period of '{period}' is less than the min of: 1s")
    if period_ms > _DEBOUNCE_MS_MAX:
        raise refused(f"The debounce period of '{period}' is greater than the max of: 168h0m0s")
    timeout = text_of(fields, "timeout")
    timeout_ms = max(read_go_duration_ms(timeout, "The debounce timeout"), _SECOND_MS) if timeout else 0
    return Debounce(period_ms, read_expression_text(fields, "key", "Debounce expression"), timeout_ms)


def read_batch(fields: Fields | None) -> Batch | None:
    """Read `batchEvents`: how many events at least, and how long to wait for them, as Go writes durations."""
    if fields is None:
        return None
    size = number_of(fields, "maxSize")
    size = _BATCH_SIZE_DEFAULT if size is None else size
    if size < 2:
        raise refused(f"batch size cannot be smaller than 2: {size}", "a batch of one event is none", "leave it out")
    timeout = text_of(fields, "timeout") or _BATCH_TIMEOUT_DEFAULT
    timeout_ms = read_go_duration_ms(timeout, "The batch timeout", days=False)
    if timeout_ms < _SECOND_MS:
        raise refused("batch timeout should be more than 1s", f"it is {timeout!r}")
    return Batch(
        size,
        timeout_ms,
        read_expression_text(fields, "key", "batch key expression"),
        read_expression_text(fields, "if", "conditional batch expression"),
    )


def read_singleton(fields: Fields | None) -> Singleton | None:
    """Read `singleton`: what becomes of a second run, and for which key."""
    if fields is None:
        return None
    mode = text_of(fields, "mode", "skip").lower()
    if mode not in ("skip", "cancel"):
        raise refused(f"{mode[:40]!r} is no singleton mode", "there are: skip, cancel")
    return Singleton(mode, read_expression_text(fields, "key", "singleton key"))


def read_timeouts(fields: Fields | None) -> Timeouts | None:
    """Read `timeouts`: how long a run may take to start, and from then on to finish."""
    if fields is None:
        return None
    start, finish = text_of(fields, "start"), text_of(fields, "finish")
    start_ms = read_go_duration_ms(start, "The start timeout") if start else 0
    finish_ms = read_go_duration_ms(finish, "The finish timeout") if finish else 0
    return Timeouts(start_ms, finish_ms) if start_ms or finish_ms else None


def read_priority(fields: Fields) -> str:
    """Read `priority.run`: seconds, as an expression."""
    given = object_of(fields, "priority")
    return "" if given is None else read_expression_text(given, "run", "Priority.Run expression")
