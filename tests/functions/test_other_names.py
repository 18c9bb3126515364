"""Other names. Goal: whoever comes from elsewhere, or mistypes, is told the name that there is here."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from headrace import (
    App,
    Backoff,
    Batch,
    CancelOn,
    Concurrency,
    Cron,
    Debounce,
    Idempotency,
    OnEvent,
    Priority,
    RateLimit,
    Retries,
    Singleton,
    Throttle,
    Timeouts,
)
from headrace.errors import BadDeclaration
from headrace.functions.options import AVAILABLE, LATER
from headrace.functions.other_names import ALIASES, INSTEAD

# (what is typed, what the remedy names), by where people come from.
INNGEST = [
    ("batchEvents", "batch?"), ("batch_events", "batch?"), ("rateLimit", "rate_limit?"), ("cancelOn", "cancel_on?"),
    ("cancel", "cancel_on?"), ("onFailure", "on_failure?"), ("maxRuntime", 'Timeouts(finish="5m")'),
    ("max_runtime", 'Timeouts(finish="5m")'), ("cron", "trigger=Cron("), ("timezone", "timezone="),
    ("event", "trigger?"), ("if", "OnEvent("), ("expression", "OnEvent("), ("fn_id", "the id comes first"),
    ("fnId", "the id comes first"), ("output_type", "return annotation"), ("startFrom", "start_from?"),
    ("onExhausted", "on_exhausted?"), ("logger", "App(…, logger=…)"), ("optimizeParallelism", "remove it"),
]  # fmt: skip
TEMPORAL = [
    ("execution_timeout", "finish"), ("run_timeout", "finish"), ("workflow_run_timeout", "finish"),
    ("schedule_to_close_timeout", "finish"), ("schedule_to_start_timeout", "Timeouts(start="),
    ("start_to_close_timeout", "ctx.step.options(timeout="), ("heartbeat_timeout", "ctx.step.options(timeout="),
    ("retry_policy", "retries?"), ("maximum_attempts", "retries?"), ("initial_interval", "Backoff("),
    ("cron_schedule", "Cron("), ("start_delay", "a later ts"), ("id_reuse_policy", "idempotency?"),
    ("workflow_id", "idempotency?"), ("task_queue", "each node runs all"), ("memo", "remove it"),
]  # fmt: skip
CELERY = [
    ("max_retries", "retries?"), ("autoretry_for", "retries?"), ("default_retry_delay", "Backoff("),
    ("retry_backoff", "Backoff("), ("retry_backoff_max", "Backoff("), ("retry_jitter", "Backoff("),
    ("time_limit", "finish"), ("soft_time_limit", "finish"), ("expires", "Timeouts(start="),
    ("countdown", "a later ts"), ("eta", "a later ts"), ("queue", "each node runs all"), ("bind", "remove it: ctx"),
    ("acks_late", "remove it"), ("ignore_result", "remove it"),
]  # fmt: skip
OTHERS = [
    # Trigger.dev, Hatchet, BullMQ, Restate, DBOS
    ("maxDuration", "finish"), ("concurrencyLimit", "concurrency?"), ("concurrency_limit", "concurrency?"),
    ("concurrencyKey", "Concurrency(1, key="), ("machine", "each node runs all"), ("on_events", "triggers?"),
    ("on_crons", 'Cron(["'), ("schedule_timeout", "Timeouts(start="), ("default_priority", "priority?"),
    ("attempts", "retries?"), ("backoff", "Backoff("), ("delay", "a later ts"), ("limiter", "throttle?"),
    ("jobId", "idempotency?"), ("deduplication", "idempotency?"), ("repeat", "Cron("), ("worker_concurrency", "concur"),
    ("timeout", "finish"), ("ttl", "Timeouts(start="), ("dead_letter_queue", 'on_exhausted="park"'),
    ("from_offset", "start_from?"), ("backfill", "start_from?"), ("lock", "singleton?"), ("unique", "singleton?"),
    ("catch_up", "catch_up="), ("overlap", "overlap="), ("jitter", "jitter="), ("hooks", "middleware?"),
]  # fmt: skip
SLIPS = [
    ("triger", "trigger?"), ("trigers", "triggers?"), ("retires", "retries?"), ("retry", "retries?"),
    ("concurency", "concurrency?"), ("Concurrency", "concurrency?"), ("throtle", "throttle?"),
    ("rate-limit", "rate_limit?"), ("rate_limt", "rate_limit?"), ("deboune", "debounce?"), ("batchs", "batch?"),
    ("prioritee", "priority?"), ("singelton", "singleton?"), ("idempotent", "idempotency?"),
    ("cancel_onn", "cancel_on?"), ("timeoutss", "timeouts?"), ("on_exausted", "on_exhausted?"),
    ("startfrom", "start_from?"), ("midleware", "middleware?"), ("nmae", "name?"), ("on_failiure", "on_failure?"),
    # nothing that there is: nothing is guessed
    ("description", "remove it"), ("tags", "remove it"), ("version", "remove it"), ("init", "remove it"),
    ("lifo", "remove it"), ("replay", "remove it"), ("retention", "remove it"), ("zzzqqq", "remove it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said"), INNGEST + TEMPORAL + CELERY + OTHERS + SLIPS)
def test_an_option_by_another_name(name: str, said: str) -> None:
    given: dict[str, Any] = {"trigger": "job", name: "5m"}
    with pytest.raises(BadDeclaration) as caught:
        App("shop").function("f", **given)(lambda ctx: None)
    assert caught.value.code == "option_unknown"
    assert caught.value.what == f"there is no option {name!r}"
    assert said in caught.value.do
    assert all(option in caught.value.why for option in AVAILABLE)


def test_other_names_lead_to_what_there_is_and_hide_nothing() -> None:
    assert not set(ALIASES) & {*AVAILABLE, *LATER, *INSTEAD}
    assert not set(INSTEAD) & {*AVAILABLE, *LATER}
    named = {meant.partition("=")[0] for meant in ALIASES.values()} - {"ctx.step.options(timeout"}
    assert named <= set(AVAILABLE)


# (class, what is typed beside what it needs, the field that is named)
FIELDS: list[tuple[type[Any], tuple[Any, ...], str, str]] = [
    (Concurrency, (), "max", "limit"),
    (Concurrency, (), "limt", "limit"),
    (Concurrency, (), "maxConcurrency", "limit"),
    (Concurrency, (1,), "groupBy", "key"),
    (Concurrency, (1,), "expression", "key"),
    (Concurrency, (1,), "level", "scope"),
    (Throttle, (1,), "per", "period"),
    (Throttle, (1,), "interval", "period"),
    (Throttle, (1,), "window", "period"),
    (Throttle, (), "count", "limit"),
    (Throttle, (1, "1m"), "burts", "burst"),
    (RateLimit, (1,), "duration", "period"),
    (RateLimit, (), "rate", "limit"),
    (Debounce, (), "delay", "period"),
    (Debounce, (), "wait", "period"),
    (Debounce, ("1s",), "maxWait", "timeout"),
    (Debounce, ("1s",), "maxDelay", "timeout"),
    (Batch, (), "maxSize", "max_size"),
    (Batch, (), "size", "max_size"),
    (Batch, (), "limit", "max_size"),
    (Batch, (10,), "maxWait", "timeout"),
    (Batch, (10,), "flushInterval", "timeout"),
    (Batch, (10, "1s"), "filter", "if_"),
    (Batch, (10, "1s"), "maxBytes", "max_bytes"),
    (Batch, (10, "1s"), "partitionned", "partitioned"),
    (Priority, (), "expression", "run"),
    (Priority, (), "seconds", "run"),
    (Singleton, (), "policy", "mode"),
    (Singleton, (), "strategy", "mode"),
    (Singleton, ("skip",), "groupBy", "key"),
    (Idempotency, (), "expression", "key"),
    (Idempotency, ("event.id",), "ttl", "window"),
    (Idempotency, ("event.id",), "period", "window"),
    (CancelOn, (), "name", "event"),
    (CancelOn, ("stop",), "condition", "if_"),
    (CancelOn, ("stop",), "macth", "match"),
    (Timeouts, (), "maxRuntime", "finish"),
    (Timeouts, (), "execution_timeout", "finish"),
    (Timeouts, (), "queue", "start"),
    (Timeouts, (), "ttl", "start"),
    (OnEvent, (), "event", "name"),
    (OnEvent, ("job",), "filter", "if_"),
    (OnEvent, ("job",), "expression", "if_"),
    (Cron, (), "cron", "line"),
    (Cron, (), "schedule", "line"),
    (Cron, ("@daily",), "tz", "timezone"),
    (Cron, ("@daily",), "timeZone", "timezone"),
    (Cron, ("@daily",), "catchup", "catch_up"),
    (Cron, ("@daily",), "overlapPolicy", "overlap"),
    (Retries, (), "maxAttempts", "attempts"),
    (Retries, (), "max_retries", "attempts"),
    (Retries, (), "limit", "attempts"),
    (Retries, (3,), "backof", "backoff"),
    (Backoff, (), "initialInterval", "base"),
    (Backoff, (), "min", "base"),
    (Backoff, (), "maximum_interval", "max"),
    (Backoff, (), "maxDelay", "max"),
    (Backoff, (), "strategy", "type"),
    (Backoff, (), "backoff_coefficient", "type"),
    (Backoff, (), "randomize", "jitter"),
]
_SHAPED = {
    "concurrency": Concurrency, "throttle": Throttle, "rate_limit": RateLimit, "debounce": Debounce, "batch": Batch,
    "priority": Priority, "singleton": Singleton, "idempotency": Idempotency, "cancel_on": CancelOn,
    "timeouts": Timeouts, "retries": Retries,
}  # fmt: skip


@pytest.mark.parametrize(("shape", "args", "name", "meant"), FIELDS)
def test_a_field_by_another_name(shape: type[Any], args: tuple[Any, ...], name: str, meant: str) -> None:
    with pytest.raises(BadDeclaration) as caught:
        shape(*args, **{name: "5m"})
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    error = caught.value
    assert (error.code, error.what) == ("option_unknown", f"{shape.__name__} has no {name!r}")
    assert error.do == f"did you mean {meant!r}?"
    assert error.where == f"{__file__}:{line}"
    # The same in a dict of its shape.
    for option, kind in _SHAPED.items():
        if kind is shape:
            with pytest.raises(BadDeclaration) as caught:
                App("shop").function("f", trigger="job", **{option: {name: "5m"}})(lambda ctx: None)
            assert caught.value.do == f"did you mean {meant!r}?"


def test_a_call_that_does_not_fit_says_what_is_missing() -> None:
    for make, missing in [
        (lambda: Throttle(10), "period"),  # type: ignore[call-arg]
        (lambda: Concurrency(key="event.data.id"), "limit"),  # type: ignore[call-arg]
        (lambda: Batch(10), "timeout"),  # type: ignore[call-arg]
        (lambda: CancelOn(match="data.id"), "event"),  # type: ignore[call-arg]
    ]:
        with pytest.raises(BadDeclaration) as caught:
            make()
        assert caught.value.code == "option_invalid"
        assert f"no {missing!r}" in caught.value.what
        assert f"{missing}=…" in caught.value.do
    with pytest.raises(BadDeclaration, match="cannot be made"):
        Timeouts("1s", "2s", "3s")  # type: ignore[call-arg]


def test_what_a_class_takes_can_still_be_asked() -> None:
    assert list(inspect.signature(Concurrency).parameters) == ["limit", "key", "scope"]
    assert Concurrency(1, key="event.id") == Concurrency(1, "event.id", "function")
