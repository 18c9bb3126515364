"""Declarations: what users type becomes a function, or an error that says where and what to do."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from headrace.errors import BadDeclaration
from headrace.expressions import compile_expression
from headrace.functions import Function, OnEvent, declare_function
from headrace.records.definitions import Backoff, EventTrigger


async def process(ctx: Any) -> None: ...


async def tell(ctx: Any, step: Any) -> None: ...


def plain(ctx: Any) -> None: ...


PROCESS_LINE = process.__code__.co_firstlineno


def declare(call: Any = process, function_id: Any = "process-order", **options: Any) -> list[Function]:
    options.setdefault("trigger", "order/created")
    return declare_function("shop", function_id, call, {k: v for k, v in options.items() if v is not None})


def refused(call: Any = process, function_id: Any = "process-order", **options: Any) -> BadDeclaration:
    with pytest.raises(BadDeclaration) as caught:
        declare(call, function_id, **options)
    error = caught.value
    assert error.code
    assert error.what
    assert error.why
    assert error.do
    return error


def test_a_function_has_its_full_id_its_defaults_and_its_place() -> None:
    (function,) = declare()
    assert function.id == "shop-process-order"
    assert function.app == "shop"
    assert function.is_async
    assert not function.takes_step
    assert function.place == f"{__file__}:{PROCESS_LINE}"
    definition = function.definition
    assert definition.id == "shop-process-order"
    assert definition.name == "process-order"
    assert definition.triggers == [EventTrigger("order/created")]
    assert (definition.retries, definition.backoff) == (3, Backoff("exponential", 1_000, 3_600_000, 0.1))


def test_async_and_plain_functions_with_one_or_two_arguments() -> None:
    assert [(f.is_async, f.takes_step) for f in (declare(tell)[0], declare(plain)[0])] == [(True, True), (False, False)]

    class Shop:
        async def process(self, ctx: Any) -> None: ...

        def __call__(self, ctx: Any, step: Any) -> None: ...

    assert declare(Shop().process)[0].is_async
    assert declare(Shop())[0].takes_step
    assert declare(functools.partial(tell, step=None))[0].takes_step is False


def test_a_decorated_function_is_named_by_its_own_line() -> None:
    @functools.wraps(process)
    async def wrapper(*args: Any) -> None: ...

    assert declare(wrapper)[0].place == f"{__file__}:{PROCESS_LINE}"


def test_on_failure_makes_a_further_function() -> None:
    function, failure = declare(on_failure=tell, name="Process an order", retries=0)
    assert failure.id == "shop-process-order-failure"
    assert failure.definition.name == "Process an order (failure)"
    (trigger,) = failure.definition.triggers
    assert trigger.event == "inngest/function.failed"
    assert trigger.expression == "event.data.function_id == 'shop-process-order'"
    matches = compile_expression(trigger.expression).matches
    assert matches({"event": {"data": {"function_id": function.id}}}, 0)
    assert not matches({"event": {"data": {"function_id": failure.id}}}, 0)
    assert failure.call is tell
    assert failure.takes_step
    assert failure.definition.retries == 3


def test_what_cannot_be_a_failure_function() -> None:
    assert "on_failure" in refused(on_failure="tell").what


@pytest.mark.parametrize("function_id", ["", "a b", "ä", "x" * 129, "-a", 7, None, "a'b", "a\n"])
def test_ids_are_refused(function_id: Any) -> None:
    error = refused(function_id=function_id)
    assert error.code == "id_invalid"
    assert error.where == f"{__file__}:{PROCESS_LINE}"


@pytest.mark.parametrize("function_id", ["a", "process-order", "v1.2_final", "9"])
def test_ids_are_taken(function_id: str) -> None:
    assert declare(function_id=function_id)[0].id == f"shop-{function_id}"


async def no_arguments() -> None: ...


async def three(ctx: Any, step: Any, more: Any) -> None: ...


async def keyword(ctx: Any, *, db: Any) -> None: ...


@pytest.mark.parametrize("call", [no_arguments, three, keyword])
def test_signatures_are_refused(call: Any) -> None:
    error = refused(call)
    assert error.code == "signature_invalid"
    assert error.where.endswith(f":{call.__code__.co_firstlineno}")


async def optional(ctx: Any, db: Any = None, *more: Any, **rest: Any) -> None: ...


def test_arguments_with_defaults_are_the_users_own() -> None:
    assert not declare(optional)[0].takes_step


def test_what_is_no_function() -> None:
    async def agen(ctx: Any) -> Any:
        yield 1

    def gen(ctx: Any) -> Any:
        yield 1

    class Klass:
        def __init__(self, ctx: Any) -> None: ...

    for call in (agen, gen, Klass, None, "process"):
        assert refused(call).code == "not_a_function"


def test_names_are_for_people() -> None:
    assert declare(name="Bestellung abwickeln ✓")[0].definition.name == "Bestellung abwickeln ✓"
    for name in ("", "x" * 257, "two\nlines", 7):
        assert refused(name=name).code == "name_invalid"


def test_triggers() -> None:
    declared = ["order/created", OnEvent("order/*", if_="event.data.total > 100"), OnEvent("a/b.*"), "order/created"]
    (function,) = declare(trigger=declared)
    assert function.definition.triggers == [
        EventTrigger("order/created"),
        EventTrigger("order/*", "event.data.total > 100"),
        EventTrigger("a/b.*"),
    ]
    assert declare(trigger=None, triggers="x")[0].definition.triggers == [EventTrigger("x")]
    assert declare_function("shop", "f", process, {"triggers": ("x",)})[0].definition.triggers == [EventTrigger("x")]


def test_a_function_needs_exactly_one_trigger_option() -> None:
    with pytest.raises(BadDeclaration) as caught:
        declare_function("shop", "f", process, {})
    assert caught.value.code == "trigger_missing"
    assert refused(triggers="x").code == "triggers_twice"
    assert refused(trigger=[]).code == "triggers_invalid"
    assert refused(trigger=["x"] * 21).code == "triggers_invalid"


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("*", "order/*"),
        ("ord*", "ord/*"),
        ("order/*/created", "order/*"),
        ("order/**", "order/*"),
        ("/*", ""),
        ("order.*x", "order/*"),
    ],
)
def test_wildcards_stand_for_the_rest_of_a_name(name: str, do: str) -> None:
    error = refused(trigger=name)
    assert error.code == "trigger_wildcard_invalid"
    assert do in error.do


@pytest.mark.parametrize("trigger", ["", "a\0b", "x" * 513, 7, None, OnEvent(7), {"event": "x"}])  # type: ignore[arg-type]
def test_triggers_are_refused(trigger: Any) -> None:
    assert refused(trigger=[trigger]).code in ("trigger_invalid", "trigger_name_invalid")


def test_expressions_are_compiled_where_they_are_declared() -> None:
    error = refused(trigger=OnEvent("x", if_="event.data.total >"))
    assert error.where == f"{__file__}:{PROCESS_LINE}"
    assert "if_" in error.what
    assert refused(trigger=OnEvent("x", if_="async.data.id == '7'")).where  # nothing arrives at a trigger
    assert refused(trigger=OnEvent("x", if_=7)).where  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "do"),
    [
        ("retires", "retries"),
        ("onFailure", "on_failure"),
        ("triger", "trigger"),
        ("event", "trigger"),
        ("max_runtime", 'timeouts=Timeouts(finish="5m")'),
        ("maxRuntime", 'timeouts=Timeouts(finish="5m")'),
        ("rateLimit", "rate_limit"),
        ("cancelOn", "cancel_on"),
        ("max_attempts", "retries"),
        ("batchEvents", "batch"),
        ("concurency", "concurrency"),
    ],
)
def test_an_unknown_option_names_the_nearest(option: str, do: str) -> None:
    error = refused(**{option: 1})
    assert error.code == "option_unknown"
    assert f"did you mean {do}?" in error.do
    assert error.where == f"{__file__}:{PROCESS_LINE}"


def test_an_option_like_no_other_is_refused_as_well() -> None:
    assert refused(zzzqqq=1).do == "remove it"


@pytest.mark.parametrize("option", ["history"])
def test_an_option_that_this_version_does_not_keep_is_refused(option: str) -> None:
    assert refused(**{option: 1}).code == "option_not_available"
