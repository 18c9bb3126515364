"""The user's test kit. Goal: a test of a workflow is ordinary code, takes milliseconds, and sees what people see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest

from headrace import App, Context, Event, NonRetriableError, Retries
from headrace.errors import BadRequest
from headrace.functions import Backoff

FAST = Retries(2, Backoff("fixed", "1s", "1s", 0.0))


def shop(calls: list[Any] | None = None) -> App:
    app = App("shop")
    noted: list[Any] = [] if calls is None else calls

    @app.function("order", trigger="order/created", retries=FAST)
    async def order(ctx: Context) -> Any:
        async def load(number: int) -> dict[str, int]:
            noted.append(number)
            if number < 0:
                raise NonRetriableError("there is no such order")
            if noted.count(number) < ctx.event.data.get("works_at", 1):
                raise ValueError("not yet")
            return {"number": number}

        loaded = await ctx.step.run("load", load, ctx.event.data["number"])
        await ctx.step.sleep("cool-off", "30m")
        await ctx.step.send_event("tell", {"name": "order/done", "data": loaded, "key": "k"})
        return loaded

    @app.function("done", trigger="order/done")
    async def done(ctx: Context) -> int:
        number: int = ctx.event.data["number"]
        return number

    return app


def test_a_run_is_seen_from_its_first_step_to_its_end() -> None:
    with shop().test() as t:
        event_id = t.send("order/created", {"number": 7})
        run = t.run_of("order")
        assert (run.status, run.phase, run.function_id) == ("Running", "sleeping", "shop-order")
        assert run.event_ids == [event_id]
        assert (run.steps["load"].status, run.steps["load"].output, run.steps["load"].attempts) == (
            "Completed",
            {"number": 7},
            1,
        )
        assert run.steps["cool-off"].status == "Running"
        t.advance("29m59s")
        assert run.status == "Running"
        t.advance("1s")
        assert (run.status, run.phase, run.output, run.error) == ("Completed", "", {"number": 7}, None)
        assert t.run_of("shop-done").output == 7
        (told,) = t.events("order/done")
        assert (told.data, told.key) == ({"number": 7}, "k")
        assert [r.function_id for r in t.runs] == ["shop-order", "shop-done"]


def test_failures_and_attempts_are_seen() -> None:
    with shop().test() as t:
        t.send("order/created", {"number": 1, "works_at": 3})
        run = t.run_of("order")
        assert (run.phase, run.steps["load"].attempts) == ("backing_off", 1)
        assert run.steps["load"].error is not None
        assert str(run.steps["load"].error) == "ValueError: not yet"
        t.advance(2)
        assert (run.steps["load"].status, run.steps["load"].attempts) == ("Completed", 3)
        t.send("order/created", {"number": -1})
        failed = t.run_of("order")
        assert failed.status == "Failed"
        assert failed.error is not None
        assert "there is no such order" in failed.error.message
        assert failed.steps["load"].status == "Failed"
        assert [r.status for r in t.runs_of("order")] == ["Running", "Failed"]


def test_a_crash_and_a_rebalance_change_nothing_but_the_process() -> None:
    calls: list[Any] = []
    with shop(calls).test() as t:
        t.send("order/created", {"number": 7})
        t.crash()
        t.advance("10m")
        t.rebalance()
        t.rebalance()
        t.advance("20m")
        t.crash()
        assert t.run_of("order").status == "Completed"
        assert calls == [7], "a recorded step never runs again"


def test_an_id_starts_once_and_a_key_is_part_of_it() -> None:
    with shop().test() as t:
        for _ in range(3):
            t.send("order/done", {"number": 1}, id="a")
        t.send("order/done", {"number": 2}, id="a", key="other")
        assert [run.output for run in t.runs_of("done")] == [1, 2]


def test_an_event_may_come_later_and_in_every_form() -> None:
    with shop().test() as t:
        t.send("order/done", {"number": 1}, ts=t.now_ms + 60_000)
        assert t.runs_of("done") == []
        t.advance("1m")
        t.send(Event("order/done", {"number": 2}, id="x"))
        t.send({"name": "order/done", "data": {"number": 3}})
        assert [run.output for run in t.runs_of("done")] == [1, 2, 3]
        with pytest.raises(BadRequest):
            t.send(Event("order/done"), id="beside it")
        with pytest.raises(BadRequest):
            t.send("inngest/forged")


def test_a_run_is_cancelled_as_from_the_console() -> None:
    with shop().test() as t:
        t.send("order/created", {"number": 7})
        run = t.run_of("order")
        t.cancel(run, "by hand")
        assert run.status == "Cancelled"
        assert run.error is not None
        assert run.error.message == "by hand"
        assert run.steps["cool-off"].status == "Cancelled"
        t.advance("1h")
        assert run.status == "Cancelled"


def test_code_is_replaced_and_may_be_gone_for_a_while() -> None:
    other = App("shop")

    @other.function("new", trigger="order/done")
    async def new(ctx: Context) -> str:
        return "new"

    with shop().test() as t:
        t.send("order/created", {"number": 7})
        run = t.run_of("order")
        t.reload(other)
        t.advance("30m")
        assert (run.status, run.phase) == ("Running", "no_code")
        t.send("order/done", {"number": 1})
        assert t.run_of("new").output == "new"
        assert t.runs_of("shop-done") == []
        t.reload(shop())
        assert run.status == "Completed"


def test_every_step_boundary_may_be_a_replay() -> None:
    calls: list[Any] = []
    with shop(calls).test(evict="always") as t:
        t.send("order/created", {"number": 7, "works_at": 2})
        t.advance("31m")
        assert t.run_of("order").status == "Completed"
        assert calls == [7, 7]
        assert t.member.execution.counts.evictions > 0


def test_a_month_passes_in_a_moment_and_code_that_waits_is_seen_waiting() -> None:
    app = App("a")

    @app.function("slow", trigger="go")
    async def slow(ctx: Context) -> str:
        async def wait() -> None:
            await asyncio.sleep(20 * 86_400)

        await ctx.step.run("wait", wait)
        return "over"

    with app.test() as t:
        t.send("go")
        run = t.run_of("slow")
        assert (run.status, run.phase) == ("Running", "executing")
        t.advance("20d")
        assert run.output == "over"


def test_years_of_sleep_cost_nothing() -> None:
    app = App("a")

    @app.function("sleepy", trigger="go")
    async def sleepy(ctx: Context) -> str:
        await ctx.step.sleep("nap", "1500d")
        return "awake"

    with app.test() as t:
        t.send("go")
        began = time.process_time()
        t.advance("1500d")
        assert t.run_of("sleepy").output == "awake"
        assert time.process_time() - began < 3, "something looks at its watch every minute"


def test_a_plain_function_runs_on_a_thread_and_waits_in_virtual_time() -> None:
    app = App("a")

    @app.function("plain", trigger="go")
    def plain(ctx: Any) -> int:
        one = ctx.step.run("one", lambda: 1)
        ctx.step.sleep("nap", "1h")
        return int(one) + 1

    with app.test() as t:
        t.send("go")
        t.advance("1h")
        assert t.run_of("plain").output == 2


def test_a_run_that_is_not_there_is_named_with_those_that_are() -> None:
    with shop().test() as t:
        with pytest.raises(LookupError, match="no run of 'order'"):
            t.run_of("order")
        t.send("order/done", {"number": 1})
        with pytest.raises(LookupError, match="shop-done"):
            t.run_of("ordr")


def test_what_breaks_the_engine_comes_out_of_the_test() -> None:
    with shop().test() as t:
        t.world.loop.call_soon(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            t.advance(1)


def test_the_kit_needs_no_kafka_and_no_disk() -> None:
    """It must work where their libraries do not: on Windows, in a browser's Python, in a fresh virtual environment."""
    program = (
        "import sys\n"
        "from headrace import App\n"
        "with App('a').test() as t: t.send('x')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('confluent_kafka', 'rocksdict', 'uvicorn')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
