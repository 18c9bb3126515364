"""`ctx.step.map`. Goal: each item is a step of its own, so many at a time, in order, and a replay does none again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace import App, Context, NonRetriableError, StepError


class Load:
    """Counts how many work at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.calls: list[int] = []

    async def double(self, item: int) -> int:
        self.calls.append(item)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01 * (5 - item % 5))
        self.now -= 1
        if item == 13:
            raise NonRetriableError("thirteen")
        return item * 2

    def plain(self, item: int) -> int:
        self.calls.append(item)
        return item * 2


@pytest.mark.parametrize("evict", ["kept", "always"])
@pytest.mark.parametrize("parallel", [1, 3, 50])
def test_items_are_steps_and_so_many_at_a_time(parallel: int, evict: str) -> None:
    app, load = App("shop"), Load()

    @app.function("all", trigger="go")
    async def all_of_them(ctx: Context) -> Any:
        first = await ctx.step.map("double", range(12), load.double, parallel=parallel)
        second = await ctx.step.map("double", [20, 21], load.double)
        return [first, second, await ctx.step.map("none", [], load.double)]

    with app.test(evict=evict) as t:
        t.send("go")
        t.advance("1s")
        run = t.run_of("all")
        assert run.output == [[2 * n for n in range(12)], [40, 42], []]
        assert run.steps["double[11]"].output == 22
        assert run.steps["double[1]:1"].output == 42
    assert sorted(load.calls) == [*range(12), 20, 21]
    assert load.most <= max(parallel, 2)
    assert parallel == 1 or load.most > 1


@pytest.mark.parametrize("evict", ["kept", "always"])
def test_a_failure_begins_no_further_items(evict: str) -> None:
    app, load = App("shop"), Load()

    @app.function("all", trigger="go")
    async def all_of_them(ctx: Context) -> Any:
        try:
            await ctx.step.map("double", [13, *range(100, 200)], load.double, parallel=2)
        except StepError as error:
            return error.step_id

    with app.test(evict=evict) as t:
        t.send("go")
        t.advance("5s")
        assert t.run_of("all").output == "double[0]"
    assert len(load.calls) < 50


def test_plain_functions() -> None:
    app, load = App("shop"), Load()

    @app.function("all", trigger="go")
    def all_of_them(ctx: Context) -> Any:
        return [ctx.step.map("plain", [1, 2], load.plain), ctx.step.map("async", [3, 4, 5], load.double, parallel=2)]

    with app.test(evict="always") as t:
        t.send("go")
        t.advance("1s")
        assert t.run_of("all").output == [[2, 4], [6, 8, 10]]
    assert load.calls.count(1) == 1


def test_parallel_is_checked() -> None:
    app = App("shop")

    @app.function("all", trigger="go")
    async def all_of_them(ctx: Context) -> Any:
        await ctx.step.map("double", [1], str, parallel=0)

    with app.test() as t:
        t.send("go")
        error = t.run_of("all").error
        assert error is not None
        assert "parallel=0" in error.message


def test_an_attempt_that_takes_too_long_is_tried_again() -> None:
    app = App("shop")
    calls: list[int] = []

    async def slow() -> str:
        calls.append(1)
        await asyncio.sleep(0.5 if len(calls) < 3 else 0)
        return "done"

    @app.function("f", trigger="go")
    async def f(ctx: Context) -> Any:
        return await ctx.step.options(timeout="100ms").run("slow", slow)

    @app.function("thread", trigger="thread")
    async def on_a_thread(ctx: Context) -> Any:
        return await ctx.step.options(timeout="100ms").run("slow", lambda: 1)

    with app.test() as t:
        t.send("go")
        t.advance("200ms")
        run = t.run_of("f")
        assert run.steps["slow"].error is not None
        assert run.steps["slow"].error.name == "StepTimeout"
        t.advance("10s")
        assert (run.output, run.steps["slow"].attempts) == ("done", 3)
        t.send("thread")
        refused = t.run_of("thread").error
        assert refused is not None
        assert "timeout_on_thread" in refused.message
