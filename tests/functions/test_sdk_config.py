"""What SDKs register. Goal: each field is kept as the protocol says, and nonsense is refused in its words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.errors import BadRequest
from headrace.functions.sdk_config import Registration, app_uuid, function_uuid, read_registration
from headrace.functions.sdk_limits import RUN_LEVEL
from headrace.records.definitions import (
    Backoff,
    Batch,
    CancelOn,
    Concurrency,
    CronTrigger,
    Debounce,
    Definition,
    EventTrigger,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)

URL = "http://localhost:3000/api/inngest"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def function(**more: Any) -> dict[str, Any]:
    """Make a function as the TypeScript SDK sends it; None removes a field."""
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": f"{URL}?fnId=shop-charge&stepId=step"}}
    fields = {"id": "shop-charge", "name": "Charge", "triggers": [{"event": "cart/paid"}], "steps": {"step": step}}
    return {name: value for name, value in {**fields, **more}.items() if value is not None}


def payload(*functions: Any, **more: Any) -> bytes:
    """Make what an app sends."""
    fields = {"url": URL, "deployType": "ping", "framework": "express", "appName": "shop", "sdk": "js:v4.18.1"}
    return msgspec.json.encode({**fields, "v": "0.1", "functions": list(functions), **more})


def read(**more: Any) -> Definition:
    """Read the definition of a function with these fields."""
    (found,) = read_registration(payload(function(**more))).definitions
    return found


def refusal(body: bytes) -> BadRequest:
    """Read something that is refused."""
    with pytest.raises(BadRequest) as caught:
        read_registration(body)
    assert caught.value.status == 400
    return caught.value


def test_an_app_and_a_plain_function() -> None:
    found = read_registration(payload(function(), appVersion="abc", featureObservations={"a": 1}, modelName="x"))
    assert (found.name, found.url, found.sdk, found.framework) == ("shop", URL, "js:v4.18.1", "express")
    assert (found.version, found.method, found.notes) == ("abc", "serve", ())
    assert found.definitions == (
        Definition(
            "shop-charge",
            "shop",
            "Charge",
            [EventTrigger("cart/paid")],
            retries=4,
            backoff=Backoff("sdk"),
            kind="sdk",
            url=f"{URL}?fnId=shop-charge&stepId=step",
        ),
    )


def test_everything_at_once() -> None:
    found = read(
        triggers=[
            {"event": "cart/*", "expression": "event.data.total > 0"},
            {"cron": "TZ=Europe/Paris 0 9 * * 1", "jitter": "30s"},
        ],
        concurrency=[{"limit": 5, "key": "event.data.user", "scope": "fn"}],
        throttle={"limit": 10, "period": "1m", "burst": 2, "key": "event.data.user"},
        rateLimit={"limit": 1, "period": "1h", "key": "event.data.user"},
        debounce={"period": "10s", "timeout": "5m", "key": "event.data.user"},
        priority={"run": "event.data.vip == true ? 120 : 0"},
        singleton={"key": "event.data.user", "mode": "skip"},
        timeouts={"start": "1h", "finish": "1d12h"},
        cancel=[{"event": "cart/void", "if": "event.data.id == async.data.id", "timeout": "1d"}],
    )
    assert found.triggers == [EventTrigger("cart/*", "event.data.total > 0")]
    assert found.crons == [CronTrigger("TZ=Europe/Paris 0 9 * * 1", "", 30_000, "all")]
    assert found.concurrency == [Concurrency(5, "event.data.user")]
    assert found.throttle == Throttle(10, 60_000, 2, "event.data.user")
    assert found.rate_limit == RateLimit(1, HOUR_MS, "event.data.user")
    assert found.debounce == Debounce(10_000, "event.data.user", 300_000)
    assert found.priority == "event.data.vip == true ? 120 : 0"
    assert found.singleton == Singleton("skip", "event.data.user")
    assert found.timeouts == Timeouts(HOUR_MS, DAY_MS + 12 * HOUR_MS)
    assert found.cancel_on == [CancelOn("cart/void", "", "event.data.id == async.data.id", DAY_MS)]


def test_keys_are_read_without_regard_to_case_and_nulls_are_nothing() -> None:
    step = {"ID": "step", "Name": "step", "RUNTIME": {"type": "http", "URL": "http://a.example/x"}}
    body = {
        "appname": "shop",
        "deploy_type": "ping",
        "URL": "http://127.0.0.1:80/api/inngest",
        "sdk": "py:v0.5.18",
        "Functions": [
            {
                "ID": "shop-f",
                "NAME": "f",
                "Steps": {"step": step},
                "triggers": [{"Event": "a", "expression": None}, None],
                "batchevents": None,
                "ratelimit": {"limit": 1, "period": "1h", "key": None},
                "concurrency": None,
            }
        ],
    }
    found = read_registration(msgspec.json.encode(body))
    assert (found.name, found.url, found.method) == ("shop", "http://localhost/api/inngest", "serve")
    (definition,) = found.definitions
    assert definition.triggers == [EventTrigger("a")]
    assert definition.rate_limit == RateLimit(1, HOUR_MS)
    assert definition.concurrency == []


@pytest.mark.parametrize(
    ("step", "top", "retries"),
    [
        ({}, None, 4),
        ({"retries": {"attempts": 0}}, 7, 0),
        ({"retries": {}}, 7, 7),
        ({"retries": {"attempts": 99}}, 1, 20),
    ],
)
def test_attempts_are_retries(step: dict[str, Any], top: int | None, retries: int) -> None:
    steps = {"step": {**function()["steps"]["step"], **step}}
    assert read(steps=steps, retries=top).retries == retries


def test_a_retry_interval_holds_for_what_is_registered() -> None:
    (found,) = read_registration(payload(function()), 1_000).definitions
    assert found.backoff == Backoff("fixed", 1_000, 1_000, 0.0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (5, [Concurrency(5)]),
        (0, []),
        ({"limit": 5}, [Concurrency(5)]),
        ({"limit": 0}, []),
        ({"limit": 5, "scope": "FN"}, [Concurrency(5)]),
        ([{"limit": 5}, {"limit": 3}], [Concurrency(3)]),
        ({"limit": 2, "key": '"x"', "scope": "env"}, [Concurrency(2, '"x"', "account")]),
        (
            [{"limit": 2, "key": '"x"', "scope": "Account"}, {"limit": 9}],
            [Concurrency(2, '"x"', "account"), Concurrency(9)],
        ),
        ({"step": [{"limit": 4, "key": "event.data.a"}]}, [Concurrency(4, "event.data.a")]),
    ],
)
def test_concurrency_has_four_forms(given: Any, kept: list[Concurrency]) -> None:
    assert read(concurrency=given).concurrency == kept


def test_a_limit_on_runs_is_kept_as_one_on_what_executes_and_told() -> None:
    found = read_registration(payload(function(concurrency={"fn": [{"limit": 3, "key": "event.data.a"}]})))
    assert found.definitions[0].concurrency == [Concurrency(3, "event.data.a")]
    assert found.notes == (f"shop-charge: {RUN_LEVEL}",)


def test_idempotency_takes_the_place_of_a_rate_limit() -> None:
    found = read(idempotency="event.data.orderId", rateLimit={"limit": 9, "period": "1h"})
    assert found.rate_limit == RateLimit(1, DAY_MS, "event.data.orderId")
    assert found.idempotency is None


def test_a_batch_takes_events_in_before_they_are_counted() -> None:
    more = {"idempotency": "event.data.a", "rateLimit": {"limit": 9, "period": "1h"}}
    found = read(batchEvents={"maxSize": 50, "timeout": "1h30m", "key": "event.data.shop"}, **more)
    assert found.batch == Batch(50, 90 * 60_000, "event.data.shop")
    assert found.rate_limit is None
    found = read(batchEvents={"maxSize": 2, "timeout": "1s", "if": "event.data.bulk == true"}, **more)
    assert found.batch == Batch(2, 1_000, "", "event.data.bulk == true")
    assert found.rate_limit == RateLimit(1, DAY_MS, "event.data.a")
    assert read(batchEvents={}).batch == Batch(100, 60_000)


def test_batches_go_together_with_everything() -> None:
    found = read(
        batchEvents={"maxSize": 2, "timeout": "1s"},
        cancel=[{"event": "a"}],
        debounce={"period": "1s"},
        singleton={"mode": "cancel"},
        priority={"run": "1"},
    )
    assert found.batch is not None
    assert found.debounce is not None
    assert found.singleton == Singleton("cancel")
    assert (found.priority, found.cancel_on) == ("1", [CancelOn("a")])


def test_a_throttle_of_nothing_is_one_of_one() -> None:
    assert read(throttle={"limit": 0, "period": "1s"}).throttle == Throttle(1, 1_000)


def test_lines_of_the_clock() -> None:
    crons = read(triggers=[{"cron": "@hourly"}, {"cron": "CRON_TZ=Asia/Tokyo */5 * * * *"}]).crons
    assert [cron.line for cron in crons] == ["@hourly", "CRON_TZ=Asia/Tokyo */5 * * * *"]
    found = read_registration(payload(function(triggers=[{"cron": "0 0 31 2 *"}])))
    assert found.definitions[0].crons == []
    assert found.notes == ("shop-charge: its cron line '0 0 31 2 *' never fires",)


def test_an_app_may_have_no_functions_and_a_function_no_triggers() -> None:
    assert read_registration(payload()).definitions == ()
    assert read(triggers=None).triggers == []


def test_workers_connect() -> None:
    step = {
        "id": "step",
        "name": "step",
        "runtime": {"type": "ws", "url": "wss://connect?fnId=shop-charge&stepId=step"},
    }
    body = payload(function(steps={"step": step}), deployType="connect", url="ws://connect?app_name=shop")
    found = read_registration(body)
    assert (found.method, found.url) == ("connect", "")
    assert found.definitions[0].url == "wss://connect?fnId=shop-charge&stepId=step"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "A function name is required"),
        ({"name": None}, "A function name is required"),
        ({"id": None}, "A function ID is required"),
        ({"id": "~limits/a"}, "The function ID '~limits/a' is invalid"),
        ({"id": "a\0b"}, "The function ID"),
        ({"steps": {}}, "Functions must contain one step"),
        ({"steps": {"a": {"name": "a"}, "b": {"name": "b"}}}, "Functions must contain one step"),
        ({"steps": {"step": {"name": "step", "runtime": {}}}}, "No SDK URL provided for function 'Charge'"),
        ({"steps": {"step": {"name": "step", "runtime": {"url": "ftp://a"}}}}, "Non-supported step schema: ftp"),
        ({"steps": {"step": {"runtime": {"url": "http://a"}}}}, "All steps must have a name"),
        ({"triggers": [{"event": f"e{n}"} for n in range(11)]}, "exceeds the max number of triggers: 10"),
        ({"triggers": [{}]}, "A trigger must supply an event name or a cron schedule"),
        ({"triggers": [{"event": "a", "cron": "* * * * *"}]}, "A trigger cannot have both"),
        ({"triggers": [{"event": ""}]}, "An event trigger must specify an event name"),
        ({"triggers": [{"event": "a"}, {"event": "a"}]}, "duplicate trigger event: a"),
        ({"triggers": [{"cron": "* * * * *"}, {"cron": "* * * * *", "jitter": "1s"}]}, "duplicate cron expression"),
        ({"triggers": [{"event": "e" * 256}]}, "event name is too long. maximum length is 255 characters"),
        ({"triggers": [{"cron": "* " * 200}]}, "cron is too long. maximum length is 255 characters"),
        ({"triggers": [{"cron": "nope"}]}, "'nope' isn't a valid cron schedule"),
        ({"triggers": [{"cron": "TZ=Mars/Base 0 9 * * 1"}]}, "isn't a valid cron schedule"),
        ({"triggers": [{"cron": "* * * * *", "jitter": "500ms"}]}, "cron jitter must be at least 1s"),
        ({"triggers": [{"cron": "* * * * *", "jitter": "6m"}]}, "cron jitter must be less than or equal to 5m0s"),
        ({"triggers": [{"event": "a", "expression": "event.data.("}]}, "trigger expression on 'a' is invalid"),
        ({"concurrency": [{"limit": n, "key": f"event.data.k{n}"} for n in (1, 2, 3)]}, "allowed max of: 2"),
        ({"concurrency": {"limit": 1, "scope": "env"}}, "A concurrency key must be specified for env scoped limits"),
        ({"concurrency": {"limit": 1, "scope": "moon"}}, "Invalid concurrency scope 'moon'"),
        ({"concurrency": {"limit": 1, "key": "event.("}}, "concurrency key is invalid"),
        ({"concurrency": "many"}, "limit is 'many'"),
        ({"concurrency": {"fn": [{"limit": 0}]}}, "function concurrency limit must be > 0"),
        ({"concurrency": {"fn": [{"limit": 1}, {"limit": 2}]}}, "Only one function concurrency limit is allowed"),
        ({"concurrency": {"fn": [{"limit": 1, "scope": "app"}]}}, "app-scoped function concurrency"),
        ({"throttle": {"limit": 1, "period": "500ms"}}, "less than the min of: 1s"),
        ({"throttle": {"limit": 1, "period": "soon"}}, "The throttle period of 'soon' is invalid"),
        ({"rateLimit": {"limit": 0, "period": "1h"}}, "limit must be greater than 0"),
        ({"rateLimit": {"limit": 1}}, "period must be specified"),
        ({"rateLimit": {"limit": 1, "period": "25h"}}, "period must be less than 24h0m0s"),
        ({"rateLimit": {"limit": 1, "period": "1h", "key": "event.("}}, "key is invalid"),
        ({"debounce": {"period": "999ms"}}, "less than the min of: 1s"),
        ({"debounce": {"period": "8d"}}, "greater than the max of: 168h0m0s"),
        ({"debounce": {}}, "The debounce period of '' is invalid"),
        ({"batchEvents": {"maxSize": 1, "timeout": "1s"}}, "batch size cannot be smaller than 2: 1"),
        ({"batchEvents": {"maxSize": 2, "timeout": "1d"}}, "The batch timeout of '1d' is invalid"),
        ({"batchEvents": {"maxSize": 2, "timeout": "500ms"}}, "batch timeout should be more than 1s"),
        ({"batchEvents": {"maxSize": 2, "timeout": "1s", "if": "event.("}}, "conditional batch expression is invalid"),
        ({"priority": {"run": "event.("}}, "Priority.Run expression is invalid"),
        ({"idempotency": "event.("}, "idempotency is invalid"),
        ({"singleton": {"mode": "dance"}}, "'dance' is no singleton mode"),
        ({"timeouts": {"start": "whenever"}}, "The start timeout of 'whenever' is invalid"),
        ({"cancel": [{"event": f"e{n}"} for n in range(6)]}, "exceeds the max number of cancellation events: 5"),
        ({"cancel": [{"if": "true"}]}, "A cancellation must specify an event name"),
        ({"cancel": [{"event": "a", "if": "event.("}]}, "Cancellation expression is invalid"),
        ({"cancel": [{"event": "a", "if": "has(event.data.x)"}]}, "function calls are disallowed (uses 'has()')"),
        ({"cancel": [{"event": "a", "if": "event.data.n + 1 == async.data.n"}]}, "disallowed (uses '+')"),
        ({"cancel": [{"event": "a", "if": "event.data.s.startsWith('a')"}]}, "disallowed (uses 'startsWith()')"),
        ({"cancel": [{"event": "a", "timeout": "soon"}]}, "The cancellation timeout of 'soon' is invalid"),
        ({"steps": []}, "steps is a list"),
        ({"triggers": {"event": "a"}}, "triggers is an object"),
        ({"rateLimit": {"limit": 1.5, "period": "1h"}}, "limit is 1.5"),
    ],
)
def test_nonsense_is_refused_in_the_words_of_the_protocol(fields: dict[str, Any], said: str) -> None:
    assert said in refusal(payload(function(**fields))).what


@pytest.mark.parametrize(
    "condition",
    [
        "event.data.id == async.data.id && async.data.n > 3",
        "int(async.data.n) in [1, 2] || !(event.data['a-b'][0] != -5)",
        "async.data.ok ? true : double(event.data.x) < 1.5",
    ],
)
def test_conditions_of_cancellations_compare_combine_and_index(condition: str) -> None:
    assert read(cancel=[{"event": "a", "if": condition}]).cancel_on == [CancelOn("a", "", condition)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Invalid request"),
        (b"{", "Invalid request"),
        (b"[]", "Invalid request: it is a list"),
        (b'{"appName":"a","url":"http://a","functions":[1]}', "a function is 1"),
        (b'{"appName":7}', "appName is 7"),
        (b'{"appName":""}', "App ID required"),
        (b"{}", "App ID required"),
        (b'{"appName":"~app"}', "The app ID '~app' is invalid"),
        (b'{"appName":"a"}', "Invalid app URL ''"),
        (b'{"appName":"a","url":"ftp://a"}', "Invalid app URL"),
        (b'{"appName":"a","url":"http://a","functions":{}}', "functions is an object"),
        (b"[" * 5_000, "Invalid request"),
    ],
)
def test_a_body_that_is_no_registration_is_refused(body: bytes, said: str) -> None:
    assert said in refusal(body).what


def test_a_single_mistake_is_told_in_the_words_of_the_protocol_and_several_together() -> None:
    assert refusal(payload(function(name=""))).what == "A function name is required"
    both = refusal(payload(function(), function(name=""), function(id="shop-b", debounce={"period": "1ms"}))).what
    assert both == (
        "A function name is required; The debounce period of '1ms' is less than the min of: 1s (function shop-b)"
    )


def test_an_id_stands_for_one_function() -> None:
    assert "duplicate function ID" in refusal(payload(function(), function())).what


def test_the_checksum_is_of_what_counts() -> None:
    def checksum(body: bytes) -> str:
        found: Registration = read_registration(body)
        return found.checksum

    one = checksum(payload(function()))
    assert checksum(payload(function(), featureObservations={"seen": 3})) == one
    assert checksum(payload(function(), appVersion="2")) != one
    assert checksum(payload(function(triggers=[{"event": "other"}]))) != one


def test_ids_of_apps_and_functions_are_made_of_their_names() -> None:
    assert app_uuid("shop") == app_uuid("shop") != app_uuid("shops")
    assert function_uuid("shop-f") != app_uuid("shop-f")
