"""Events start runs, runs end with a result: triggers, failures, on_failure, retries of every form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from headrace import App, Backoff, Context, Event, NonRetriableError, OnEvent, Retries, RetryAfterError, StepError
from tests.sdk_python.counted import Counted, give


def test_an_order_from_its_event_to_its_result() -> None:
    app = App("shop")
    load, charge = Counted({"id": "o-1", "total": 120}), Counted("receipt")

    @app.function("process-order", trigger="order/created")
    async def process_order(ctx: Context) -> Any:
        order = await ctx.step.run("load", load)
        await ctx.step.sleep("cool-off", "30m")
        receipt = await ctx.step.run("charge", charge)
        await ctx.step.send_event("notify", {"name": "order/done", "data": {"orderId": order["id"]}})
        return {"receipt": receipt, "ordered": ctx.event.data["orderId"]}

    with app.test() as t:
        t.send("order/created", {"orderId": "o-1"})
        run = t.run_of("process-order")
        assert (run.status, run.phase) == ("Running", "sleeping")
        assert run.steps["load"].output == {"id": "o-1", "total": 120}
        assert charge.calls == 0
        t.advance("29m")
        assert run.status == "Running"
        t.advance("1m")
        assert run.status == "Completed"
        assert run.output == {"receipt": "receipt", "ordered": "o-1"}
        assert [step.attempts for step in run.steps.values()] == [1, 1, 1, 1]
        assert (load.calls, charge.calls) == (1, 1)
        (done,) = t.events("order/done")
        assert done.data == {"orderId": "o-1"}


def test_events_start_the_functions_that_want_them() -> None:
    app = App("shop")

    def declare(function_id: str, *triggers: str | OnEvent) -> None:
        @app.function(function_id, trigger=list(triggers))
        async def body(ctx: Context) -> str:
            return ctx.event.name

    declare("exact", "order/created")
    declare("wildcard", "order/*")
    declare("dotted", "order/item.*")
    declare("large", OnEvent("order/created", if_="event.data.total > 100"))
    declare("either", "order/created", "order/item.added")
    with app.test() as t:
        t.send("order/created", {"total": 50})
        t.send("order/created", {"total": 150})
        t.send("order/item.added")
        t.send("orders/created", {"total": 150})
        started = {name: len(t.runs_of(name)) for name in ("exact", "wildcard", "dotted", "large", "either")}
        assert started == {"exact": 2, "wildcard": 3, "dotted": 1, "large": 1, "either": 3}
        assert t.run_of("dotted").output == "order/item.added"


def test_what_a_function_is_told_of_its_event() -> None:
    app = App("shop")
    seen: list[Event] = []

    @app.function("f", trigger="order/created")
    async def body(ctx: Context) -> None:
        seen.append(ctx.event)

    with app.test() as t:
        internal_id = t.send("order/created", {"n": 1})
        t.send("order/created", {"n": 2}, id="mine", key="customer-7")
        assert [(event.id, event.data, event.key) for event in seen] == [
            (internal_id, {"n": 1}, None),
            ("mine", {"n": 2}, "customer-7"),
        ]
        assert all(isinstance(event.ts, int) and event.ts > 0 for event in seen)


def test_an_event_with_a_future_time_starts_its_runs_then() -> None:
    app = App("shop")

    @app.function("f", trigger="order/created")
    async def body(ctx: Context) -> str:
        return "started"

    with app.test() as t:
        t.send("order/created", ts=t.now_ms + 60_000)
        t.advance(59)
        assert t.runs_of("f") == []
        t.advance(1)
        assert t.run_of("f").output == "started"


def test_published_events_start_further_functions_once() -> None:
    app = App("shop")
    received: list[int] = []

    @app.function("first", trigger="a")
    async def first(ctx: Context) -> Any:
        ids = await ctx.step.send_event("tell", [Event("b", {"n": n}) for n in range(3)])
        await ctx.step.sleep("nap", "1m")
        return ids

    @app.function("second", trigger="b")
    async def second(ctx: Context) -> Any:
        received.append(await ctx.step.run("n", give, ctx.event.data["n"]))

    with app.test() as t:
        t.send("a")
        t.advance("1m")
        assert sorted(event.data["n"] for event in t.events("b")) == [0, 1, 2]
        assert sorted(t.run_of("first").output) == sorted(event.id for event in t.events("b"))
        assert sorted(received) == [0, 1, 2]


# --- failing ------------------------------------------------------------------------------------------------------


def waits(*retries: Any) -> list[float]:
    """How long after the event each attempt of an always failing step was made, to the millisecond."""
    app = App("shop")
    made: list[int] = []

    @app.function("f", trigger="x", retries=retries[0])
    async def body(ctx: Context) -> None:
        async def broken() -> None:
            made.append(t.now_ms)
            raise ValueError("no")

        await ctx.step.run("broken", broken)

    with app.test() as t:
        began = t.now_ms
        t.send("x")
        t.advance("1d")
        assert t.run_of("f").status == "Failed"
        assert t.run_of("f").steps["broken"].attempts == len(made)
    return [(at - began) / 1000 for at in made]


EXPONENTIAL = {"type": "exponential", "base": "1s", "max": "5s", "jitter": 0}


@pytest.mark.parametrize(
    ("retries", "attempts_at"),
    [
        (0, [0]),
        (Retries(4, Backoff("exponential", base="1s", max="5s", jitter=0)), [0, 1, 3, 7, 12]),
        ({"attempts": 4, "backoff": EXPONENTIAL}, [0, 1, 3, 7, 12]),
        (Retries(3, Backoff("linear", base="10s", max="25s", jitter=0)), [0, 10, 30, 55]),
        (Retries(2, Backoff("fixed", base=0.5, max=timedelta(minutes=1), jitter=0)), [0, 0.5, 1]),
    ],
)
def test_backoffs(retries: Any, attempts_at: list[float]) -> None:
    assert waits(retries) == pytest.approx(attempts_at, abs=0.005)


@pytest.mark.parametrize("retries", [3, None, Retries(3)])
def test_the_default_backoff_doubles_from_a_second_with_some_jitter(retries: Any) -> None:
    attempts_at = waits(retries)
    gaps = [later - earlier for earlier, later in pairwise(attempts_at)]
    assert len(gaps) == 3
    for gap, base in zip(gaps, [1, 2, 4], strict=True):
        assert base <= gap <= base * 1.1 + 0.01


def test_errors_that_say_whether_and_when() -> None:
    app = App("shop")
    at = Counted()

    @app.function("never", trigger="never")
    async def never(ctx: Context) -> None:
        await ctx.step.run("charge", Counted(NonRetriableError("card stolen")))

    @app.function("later", trigger="later")
    async def later(ctx: Context) -> Any:
        return await ctx.step.run("call", at)

    with app.test() as t:
        t.send("never")
        run = t.run_of("never")
        assert run.status == "Failed"
        assert run.steps["charge"].attempts == 1
        assert run.error is not None
        assert run.error.name == "StepError"
        assert "card stolen" in run.error.message
        moment = datetime.fromtimestamp(t.now_ms / 1000 + 90, UTC)
        at.outcomes = (RetryAfterError("busy", "45s"), RetryAfterError("busy", moment), "fine")
        t.send("later")
        t.advance(44)
        assert at.calls == 1
        t.advance(2)
        assert at.calls == 2
        t.advance(43)
        assert at.calls == 2
        t.advance(2)
        assert t.run_of("later").output == "fine"


def test_a_body_is_tried_again_and_its_steps_are_not() -> None:
    app = App("shop")
    load = Counted("loaded")
    failures = [ValueError("two"), ValueError("one")]

    @app.function("f", trigger="x", retries=Retries(2, Backoff("fixed", base="10s", jitter=0)))
    async def body(ctx: Context) -> Any:
        loaded = await ctx.step.run("load", load)
        await ctx.step.sleep("nap", 1)
        if failures:
            raise failures.pop()
        return [loaded, ctx.attempt]

    with app.test() as t:
        t.send("x")
        t.advance(1)
        run = t.run_of("f")
        assert (run.status, run.phase) == ("Running", "backing_off")
        t.advance(20)
        assert run.output == ["loaded", 2]
        assert load.calls == 1


def test_a_caught_step_error_lets_the_function_go_on() -> None:
    app = App("shop")

    @app.function("f", trigger="x", retries=0)
    async def body(ctx: Context) -> Any:
        try:
            await ctx.step.run("charge", Counted(ValueError("declined")))
        except StepError as error:
            refund = await ctx.step.run("refund", Counted("refunded"))
            return [error.name, error.message, refund]

    with app.test() as t:
        t.send("x")
        run = t.run_of("f")
        assert run.output == ["ValueError", "declined", "refunded"]
        assert run.steps["charge"].status == "Failed"
        assert run.steps["charge"].error is not None
        assert run.steps["charge"].error.name == "ValueError"


def test_on_failure_runs_when_the_run_has_failed_and_only_then() -> None:
    app = App("shop")
    told: list[dict[str, Any]] = []

    async def tell(ctx: Context, step: Any) -> str:
        told.append(await step.run("look", give, ctx.event.data))
        return "told"

    @app.function("fails", trigger="x", retries=Retries(1, Backoff("fixed", base="1m")), on_failure=tell)
    async def fails(ctx: Context) -> None:
        raise ValueError(f"order {ctx.event.data['n']}")

    @app.function("works", trigger="x", on_failure=tell)
    async def works(ctx: Context) -> None: ...

    with app.test() as t:
        t.send("x", {"n": 7})
        assert t.runs_of("fails-failure") == []
        t.advance("2m")
        assert t.run_of("fails").status == "Failed"
        assert t.run_of("fails-failure").output == "told"
        assert t.runs_of("works-failure") == []
        failed = told[-1]
        assert failed["function_id"] == "shop-fails"
        assert failed["run_id"] == t.run_of("fails").id
        assert failed["error"]["name"] == "ValueError"
        assert failed["error"]["message"] == "order 7"
        assert failed["event"]["data"] == {"n": 7}


def test_a_failing_failure_function_ends_there() -> None:
    app = App("shop")

    async def tell(ctx: Context) -> None:
        raise NonRetriableError("cannot tell either")

    @app.function("fails", trigger="x", on_failure=tell)
    async def fails(ctx: Context) -> None:
        raise NonRetriableError("no")

    with app.test() as t:
        t.send("x")
        assert t.run_of("fails").status == "Failed"
        assert t.run_of("fails-failure").status == "Failed"
        t.advance("1d")
        assert len(t.runs) == 2


# --- cancelling ---------------------------------------------------------------------------------------------------


def test_a_cancelled_run_ends_and_its_code_with_it() -> None:
    app = App("shop")
    later = Counted("late")

    @app.function("f", trigger="x")
    async def body(ctx: Context) -> Any:
        await ctx.step.sleep("nap", "1h")
        return await ctx.step.run("later", later)

    with app.test() as t:
        t.send("x")
        run = t.run_of("f")
        t.cancel(run)
        assert run.status == "Cancelled"
        t.advance("2h")
        assert run.status == "Cancelled"
        assert later.calls == 0


def test_a_crash_uses_up_no_attempt_and_repeats_no_recorded_step() -> None:
    app = App("shop")
    load, save = Counted("loaded"), Counted("saved")

    @app.function("f", trigger="x", retries=0)
    async def body(ctx: Context) -> Any:
        loaded = await ctx.step.run("load", load)
        await ctx.step.sleep("nap", "1h")
        return [loaded, await ctx.step.run("save", save), ctx.attempt]

    with app.test() as t:
        t.send("x")
        t.crash()
        t.advance("30m")
        t.crash()
        t.advance("31m")
        run = t.run_of("f")
        assert run.output == ["loaded", "saved", 0]
        assert (load.calls, save.calls) == (1, 1)
