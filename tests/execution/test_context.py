"""The context: what a function is told, and a logger that says everything once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from headrace.execution import Context
from headrace.functions import Backoff, Event, Retries, declare_function
from headrace.functions.shared import Shared
from tests.execution.declared import function
from tests.execution.partition import World

FIXED = Backoff("fixed", base="1m", max="1m", jitter=0)


async def give(value: Any) -> Any:
    return value


def test_the_event_and_the_ids() -> None:
    seen: dict[str, Any] = {}

    async def body(ctx: Context, step: Any) -> None:
        seen.update(event=ctx.event, events=ctx.events, run_id=ctx.run_id, function_id=ctx.function_id)
        assert step is ctx.step
        assert ctx.event is ctx.event

    with World([function(body)]) as world:
        world.send("order/created", {"n": 1}, id="mine", ts=1_767_225_000_000, user={"id": "u"}, v="1")
        run = world.run()
        assert seen["event"] == Event("order/created", {"n": 1}, "mine", 1_767_225_000_000, None, {"id": "u"}, "1")
        assert seen["events"] == [seen["event"]]
        assert seen["run_id"] == run.id
        assert seen["function_id"] == "shop-f"


def test_attempts_and_keys_of_the_body_and_of_its_steps() -> None:
    seen: list[tuple[str, int, str]] = []

    async def body(ctx: Context) -> None:
        def note(where: str) -> None:
            seen.append((where, ctx.attempt, ctx.idempotency_key.removeprefix(ctx.run_id)))

        async def charge() -> None:
            note("step")
            await asyncio.create_task(inner())
            if len(seen) < 4:
                raise ValueError("no")

        async def inner() -> None:
            note("inner")

        def on_a_thread() -> None:
            note("thread")

        note("body")
        await ctx.step.run("charge", charge)
        await ctx.step.run("charge", on_a_thread)
        note("body")

    with World([function(body, retries=Retries(3, FIXED))]) as world:
        world.send("order/created")
        world.advance(60)
    assert seen == [
        ("body", 0, ""),
        ("step", 0, ":0:charge"),
        ("inner", 0, ":0:charge"),
        ("step", 1, ":0:charge"),
        ("inner", 1, ":0:charge"),
        ("thread", 0, ":1:charge"),
        ("body", 0, ""),
    ]


def test_the_logger_carries_the_ids(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def body(ctx: Context) -> None:
        ctx.logger.info("hello %s", "you", extra={"more": 1})
        ctx.logger.debug("not this")

    with World([function(body)]) as world:
        world.send("order/created")
        (record,) = caplog.records
        assert record.getMessage() == "hello you"
        assert record.name == "headrace.run"
        assert vars(record)["run_id"] == world.run().id
        assert vars(record)["function_id"] == "shop-f"
        assert vars(record)["more"] == 1


def test_an_app_may_bring_its_own_logger(caplog: pytest.LogCaptureFixture) -> None:
    async def body(ctx: Context) -> None:
        ctx.logger.warning("hello")

    declared = declare_function("shop", "f", body, {"trigger": "order/created"}, Shared(logging.getLogger("shop")))
    with World(declared) as world:
        world.send("order/created")
    assert [record.name for record in caplog.records] == ["shop"]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
@pytest.mark.parametrize("evict", [False, True], ids=["kept", "evicted"])
def test_the_logger_is_silent_while_recorded_parts_are_replayed(
    caplog: pytest.LogCaptureFixture, evict: bool, plain: bool
) -> None:
    caplog.set_level(logging.INFO)

    async def body(ctx: Context) -> None:
        ctx.logger.info("begin")
        await ctx.step.run("a", give, 1)
        ctx.logger.info("after a")
        await ctx.step.sleep("nap", "1h")
        ctx.logger.info("rested")

        async def loud() -> None:
            ctx.logger.info("in b")

        await ctx.step.run("b", loud)
        ctx.logger.info("end")

    def plain_body(ctx: Any) -> None:
        ctx.logger.info("begin")
        ctx.step.run("a", give, 1)
        ctx.logger.info("after a")
        ctx.step.sleep("nap", "1h")
        ctx.logger.info("rested")
        ctx.step.run("b", lambda: ctx.logger.info("in b"))
        ctx.logger.info("end")

    with World([function(plain_body if plain else body)], evict=evict) as world:
        world.send("order/created")
        world.advance(3_601)
        assert world.run().status == "Completed"
    assert [record.getMessage() for record in caplog.records] == ["begin", "after a", "rested", "in b", "end"]
