"""Code that changes while runs are in flight: what is recorded under an id stays, what is not is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headrace import App, Context
from tests.sdk_python.counted import Counted, give


def declared(body: Callable[..., Any]) -> App:
    app = App("shop")
    app.function("f", trigger="x")(body)
    return app


async def original(ctx: Context) -> Any:
    a = await ctx.step.run("a", give, "old a")
    b = await ctx.step.run("b", give, "old b")
    await ctx.step.sleep("nap", "1h")
    return [a, b]


async def with_a_step_before(ctx: Context) -> Any:
    z = await ctx.step.run("z", give, "new z")
    return [z, *await original(ctx)]


async def with_a_step_between(ctx: Context) -> Any:
    a = await ctx.step.run("a", give, "new a")
    z = await ctx.step.run("z", give, "new z")
    b = await ctx.step.run("b", give, "new b")
    await ctx.step.sleep("nap", "1h")
    return [a, z, b]


async def with_a_step_after(ctx: Context) -> Any:
    return [*await original(ctx), await ctx.step.run("z", give, "new z")]


async def without_a(ctx: Context) -> Any:
    b = await ctx.step.run("b", give, "new b")
    await ctx.step.sleep("nap", "1h")
    return [b]


async def the_other_way_round(ctx: Context) -> Any:
    b = await ctx.step.run("b", give, "new b")
    a = await ctx.step.run("a", give, "new a")
    await ctx.step.sleep("nap", "1h")
    return [b, a]


async def side_by_side(ctx: Context) -> Any:
    values = await asyncio.gather(
        ctx.step.run("b", give, "new b"), ctx.step.run("z", give, "new z"), ctx.step.run("a", give, "new a")
    )
    await ctx.step.sleep("nap", "1h")
    return values


async def with_another_id(ctx: Context) -> Any:
    a = await ctx.step.run("a-2", give, "new a")
    b = await ctx.step.run("b", give, "new b")
    await ctx.step.sleep("nap", "1h")
    return [a, b]


async def with_a_longer_nap(ctx: Context) -> Any:
    a = await ctx.step.run("a", give, "new a")
    await ctx.step.sleep("nap", "9d")
    return [a]


def plain(ctx: Any) -> Any:
    a = ctx.step.run("a", lambda: "new a")
    ctx.step.sleep("nap", "1h")
    return ["plain", a]


@pytest.mark.parametrize(
    ("edited", "output"),
    [
        (original, ["old a", "old b"]),
        (with_a_step_before, ["new z", "old a", "old b"]),
        (with_a_step_between, ["old a", "new z", "old b"]),
        (with_a_step_after, ["old a", "old b", "new z"]),
        (without_a, ["old b"]),
        (the_other_way_round, ["old b", "old a"]),
        (side_by_side, ["old b", "new z", "old a"]),
        (with_another_id, ["new a", "old b"]),
        (with_a_longer_nap, ["old a"]),
        (plain, ["plain", "old a"]),
    ],
)
@pytest.mark.parametrize("how", ["reload", "crash"])
def test_a_sleeping_run_goes_on_with_edited_code(edited: Any, output: Any, how: str) -> None:
    with declared(original).test() as t:
        t.send("x")
        t.advance("30m")
        t.reload(declared(edited))
        if how == "crash":
            t.crash()
        t.advance("30m")
        assert t.run_of("f").output == output


def test_a_step_that_runs_during_the_change_keeps_its_result() -> None:
    async def slow(value: str) -> str:
        await asyncio.sleep(10)
        return value

    def version(name: str) -> App:
        async def body(ctx: Context) -> Any:
            return [await ctx.step.run("slow", slow, name), await ctx.step.run("next", give, name)]

        return declared(body)

    with version("old").test() as t:
        t.send("x")
        t.reload(version("new"))
        t.advance(10)
        assert t.run_of("f").output == ["old", "new"]


def test_a_function_that_goes_away_and_comes_back() -> None:
    load = Counted("loaded")

    async def body(ctx: Context) -> Any:
        loaded = await ctx.step.run("load", load)
        await ctx.step.sleep("nap", "1h")
        return loaded

    app = declared(body)
    with app.test() as t:
        t.send("x")
        t.reload(App("shop"))
        t.advance("2h")
        run = t.run_of("f")
        assert (run.status, run.phase) == ("Running", "no_code")
        t.reload(app)
        t.advance(1)
        assert run.output == "loaded"
        assert load.calls == 1
