"""Steps in parallel, by what asyncio has: results, failures, and the order in which code sees them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from headrace import App, Backoff, Context, Retries, StepError
from tests.sdk_python.counted import Counted, give


async def slowly(value: Any, seconds: float) -> Any:
    await asyncio.sleep(seconds)
    return value


def test_gather() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        return await asyncio.gather(*(ctx.step.run(f"item-{n}", slowly, n, 10 - n) for n in range(10)))

    with app.test() as t:
        t.send("x")
        t.advance(10)
        assert t.run_of("f").output == list(range(10))


def test_a_task_group_of_branches_with_sleeps_and_retries() -> None:
    app = App("shop")
    flaky = [Counted(ValueError("no"), n) for n in range(3)]

    @app.function("f", trigger="x", retries=Retries(1, Backoff("fixed", base="1m", jitter=0)))
    async def body(ctx: Context) -> Any:
        async def branch(n: int) -> Any:
            await ctx.step.sleep(f"nap-{n}", n * 10)
            return await ctx.step.run(f"call-{n}", flaky[n])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(branch(n)) for n in range(3)]
        return [task.result() for task in tasks]

    with app.test() as t:
        t.send("x")
        t.advance("2m")
        assert t.run_of("f").output == [0, 1, 2]
        assert [counted.calls for counted in flaky] == [2, 2, 2]


def test_one_branch_fails_and_the_others_are_recorded() -> None:
    app = App("shop")
    fine = Counted("fine")

    @app.function("f", trigger="x", retries=0)
    async def body(ctx: Context) -> Any:
        results = await asyncio.gather(
            ctx.step.run("broken", Counted(ValueError("no"))),
            ctx.step.run("fine", fine),
            return_exceptions=True,
        )
        assert isinstance(results[0], StepError)
        await ctx.step.sleep("nap", "1m")
        return results[1]

    with app.test() as t:
        t.send("x")
        t.advance("1m")
        assert t.run_of("f").output == "fine"
        assert fine.calls == 1


def test_an_uncaught_failure_in_a_branch_fails_the_run() -> None:
    app = App("shop")

    @app.function("f", trigger="x", retries=0)
    async def body(ctx: Context) -> None:
        await asyncio.gather(ctx.step.run("broken", Counted(ValueError("no"))), ctx.step.sleep("nap", "1d"))

    with app.test() as t:
        t.send("x")
        run = t.run_of("f")
        assert run.status == "Failed"
        assert run.steps["nap"].status == "Cancelled"
        t.advance("2d")
        assert run.status == "Failed"


def test_bounded_by_a_semaphore() -> None:
    app = App("shop")
    running = [0, 0]

    async def work(n: int) -> int:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(1)
        running[0] -= 1
        return n

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        free = asyncio.Semaphore(3)

        async def one(n: int) -> int:
            async with free:
                return await ctx.step.run(f"work-{n}", work, n)

        return await asyncio.gather(*(one(n) for n in range(10)))

    with app.test() as t:
        t.send("x")
        t.advance("1m")
        assert t.run_of("f").output == list(range(10))
        assert running == [0, 3]


@pytest.mark.parametrize("seed", range(5))
def test_code_shared_by_branches_sees_the_same_order_again_after_a_crash(seed: int) -> None:
    app = App("shop")
    draw = random.Random(seed)
    pauses = {f"{branch}{n}": draw.choice([0, 0, 0.1, 0.5, draw.random()]) for branch in "abc" for n in range(3)}

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        seen: list[str] = []

        async def branch(name: str) -> None:
            for n in range(3):
                seen.append(await ctx.step.run(f"{name}{n}", slowly, f"{name}{n}", pauses[f"{name}{n}"]))
                # The next step's id depends on what the other branches have done: a replay has to see the same.
                await ctx.step.run(f"mark-{len(seen)}", give, len(seen))

        await asyncio.gather(*(branch(name) for name in "abc"))
        await ctx.step.sleep("nap", "1h")
        return seen

    with app.test() as t:
        t.send("x")
        t.advance("30m")
        run = t.run_of("f")
        before = dict(run.steps)
        t.crash()
        t.advance("1h")
        assert run.status == "Completed"
        assert sorted(run.output) == sorted(pauses)
        assert list(run.steps) == list(before)  # no step was asked for under another id the second time
        assert all(step.attempts == 1 for step in run.steps.values() if step.op == "run")
