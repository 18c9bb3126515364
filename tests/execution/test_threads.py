"""Plain `def` functions: the same steps, blocking, on threads that are not held over a sleep."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from headrace.execution import Context, Settings
from headrace.functions import Backoff, Retries
from headrace.functions.errors import NonRetriableError, StepError
from headrace.records.commands import Suspended
from tests.execution.declared import function
from tests.execution.partition import World

FIXED = Backoff("fixed", base="1m", max="1m", jitter=0)
WHO = ContextVar("who", default="nobody")


@pytest.fixture(params=[False, True], ids=["kept", "evicted"])
def evict(request: pytest.FixtureRequest) -> bool:
    """Every test runs twice: code kept alive between steps, and dropped at every boundary."""
    return bool(request.param)


def give(value: Any) -> Any:
    return value


async def give_later(value: Any) -> Any:
    await asyncio.sleep(5)
    return value


def test_steps_block_and_return_values(evict: bool) -> None:
    where: set[str] = set()

    def body(ctx: Any, step: Any) -> Any:
        where.add(threading.current_thread().name.partition("_")[0])
        a = step.run("a", give, 1)
        b = ctx.step.run("b", give_later, 2)
        ids = step.send_event("c", [{"name": "x/y"}, {"name": "x/z"}])
        return [a, b, len(ids), ctx.event.data["n"]]

    with World([function(body)], evict=evict) as world:
        world.send("order/created", {"n": 7})
        world.advance(5)
        run = world.run()
        assert run.output == [1, 2, 2, 7]
        assert all(step.attempts <= 1 for step in run.steps.values())
        assert where == {"headrace"}


def test_no_thread_is_held_over_a_sleep(evict: bool) -> None:
    bodies: list[int] = []

    def body(ctx: Any) -> Any:
        bodies.append(ctx.event.data["n"])
        ctx.step.sleep("nap", "1h")
        return ctx.step.run("a", give, ctx.event.data["n"])

    settings = Settings(blocked_ms=0, threads=2)
    with World([function(body)], evict=evict, settings=settings) as world:
        for n in range(10):
            world.send("order/created", {"n": n})
        assert sorted(bodies) == list(range(10))  # ten runs sleep, on two threads
        assert world.execution.live == 0
        assert len(world.submitted(Suspended)) == 10
        world.advance(3_601)
        assert sorted(run.output for run in world.runs()) == list(range(10))
        assert len(bodies) == (30 if evict else 20)


def test_sleep_until_and_backing_off_hold_no_thread_either(evict: bool) -> None:
    failures = [ValueError("first"), ValueError("second")]

    def flaky() -> str:
        if failures:
            raise failures.pop()
        return "fine"

    def body(ctx: Any) -> Any:
        ctx.step.sleep_until("past", "2020-01-01T00:00:00Z")
        return ctx.step.run("flaky", flaky)

    with World([function(body, retries=Retries(2, FIXED))], evict=evict) as world:
        world.send("order/created")
        assert world.execution.live == 0
        world.advance(61)
        world.advance(61)
        run = world.run()
        assert run.output == "fine"
        assert run.steps["flaky"].attempts == 3


def test_errors_reach_the_function(evict: bool) -> None:
    def boom() -> None:
        raise NonRetriableError("boom")

    def body(ctx: Any) -> Any:
        try:
            ctx.step.run("boom", boom)
        except StepError as error:
            return [error.name, ctx.step.run("instead", give, "plan b")]

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == ["NonRetriableError", "plan b"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), StopIteration()])
def test_a_failing_body_is_a_failure_of_the_run(evict: bool, error: BaseException) -> None:
    def body(ctx: Any) -> None:
        ctx.step.run("a", give, 1)
        raise error

    with World([function(body, retries=0)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert run.status == "Failed"
        assert "in body" in run.stack


def test_stop_iteration_and_sys_exit_in_a_step(evict: bool) -> None:
    def leave(error: BaseException) -> None:
        raise error

    def body(ctx: Any) -> Any:
        names = []
        for n, error in enumerate((StopIteration(), SystemExit(2))):
            try:
                ctx.step.options(retries=0).run(f"s{n}", leave, error)
            except StepError as caught:
                names.append(caught.name)
        return names

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == ["RuntimeError", "SystemExit"]


def test_keyboard_interrupt_on_a_thread_is_a_failure_and_does_not_end_the_node() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def body(ctx: Any) -> Any:
        if ctx.event.data["where"] == "step":
            ctx.step.options(retries=0).run("s", interrupt)
        interrupt()

    with World([function(body, retries=0)]) as world:
        world.send("order/created", {"where": "step"})
        world.send("order/created", {"where": "body"})
        assert [run.status for run in world.runs()] == ["Failed", "Failed"]


def test_finally_blocks_run_when_it_is_unwound_and_steps_in_them_do_nothing() -> None:
    trace: list[str] = []

    def body(ctx: Any) -> Any:
        trace.append("begin")
        try:
            ctx.step.sleep("nap", "1h")
            trace.append("rested")
        finally:
            trace.append("finally")
            ctx.step.run("clean-up", trace.append, "cleaned")
        return "done"

    with World([function(body)]) as world:
        world.send("order/created")
        assert trace == ["begin", "finally"]
        assert world.run().steps == {}
        world.advance(3_601)
        assert trace == ["begin", "finally", "begin", "rested", "finally", "cleaned"]
        assert world.run().output == "done"


def test_except_exception_does_not_catch_the_unwinding() -> None:
    caught: list[Exception] = []

    def body(ctx: Any) -> Any:
        try:
            ctx.step.sleep("nap", "1h")
        except Exception as error:
            caught.append(error)
        return "done"

    with World([function(body)]) as world:
        world.send("order/created")
        world.advance(3_601)
        assert caught == []
        assert world.run().output == "done"


def test_a_step_inside_a_step(evict: bool) -> None:
    def body(ctx: Any) -> Any:
        return ctx.step.run("outer", lambda: ctx.step.run("inner", give, 1))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "NestedStep")


def test_variables_reach_the_steps(evict: bool) -> None:
    async def who_later() -> str:
        return WHO.get()

    def body(ctx: Any) -> Any:
        WHO.set("the body")
        return [ctx.step.run("a", WHO.get), ctx.step.run("b", who_later), ctx.attempt, ctx.idempotency_key]

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert run.output == ["the body", "the body", 0, run.id]


def test_threads_of_its_own_may_take_steps_too() -> None:
    def body(ctx: Any) -> Any:
        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(copy_context().run, ctx.step.run, f"s{n}", give, n) for n in range(3)]
            while not all(future.done() for future in futures):
                ctx.step.run("look", give, None)
            return [future.result() for future in futures]

    from headrace.adapters.virtual_loop import VirtualLoop  # noqa: F401 - named in the comment below

    # Threads that the loop did not start count for nothing on virtual time, so the body keeps asking meanwhile.
    with World([function(body)]) as world:
        world.send("order/created")
        assert world.loop.run_until(lambda: world.run().status != "Running", 60)
        assert world.run().output == [0, 1, 2]


def test_cancelling_a_run_unwinds_its_thread() -> None:
    trace: list[str] = []

    def body(ctx: Any) -> Any:
        try:
            ctx.step.run("long", give_later, 1)
        finally:
            trace.append("unwound")

    with World([function(body)]) as world:
        world.send("order/created")
        world.partition.cancel(world.run().id)
        world.advance(0.1)
        assert trace == ["unwound"]
        assert world.run().status == "Cancelled"
        assert world.execution.live == 0


def test_a_cancelled_run_that_is_busy_on_its_thread_is_unwound_at_its_next_step() -> None:
    trace: list[str] = []
    world: World

    def busy() -> None:
        world.loop.call_soon_threadsafe(world.partition.cancel, world.run().id)
        cancelled.wait(10)

    cancelled = threading.Event()

    def body(ctx: Any) -> Any:
        try:
            ctx.step.run("busy", busy)
            trace.append("went on")
        finally:
            trace.append("unwound")

    with World([function(body)]) as world:
        world.partition.send({"name": "order/created", "data": {}})
        assert world.loop.run_until(lambda: world.run().status == "Cancelled" if world.runs() else False, 1)
        cancelled.set()
        world.advance(0.1)
        assert trace == ["unwound"]


def test_duplicates_cannot_happen_one_after_the_other(evict: bool) -> None:
    def body(ctx: Context) -> Any:
        return [ctx.step.run("same", give, n) for n in range(3)]

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == [0, 1, 2]
