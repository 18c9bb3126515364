"""Functions that call functions, start by the clock, keep state and take too long. Goal: as a user writes them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace import App, Concurrency, Context, Cron, NonRetriableError, StepError, Timeouts


def test_a_function_invokes_another_and_gets_its_result() -> None:
    app = App("shop")

    @app.function("charge", trigger="never")
    async def charge(ctx: Context) -> dict[str, Any]:
        await ctx.step.sleep("bank", "1h")
        amount = ctx.event.data["amount"]
        if amount < 0:
            raise NonRetriableError("negative")
        return {"charged": amount}

    @app.function("order", trigger="order/created")
    async def order(ctx: Context) -> Any:
        try:
            return await ctx.step.invoke("pay", function="shop-charge", data={"amount": ctx.event.data["amount"]})
        except StepError as error:
            return [error.name, error.message, error.run_id]

    with app.test() as t:
        t.send("order/created", {"amount": 7})
        assert t.run_of("order").phase == "waiting"
        t.advance("1h")
        assert t.run_of("order").output == {"charged": 7}
        t.send("order/created", {"amount": -1})
        t.crash()
        t.advance("1h")
        assert t.run_of("order").output == ["NonRetriableError", "negative", t.run_of("charge").id]
        t.send("order/created", {"amount": 1})
        t.cancel(t.run_of("charge"), "by hand")
        assert t.run_of("order").output == ["Cancelled", "by hand", t.run_of("charge").id]


def test_many_are_invoked_and_answer_through_a_crash() -> None:
    app = App("shop")

    @app.function("square", trigger="never")
    async def square(ctx: Context) -> int:
        return int(ctx.event.data["n"]) ** 2

    @app.function("all", trigger="go")
    async def all_of_them(ctx: Context) -> list[int]:
        calls = [ctx.step.invoke(f"square-{n}", function="shop-square", data={"n": n}) for n in range(20)]
        return list(await asyncio.gather(*calls))

    with app.test() as t:
        t.send("go")
        t.crash()
        t.advance("1s")
        assert t.run_of("all").output == [n * n for n in range(20)]
        assert len(t.runs_of("square")) == 20


def test_an_invoked_function_that_takes_too_long_and_one_that_is_not_there() -> None:
    app = App("shop")

    @app.function("slow", trigger="never")
    async def slow(ctx: Context) -> None:
        await ctx.step.sleep("long", "1d")

    @app.function("order", trigger="go")
    async def order(ctx: Context) -> list[str]:
        found = []
        for function in ("shop-slow", "shop-slwo"):
            try:
                await ctx.step.invoke(f"call {function}", function=function, timeout="10m")
            except StepError as error:
                found.append(error.name)
        return found

    with app.test() as t:
        t.send("go")
        t.advance("10m")
        assert t.run_of("order").output == ["InvokeTimeout", "FunctionNotFound"]
        t.advance("1d")
        assert t.run_of("slow").status == "Completed"


def test_a_function_starts_by_the_clock() -> None:
    app = App("shop")
    seen: list[str] = []

    @app.function("nightly", trigger=Cron("0 3 * * *", timezone="Europe/Berlin"))
    async def nightly(ctx: Context) -> None:
        seen.append(ctx.event.data["scheduledAt"])

    with app.test() as t:
        t.advance("3d")
        first = datetime.fromisoformat(seen[0])
        assert [datetime.fromisoformat(at) - first for at in seen] == [timedelta(days=n) for n in range(3)]
        assert first.astimezone(UTC).minute == 0
        t.crash()
        t.advance("1d")
        assert len(t.runs_of("nightly")) == 4


def test_state_is_kept_by_key() -> None:
    app = App("shop")

    @app.function("visits", trigger="seen", concurrency=Concurrency(1, key="event.data.user"))
    async def visits(ctx: Context) -> int:
        count = (await ctx.state.get("count") or 0) + 1
        await ctx.state.set("count", count)
        return int(count)

    with app.test() as t:
        for user in ("ann", "bob", "ann", "ann"):
            t.send("seen", {"user": user})
        t.crash()
        t.send("seen", {"user": "bob"})
        assert sorted(run.output for run in t.runs_of("visits")) == [1, 1, 2, 2, 3]


def test_a_run_that_takes_too_long_is_cancelled() -> None:
    app = App("shop")

    @app.function("slow", trigger="go", timeouts=Timeouts(finish="1h"))
    async def slow(ctx: Context) -> None:
        await ctx.step.sleep("long", "1d")

    with app.test() as t:
        t.send("go")
        t.advance("59m")
        assert t.run_of("slow").status == "Running"
        t.advance("1m")
        assert t.run_of("slow").status == "Cancelled"
