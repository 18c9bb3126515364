"""Steps: values of every kind, loops, misuse, and what a context says."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict

import pydantic
import pytest

from headrace import App, Context, DuplicateStep
from tests.sdk_python.counted import Counted, give


@dataclass
class Line:
    sku: str
    price: Decimal


class Order(pydantic.BaseModel):
    id: uuid.UUID
    lines: list[Line]
    at: datetime


class Totals(TypedDict):
    net: Decimal
    until: datetime


AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LINE = Line("a", Decimal("1.10"))
ORDER = Order(id=uuid.UUID(int=7), lines=[LINE], at=AT)


async def load_order() -> Order:
    return ORDER


async def load_lines() -> list[Line]:
    return [LINE, LINE]


def totals() -> Totals:
    return {"net": Decimal("2.20"), "until": AT}


async def picture() -> bytes:
    return bytes(range(256))


async def when() -> datetime:
    return AT


async def nothing() -> object:
    return None


async def maybe_order(there: bool) -> Order | None:
    return ORDER if there else None


async def pair() -> tuple[int, Line]:
    return 1, LINE


def test_values_come_back_as_the_callable_returned_them() -> None:
    app = App("shop")
    seen: list[Any] = []

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> None:
        values = [
            await ctx.step.run("order", load_order),
            await ctx.step.run("lines", load_lines),
            await ctx.step.run("totals", totals),
            await ctx.step.run("picture", picture),
            await ctx.step.run("when", when),
            await ctx.step.run("nothing", nothing),
            await ctx.step.run("some", maybe_order, True),
            await ctx.step.run("none", maybe_order, False),
            await ctx.step.run("pair", pair),
        ]
        await ctx.step.sleep("nap", 1)
        seen.append(values)

    with app.test() as t:
        t.send("x")
        t.advance(1)
        run = t.run_of("f")
        assert run.status == "Completed"
        assert seen == [
            [
                ORDER,
                [LINE, LINE],
                {"net": Decimal("2.20"), "until": AT},
                bytes(range(256)),
                AT,
                None,
                ORDER,
                None,
                (1, LINE),
            ]
        ]
        assert run.steps["order"].output["lines"] == [{"sku": "a", "price": "1.10"}]
        assert run.steps["picture"].output.startswith("base64:")


def test_without_an_annotation_values_are_what_json_has() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        return await ctx.step.run("untyped", give, {"order": ORDER, "pair": (1, 2), "big": 2**80})

    with app.test() as t:
        t.send("x")
        assert t.run_of("f").output == {
            "order": {
                "id": str(uuid.UUID(int=7)),
                "lines": [{"sku": "a", "price": "1.10"}],
                "at": "2026-01-02T03:04:05Z",
            },
            "pair": [1, 2],
            "big": 2**80,
        }


def test_a_function_may_return_models_and_dates() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        return [ORDER, AT, timedelta(seconds=1), b"\x00"]

    with app.test() as t:
        t.send("x")
        order, at, _, raw = t.run_of("f").output
        assert order["at"] == at == "2026-01-02T03:04:05Z"
        assert raw == "base64:AA=="


def test_a_value_that_cannot_be_recorded_fails_its_step_at_once_and_says_so() -> None:
    app = App("shop")
    opaque = Counted(object())

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> None:
        await ctx.step.run("opaque", opaque)

    with app.test() as t:
        t.send("x")
        run = t.run_of("f")
        assert run.status == "Failed"
        assert opaque.calls == 1
        assert run.error is not None
        assert "cannot be recorded" in run.error.message


class Renamed(pydantic.BaseModel):
    number: int


async def load_renamed() -> Renamed:
    return Renamed(number=1)


def test_a_record_that_no_longer_fits_the_code_says_so_and_goes_on_once_it_fits() -> None:
    def version(load: Any) -> App:
        app = App("shop")

        @app.function("f", trigger="x", retries=1)
        async def body(ctx: Context) -> Any:
            value = await ctx.step.run("load", load)
            await ctx.step.sleep("nap", "1m")
            return value

        return app

    with version(load_order).test() as t:
        t.send("x")
        t.reload(version(load_renamed))
        t.advance("1m")
        run = t.run_of("f")
        assert run.status == "Running"
        assert run.error is not None
        assert run.error.name == "ResultMismatch"
        t.reload(version(load_order))
        t.advance("1m")
        assert run.status == "Completed"


def test_a_loop_asks_for_the_same_id_again_and_again() -> None:
    app = App("shop")
    pages = Counted([1, 2], [3], [])

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        found: list[int] = []
        while page := await ctx.step.run("page", pages):
            found += page
            await ctx.step.sleep("pause", "1m")
        return found

    with app.test() as t:
        t.send("x")
        t.advance("5m")
        assert t.run_of("f").output == [1, 2, 3]
        assert pages.calls == 3
        assert list(t.run_of("f").steps) == ["page", "pause", "page:1", "pause:1", "page:2"]


def test_a_loop_of_a_thousand_steps() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> int:
        total = 0
        for n in range(200):
            total += await ctx.step.run("add", give, n)
        return total

    with app.test() as t:
        t.send("x")
        assert t.run_of("f").output == 19_900


def test_one_id_in_two_branches_at_once_fails_the_run() -> None:
    app = App("shop")
    calls = Counted(1)

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> None:
        await asyncio.gather(ctx.step.run("load", calls), ctx.step.run("load", calls))

    with app.test() as t:
        t.send("x")
        run = t.run_of("f")
        assert run.status == "Failed"
        assert run.error is not None
        assert run.error.name == DuplicateStep.__name__
        assert "do:" in run.error.message


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_a_step_inside_a_step_fails_the_run(plain: bool) -> None:
    app = App("shop")
    inner = Counted(1)

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> None:
        async def outer() -> None:
            await ctx.step.run("inner", inner)

        await ctx.step.run("outer", (lambda: outer()) if plain else outer)

    with app.test() as t:
        t.send("x")
        run = t.run_of("f")
        assert run.status == "Failed"
        assert run.error is not None
        assert run.error.name == "NestedStep"
        assert inner.calls == 0
        t.advance("1d")
        assert len(t.runs) == 1


def test_helper_functions_may_take_steps() -> None:
    app = App("shop")

    async def charge(ctx: Context, amount: int) -> str:
        await ctx.step.run("reserve", give, amount)
        return str(await ctx.step.run("book", give, f"booked {amount}"))

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        return [await charge(ctx, 1), await charge(ctx, 2)]

    with app.test() as t:
        t.send("x")
        assert t.run_of("f").output == ["booked 1", "booked 2"]


def test_what_the_context_says() -> None:
    app = App("shop")
    keys: list[str] = []

    @app.function("f", trigger="x", retries={"attempts": 2, "backoff": "fixed"})
    async def body(ctx: Context, step: Any) -> Any:
        async def charge() -> str:
            keys.append(ctx.idempotency_key)
            if ctx.attempt == 0:
                raise ValueError("once")
            return f"attempt {ctx.attempt}"

        charged = await step.run("charge", charge)
        return [charged, ctx.run_id, ctx.function_id, ctx.attempt, len(ctx.events)]

    with app.test() as t:
        t.send("x")
        t.advance("1m")
        run = t.run_of("f")
        assert run.output == ["attempt 1", run.id, "shop-f", 0, 1]
        assert len(keys) == 2
        assert len(set(keys)) == 1
        assert run.id in keys[0]


def test_sleeping_in_every_form() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> None:
        await ctx.step.sleep("text", "1h30m")
        await ctx.step.sleep("seconds", 0.25)
        await ctx.step.sleep("timedelta", timedelta(days=1))
        await ctx.step.sleep_until("moment", datetime.fromtimestamp(began / 1000 + 100_000, UTC))
        await ctx.step.sleep_until("past", "2020-01-01T00:00:00Z")

    with app.test() as t:
        began = t.now_ms
        t.send("x")
        steps = t.run_of("f").steps
        t.advance(5_399)
        assert list(steps) == ["text"]
        t.advance(1)
        assert list(t.run_of("f").steps) == ["text", "seconds"]
        t.advance(0.25)
        assert list(t.run_of("f").steps) == ["text", "seconds", "timedelta"]
        t.advance(86_400)
        assert list(t.run_of("f").steps) == ["text", "seconds", "timedelta", "moment"]
        t.advance(100_000 - 5_400 - 86_400)
        assert t.run_of("f").status == "Completed"
