"""Waiting for events, signals and other functions, as user code does it on the real engine in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from headrace import App, Context, NonRetriableError, StepError, Wait
from headrace.errors import BadDeclaration


@dataclass
class Invoice:
    number: int
    lines: list[str]


@pytest.fixture(params=["kept", "always"])
def evict(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def payments(plain: bool = False) -> App:
    app = App("shop")

    def told(paid: Any) -> Any:
        return {
            "paid": bool(paid),
            "timed_out": paid.timed_out,
            "event": None if paid.event is None else [paid.event.name, paid.event.data],
        }

    if plain:

        @app.function("order", trigger="order/created")
        def order(ctx: Context) -> Any:
            return told(ctx.step.wait_for_event("payment", "payment/done", match="data.orderId", timeout="1d"))
    else:

        @app.function("order", trigger="order/created")
        async def order(ctx: Context) -> Any:
            return told(await ctx.step.wait_for_event("payment", "payment/done", match="data.orderId", timeout="1d"))

    return app


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_an_event_that_matches_ends_the_wait_and_no_other(evict: str, plain: bool) -> None:
    with payments(plain).test(evict=evict) as t:
        t.send("order/created", {"orderId": "a"})
        t.send("order/created", {"orderId": "b"})
        first, second = t.runs_of("order")
        assert (first.status, first.phase) == ("Running", "waiting")
        t.send("payment/done", {"orderId": "b", "amount": 5})
        assert first.status == "Running"
        assert second.output == {
            "paid": True,
            "timed_out": False,
            "event": ["payment/done", {"orderId": "b", "amount": 5}],
        }
        t.advance("23h")
        assert first.status == "Running"
        t.advance("2h")
        assert first.output == {"paid": False, "timed_out": True, "event": None}


def test_nothing_of_a_run_that_waits_is_kept_busy_and_a_crash_loses_nothing() -> None:
    with payments().test(evict="kept") as t:
        t.send("order/created", {"orderId": "a"})
        assert t.member.execution.busy == 0
        t.crash()
        assert t.member.execution.live == 0, "a new owner need not start the code of a run that waits"
        t.send("payment/done", {"orderId": "a"})
        assert t.run_of("order").output["paid"] is True


def test_the_first_of_several_events_counts(evict: str) -> None:
    app = App("shop")

    @app.function("order", trigger="order/created")
    async def order(ctx: Context) -> Any:
        found = await ctx.step.wait_any(
            "end",
            [Wait("payment/done", match="data.orderId"), Wait("order/cancelled", if_="async.data.all == true"), "x"],
            timeout="1h",
        )
        return [found.index, None if found.event is None else found.event.name, bool(found)]

    with app.test(evict=evict) as t:
        t.send("order/created", {"orderId": "a"})
        t.send("order/cancelled", {"all": False})
        t.send("payment/done", {"orderId": "b"})
        assert t.run_of("order").status == "Running"
        t.send("order/cancelled", {"all": True})
        assert t.run_of("order").output == [1, "order/cancelled", True]
        t.advance("10s")  # a wait counts what came in the last five seconds: the clocks of nodes differ
        t.send("order/created", {"orderId": "c"})
        t.advance("1h")
        assert t.run_of("order").output == [-1, None, False]


def test_since_the_run_began() -> None:
    app = App("shop")

    @app.function("order", trigger="order/created")
    async def order(ctx: Context) -> Any:
        await ctx.step.sleep("slow", "10m")
        now = await ctx.step.wait_for_event("now", "payment/done", match="data.orderId", timeout="1m")
        earlier = await ctx.step.wait_for_event("any", "payment/done", match="data.orderId", timeout="1m", since="run")
        return [bool(now), bool(earlier)]

    with app.test() as t:
        t.send("order/created", {"orderId": "a"})
        t.send("payment/done", {"orderId": "a"})
        t.advance("15m")
        assert t.run_of("order").output == [False, True]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_invoke_gives_the_result_in_its_type(evict: str, plain: bool) -> None:
    app = App("shop")

    @app.function("invoice", trigger="never")
    async def invoice(ctx: Context) -> Invoice:
        await ctx.step.sleep("print", "5m")
        return Invoice(ctx.event.data["number"], ["a"])

    if plain:

        @app.function("order", trigger="order/created")
        def order(ctx: Context) -> Any:
            first = ctx.step.invoke("by-itself", invoice, {"number": 1})
            second = ctx.step.invoke("by-id", "invoice", data={"number": 2})
            assert type(first) is type(second) is Invoice
            return [first.number, second.number]
    else:

        @app.function("order", trigger="order/created")
        async def order(ctx: Context) -> Any:
            first = await ctx.step.invoke("by-itself", invoice, {"number": 1})
            second = await ctx.step.invoke("by-id", "shop-invoice", data={"number": 2})
            assert type(first) is type(second) is Invoice
            return [first.number, second.number]

    with app.test(evict=evict) as t:
        t.send("order/created")
        assert t.run_of("order").phase == "waiting"
        t.advance("10m")
        assert t.run_of("order").output == [1, 2]
        assert [run.status for run in t.runs_of("invoice")] == ["Completed", "Completed"]
        assert t.run_of("order").steps["by-itself"].output == {"number": 1, "lines": ["a"]}


def test_a_child_that_fails_or_takes_too_long_is_named(evict: str) -> None:
    app = App("shop")

    @app.function("child", trigger="never", retries=0)
    async def child(ctx: Context) -> None:
        if ctx.event.data.get("slow"):
            await ctx.step.sleep("slow", "1h")
        raise NonRetriableError("no paper")

    @app.function("order", trigger="order/created")
    async def order(ctx: Context) -> Any:
        told = []
        for step, data, timeout in (("fails", {}, None), ("slow", {"slow": True}, "10m")):
            try:
                await ctx.step.invoke(step, child, data, timeout=timeout)
            except StepError as error:
                told.append([error.name, error.message, error.run_id])
        return told

    with app.test(evict=evict) as t:
        t.send("order/created")
        t.advance("10m")
        failed, slow = t.runs_of("child")
        (name, message, run_id), (timed_out, _, slow_id) = t.run_of("order").output
        assert (name, message, run_id) == ("NonRetriableError", "no paper", failed.id)
        assert (timed_out, slow_id) == ("InvokeTimeout", slow.id)


def test_what_cannot_be_invoked_says_why() -> None:
    app = App("shop")

    def invoice() -> None: ...

    @app.function("order", trigger="order/created", retries=0)
    async def order(ctx: Context) -> Any:
        await ctx.step.invoke("x", ctx.event.data.get("id") or invoice, ctx.event.data.get("given"))

    with app.test() as t:
        t.send("order/created")
        t.send("order/created", {"id": "ordr"})
        t.send("order/created", {"id": "order", "given": 7})
        messages = [run.error.message for run in t.runs_of("order") if run.error]
        assert "'invoice', which is not declared" in messages[0]
        assert "did you mean 'shop-order'" in messages[1]
        assert "an object" in messages[2]


def test_waits_are_checked_where_they_are_asked_for() -> None:
    app = App("shop")
    codes: list[str] = []
    asked: list[Any] = [
        lambda step: step.wait_for_event("a", "order/*"),
        lambda step: step.wait_for_event("a", "x", match="event.data.id"),
        lambda step: step.wait_for_event("a", "x", match="data.id", if_="true"),
        lambda step: step.wait_for_event("a", "x", if_="async.data.id =="),
        lambda step: step.wait_for_event("a", "x", timeout="soon"),
        lambda step: step.wait_for_event("a", "x", timeout="11y"),
        lambda step: step.wait_for_event("a", "x", since="yesterday"),
        lambda step: step.wait_any("a", []),
        lambda step: step.wait_any("a", [{"event": "x", "mach": "data.id"}]),
        lambda step: step.wait_for_signal("a", ""),
    ]

    @app.function("order", trigger="order/created", retries=0)
    async def order(ctx: Context) -> None:
        for ask in asked:
            with pytest.raises(BadDeclaration) as caught:
                await ask(ctx.step)
            assert caught.value.do
            codes.append(caught.value.code)

    with app.test() as t:
        t.send("order/created")
        assert t.run_of("order").status == "Completed", t.run_of("order").error
    assert len(codes) >= len(asked)
