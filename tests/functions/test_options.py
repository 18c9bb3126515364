"""Options. Goal: each one, in every form people type, becomes what partitions keep to, or is refused with a remedy."""

from __future__ import annotations

import itertools
from datetime import timedelta
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
from headrace.expressions import parse_duration_ms
from headrace.functions import declare_function
from headrace.functions.options import AVAILABLE, LATER
from headrace.records import definitions
from headrace.records.definitions import Definition, decode_definition, encode_definition

USER = "event.data.userId"


async def process(ctx: Any) -> None: ...


PLACE = f"{__file__}:{process.__code__.co_firstlineno}"


def declare(**options: Any) -> Definition:
    options.setdefault("trigger", "order/created")
    return declare_function("shop", "f", process, options)[0].definition


def refused(**options: Any) -> BadDeclaration:
    with pytest.raises(BadDeclaration) as caught:
        declare(**options)
    error = caught.value
    assert error.where == PLACE
    assert error.code
    assert error.what
    assert error.why
    assert error.do
    return error


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("concurrency", 10, [definitions.Concurrency(10)]),
    ("concurrency", Concurrency(10, key=USER), [definitions.Concurrency(10, USER)]),
    ("concurrency", {"limit": 2, "scope": "app"}, [definitions.Concurrency(2, "", "app")]),
    (
        "concurrency",
        [5, Concurrency(1, key=USER), Concurrency(9, key="'openai'", scope="account")],
        [
            definitions.Concurrency(5),
            definitions.Concurrency(1, USER),
            definitions.Concurrency(9, "'openai'", "account"),
        ],
    ),
    ("throttle", Throttle(10, "1m"), definitions.Throttle(10, 60_000)),
    ("throttle", {"limit": 1, "period": 0.5, "burst": 3, "key": USER}, definitions.Throttle(1, 500, 3, USER)),
    ("rate_limit", RateLimit(5, timedelta(hours=1), USER), definitions.RateLimit(5, 3_600_000, USER)),
    ("rate_limit", {"limit": 1, "period": "10ms"}, definitions.RateLimit(1, 10)),
    ("debounce", "5s", definitions.Debounce(5_000)),
    ("debounce", 5, definitions.Debounce(5_000)),
    ("debounce", Debounce("5s", key=USER, timeout="1m"), definitions.Debounce(5_000, USER, 60_000)),
    ("batch", Batch(100, "10ms"), definitions.Batch(100, 10)),
    (
        "batch",
        {"max_size": 10_000, "timeout": "1s", "key": USER, "if": "event.data.bulk", "max_bytes": 1 << 20},
        definitions.Batch(10_000, 1_000, USER, "event.data.bulk", 1 << 20),
    ),
    ("batch", Batch(1_000, "1s", partitioned=True), definitions.Batch(1_000, 1_000, partitioned=True)),
    ("priority", "event.data.vip ? 120 : 0", "event.data.vip ? 120 : 0"),
    ("priority", Priority("event.data.rank"), "event.data.rank"),
    ("priority", {"run": "event.data.rank"}, "event.data.rank"),
    ("singleton", "skip", definitions.Singleton("skip")),
    ("singleton", Singleton("cancel", key=USER), definitions.Singleton("cancel", USER)),
    ("idempotency", "event.id", definitions.Idempotency("event.id")),
    ("idempotency", Idempotency("event.id", "1h"), definitions.Idempotency("event.id", 3_600_000)),
    ("cancel_on", "order/cancelled", [definitions.CancelOn("order/cancelled")]),
    (
        "cancel_on",
        ["a", CancelOn("b", match="data.orderId", timeout="1d"), {"event": "c", "if_": "async.data.all == true"}, "a"],
        [
            definitions.CancelOn("a"),
            definitions.CancelOn("b", "data.orderId", "", 86_400_000),
            definitions.CancelOn("c", "", "async.data.all == true"),
        ],
    ),
    ("timeouts", Timeouts(start="10s", finish="1h"), definitions.Timeouts(10_000, 3_600_000)),
    ("timeouts", {"finish": 5}, definitions.Timeouts(0, 5_000)),
    ("on_exhausted", "park", "park"),
    ("on_exhausted", "fail", "fail"),
    ("start_from", "30d", "30d"),
    ("start_from", timedelta(hours=36), "1d12h"),
    ("start_from", 0, "0"),
    ("start_from", 4_711, "4711"),
]


@pytest.mark.parametrize(("option", "value", "expected"), ACCEPTED)
def test_an_option_becomes_what_the_definition_holds(option: str, value: Any, expected: Any) -> None:
    definition = declare(**{option: value})
    assert getattr(definition, option) == expected
    assert decode_definition(encode_definition(definition)) == definition
    assert definition == msgspec_replace(declare(), option, expected), "it changes nothing else"


def msgspec_replace(definition: Definition, option: str, value: Any) -> Definition:
    import msgspec

    return msgspec.structs.replace(definition, **{option: value})


def test_an_option_that_is_none_is_left_out() -> None:
    options = {option: None for option in AVAILABLE if option not in ("trigger", "triggers", "name")}
    assert declare(**options) == declare()


# What is typed wrong, and what the answer has to say.
REFUSED: list[tuple[str, Any, str]] = [
    ("concurrency", 0, "limit=10"),
    ("concurrency", -1, "1"),
    ("concurrency", True, "concurrency=10"),
    ("concurrency", 1.5, "limit=10"),
    ("concurrency", "10", "limit=10"),
    ("concurrency", [], "1 to 5"),
    ("concurrency", [1, 2, 3, 4, 5, 6], "1 to 5"),
    ("concurrency", [1, 2], "smaller"),
    ("concurrency", [Concurrency(1, key=USER), Concurrency(2, key=USER)], "smaller"),
    ("concurrency", Concurrency(1, scope="fn"), "'function'"),
    ("concurrency", Concurrency(1, scope="env"), "'account'"),
    ("concurrency", Concurrency(1, key="event.data."), "event.data"),
    ("concurrency", Concurrency(1, key="async.data.x"), "event"),
    ("concurrency", Concurrency(1, key=""), "leave concurrency.key out"),
    ("concurrency", {"limt": 1}, "'limit'"),
    ("concurrency", {"key": USER}, "concurrency=10"),
    ("throttle", 10, 'Throttle(10, "1m")'),
    ("throttle", {"limit": 10}, "period"),
    ("throttle", Throttle(10, "1"), "period"),
    ("throttle", Throttle(10, "9ms"), "at least 10ms"),
    ("throttle", Throttle(10, "11y"), "period"),
    ("throttle", Throttle(10, "1m", burst=-1), "burst"),
    ("throttle", {"count": 1, "period": "1m"}, "limit"),
    ("rate_limit", RateLimit(0, "1m"), "limit"),
    ("rate_limit", RateLimit(5, None), "period"),  # type: ignore[arg-type]
    ("rate_limit", "5/1m", 'RateLimit(10, "1m")'),
    ("debounce", "soon", "debounce.period"),
    ("debounce", Debounce("1m", timeout="10s"), "longer"),
    ("debounce", {"periode": "1s"}, "'period'"),
    ("debounce", Debounce("1s", key=7), "key"),  # type: ignore[arg-type]
    ("batch", 100, 'Batch(100, "5s")'),
    ("batch", Batch(0, "1s"), "max_size"),
    ("batch", Batch(10_001, "1s"), "10000"),
    ("batch", Batch(10, "5ms"), "10ms"),
    ("batch", Batch(10, "1s", max_bytes=10), "1024"),
    ("batch", Batch(10, "1s", partitioned=1), "True or False"),  # type: ignore[arg-type]
    ("batch", Batch(10, "1s", key=USER, partitioned=True), "whatever the key"),
    ("batch", {"size": 10, "timeout": "1s"}, "'max_size'"),
    ("batch", {"maxSize": 10, "timeout": "1s"}, "'max_size'"),
    ("batch", {"max_size": 10}, "timeout"),
    ("batch", Batch(10, "1s", if_="event.data.x >"), "event.data.x"),
    ("priority", 100, "same for all runs"),
    ("priority", "event.data.vip ?", "event.data.vip"),
    ("priority", {"run": None}, "priority="),
    ("singleton", "replace", "'cancel'"),
    ("singleton", "Skip", "'skip'"),
    ("singleton", True, 'singleton="skip"'),
    ("singleton", {"key": USER}, 'singleton="skip"'),
    ("idempotency", "", "leave idempotency.key out"),
    ("idempotency", "event.idd ==", "event.idd"),
    ("idempotency", Idempotency("event.id", "0s"), "at least 10ms"),
    ("idempotency", {"key": "event.id", "ttl": "1h"}, "'window'"),
    ("cancel_on", [], "1 to 10"),
    ("cancel_on", "order/*", "no wildcards"),
    ("cancel_on", CancelOn("a", match="event.data.id"), "data.id"),
    ("cancel_on", CancelOn("a", match="data.id", if_="true"), "no match"),
    ("cancel_on", CancelOn("a", if_="asink.data.id == 1"), "async"),
    ("cancel_on", CancelOn("a", timeout="soon"), "timeout"),
    ("cancel_on", CancelOn(7), "text"),  # type: ignore[arg-type]
    ("cancel_on", {"name": "a"}, "event"),
    ("timeouts", "1h", "Timeouts(finish="),
    ("timeouts", Timeouts(), "Timeouts(finish="),
    ("timeouts", Timeouts(finish="5"), "finish"),
    ("timeouts", {"end": "1h"}, "start, finish"),
    ("on_exhausted", "parked", "'park'"),
    ("on_exhausted", "pause", "'park'"),
    ("on_exhausted", True, "on_exhausted="),
    ("start_from", -1, "start_from=0"),
    ("start_from", "100", "start_from=100"),
    ("start_from", "yesterday", "start_from"),
    ("start_from", 1.5, "units"),
]


@pytest.mark.parametrize(("option", "value", "said"), REFUSED)
def test_a_mistake_is_answered_with_its_place_and_a_remedy(option: str, value: Any, said: str) -> None:
    assert said in str(refused(**{option: value}))


# Every duration of an option: how it is given, and its bounds. Others than these have no bounds of their own.
DURATIONS: list[tuple[str, Any, str, str]] = [
    ("throttle", lambda d: Throttle(1, d), "10ms", "3660d"),
    ("rate_limit", lambda d: RateLimit(1, d), "10ms", "3660d"),
    ("debounce", lambda d: Debounce(d), "10ms", "3660d"),
    ("debounce", lambda d: Debounce("10ms", timeout=d), "10ms", "3660d"),
    ("batch", lambda d: Batch(10, d), "10ms", "3660d"),
    ("idempotency", lambda d: Idempotency("event.id", d), "10ms", "3660d"),
    ("cancel_on", lambda d: CancelOn("x", timeout=d), "10ms", "3660d"),
    ("timeouts", lambda d: Timeouts(start=d), "10ms", "3660d"),
    ("timeouts", lambda d: Timeouts(finish=d), "10ms", "3660d"),
    ("start_from", lambda d: d, "10ms", "3660d"),
    ("triggers", lambda d: Cron("@daily", jitter=d), "0s", "1d"),
    ("retries", lambda d: Retries(1, Backoff(base=d, max="36525d")), "10ms", "36525d"),
]


@pytest.mark.parametrize(("option", "make", "least", "most"), DURATIONS)
def test_every_duration_has_its_bounds(option: str, make: Any, least: str, most: str) -> None:
    def given(value: Any) -> dict[str, Any]:
        return {option: make(value)} | ({"trigger": None} if option == "triggers" else {})

    least_ms, most_ms = parse_duration_ms(least), parse_duration_ms(most)
    seconds = [] if option == "start_from" else [max(least_ms, 20) / 1000]  # there a number is an offset
    for value in (least, most, timedelta(milliseconds=least_ms), "1h30m", *seconds):
        declare(**given(value))
    outside = [f"{most_ms + 1}ms", "-1s", "soon", "30", float("nan"), True]
    for value in [*outside, *([f"{least_ms - 1}ms"] if least_ms else [])]:
        refused(**given(value))


CRONS: list[tuple[Any, list[definitions.CronTrigger]]] = [
    (Cron("0 9 * * *"), [definitions.CronTrigger("0 9 * * *")]),
    (Cron("TZ=Asia/Tokyo  0 9 * * *"), [definitions.CronTrigger("0 9 * * *", "Asia/Tokyo")]),
    (
        Cron(["0 9 * * *", "0 17 * * *"], timezone="Europe/Berlin", jitter="30s", overlap="queue", catch_up="all"),
        [
            definitions.CronTrigger("0 9 * * *", "Europe/Berlin", 30_000, "queue", "all"),
            definitions.CronTrigger("0 17 * * *", "Europe/Berlin", 30_000, "queue", "all"),
        ],
    ),
    (Cron("@daily"), [definitions.CronTrigger("@daily")]),
    ([Cron("*/5 * * * MON-FRI"), "order/created"], [definitions.CronTrigger("*/5 * * * MON-FRI")]),
]


@pytest.mark.parametrize(("trigger", "crons"), CRONS)
def test_cron_triggers(trigger: Any, crons: list[definitions.CronTrigger]) -> None:
    definition = declare(trigger=trigger)
    assert definition.crons == crons
    assert [t.event for t in definition.triggers] == (["order/created"] if isinstance(trigger, list) else [])


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        (Cron("0 9 * *"), "it has 4 fields"),
        (Cron("0 0 9 * * *"), "it has 6 fields; seconds"),
        (Cron("0 25 * * *"), "cron_invalid"),
        (Cron("0 0 30 2 *"), "cron_invalid"),
        (Cron("@often"), "cron_invalid"),
        (Cron(""), "cron_invalid"),
        (Cron(7), "five fields"),  # type: ignore[arg-type]
        (Cron([]), "no line"),
        (Cron("0 9 * * *", timezone="Berlin"), "'Europe/Berlin'"),
        (Cron("0 9 * * *", timezone="Europe/Berlln"), "'Europe/Berlin'"),
        (Cron("TZ=Mars/Base 0 9 * * *"), "IANA"),
        (Cron("TZ=UTC 0 9 * * *", timezone="Asia/Tokyo"), "one time zone"),
        (Cron("0 9 * * *", jitter="25h"), "at most 1d"),
        (Cron("0 9 * * *", overlap="cancel"), "'cancel-running'"),
        (Cron("0 9 * * *", catch_up="latest"), "'last'"),
        ("0 9 * * *", "Cron('0 9 * * *')"),
        ("*/5 * * * *", "Cron('*/5 * * * *')"),
        ([Cron("0 9 * * *"), Cron("0 9 * * *", jitter="1m")], "same time"),
        ([Cron([f"{minute} * * * *" for minute in range(21)])], "1 to 20"),
    ],
)
def test_crons_are_refused_with_a_remedy(trigger: Any, said: str) -> None:
    assert said in str(refused(trigger=trigger))


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("max_runtime", 'timeouts=Timeouts(finish="5m")'),
        ("maxRuntime", 'timeouts=Timeouts(finish="5m")'),
        ("timeout", 'timeouts=Timeouts(finish="5m")'),
        ("startTimeout", 'timeouts=Timeouts(start="5m")'),
        ("cron", "trigger=Cron("),
        ("timezone", "timezone="),
        ("rateLimit", "rate_limit"),
        ("cancelOn", "cancel_on"),
        ("idempotencyKey", "idempotency"),
        ("throtle", "throttle"),
        ("deboune", "debounce"),
        ("batchEvents", "batch"),
        ("singelton", "singleton"),
        ("onExhausted", "on_exhausted"),
        ("startFrom", "start_from"),
    ],
)
def test_other_names_lead_to_the_right_option(option: str, meant: str) -> None:
    error = refused(**{option: "5m"})
    assert error.code == "option_unknown"
    assert meant in error.do


# One value of each option; `with` whatever else.
PAIRED: dict[str, Any] = {
    "name": "F",
    "triggers": [OnEvent("order/*", if_="event.data.total > 1"), Cron("0 9 * * *")],
    "retries": 0,
    "on_failure": process,
    "concurrency": [3, Concurrency(1, key=USER)],
    "throttle": Throttle(10, "1m", key=USER),
    "rate_limit": RateLimit(10, "1m", key=USER),
    "debounce": Debounce("5s", key=USER),
    "batch": Batch(10, "5s", key=USER),
    "priority": "event.data.rank",
    "singleton": Singleton("cancel", key=USER),
    "idempotency": "event.id",
    "cancel_on": CancelOn("order/cancelled", match="data.orderId"),
    "timeouts": Timeouts(start="1m", finish="1h"),
    "on_exhausted": "park",
    "start_from": "1d",
    "middleware": [],
}


def test_every_option_is_paired() -> None:
    assert set(PAIRED) | {"trigger"} == set(AVAILABLE)
    assert not set(LATER) & set(AVAILABLE)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(PAIRED, 2)))
def test_every_pair_of_options_is_taken_and_each_keeps_its_meaning(one: str, other: str) -> None:
    options = {one: PAIRED[one], other: PAIRED[other]}
    if "triggers" not in options:
        options["triggers"] = "order/created"
    both = declare_function("shop", "f", process, options)[0].definition
    for option in (one, other):
        alone = declare_function("shop", "f", process, {"triggers": "order/created", option: PAIRED[option]})[0]
        for field in {"triggers": ("triggers", "crons"), "on_failure": (), "middleware": ()}.get(option, (option,)):
            assert getattr(both, field) == getattr(alone.definition, field)


def test_the_pairs_that_contradict_each_other_say_why() -> None:
    assert "the function takes none" in str(refused(trigger=Cron("0 9 * * *"), start_from="1d"))
    assert "another name for the same" in str(refused(trigger="a", triggers="b"))


def test_an_app_hands_every_option_on() -> None:
    app = App("shop")
    options = {option: value for option, value in PAIRED.items() if option not in ("on_failure", "middleware")}
    app.function("f", **options)(process)
    assert app.functions["shop-f"].definition == declare_function("shop", "f", process, options)[0].definition
