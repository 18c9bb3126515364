"""Branches: parallel steps, the order in which they see their results, and replays that see the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from headrace.execution import Context, Settings
from headrace.execution.rest import waits_for_steps_alone
from headrace.functions import Backoff, Retries
from headrace.functions.errors import StepError
from headrace.records.commands import RunReport, StepReport, Suspended
from tests.execution.declared import function
from tests.execution.partition import World

FIXED = Backoff("fixed", base="1m", max="1m", jitter=0)


@pytest.fixture(params=[False, True], ids=["kept", "evicted"])
def evict(request: pytest.FixtureRequest) -> bool:
    """Every test runs twice: code kept alive between steps, and dropped at every boundary."""
    return bool(request.param)


async def give(value: Any, after_s: float = 0) -> Any:
    if after_s:
        await asyncio.sleep(after_s)
    return value


def test_gather_runs_steps_side_by_side(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        return await asyncio.gather(*(ctx.step.run(f"s{n}", give, n, 10) for n in range(5)))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(10)
        run = world.run()
        assert run.output == [0, 1, 2, 3, 4]
        assert all(step.attempts == 1 for step in run.steps.values())
        assert len(world.submitted(StepReport)) == 5


def test_a_wide_gather(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        return sum(await asyncio.gather(*(ctx.step.run(f"s{n}", give, n) for n in range(200))))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == 19_900


def test_a_task_group(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(ctx.step.run("one", give, 1, 5))
            two = group.create_task(ctx.step.run("two", give, 2, 1))
            three = await ctx.step.run("three", give, 3)
        return [one.result(), two.result(), three]

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(10)
        assert world.run().output == [1, 2, 3]


def test_a_task_group_whose_branch_fails(evict: bool) -> None:
    async def boom() -> None:
        raise ValueError("boom")

    async def body(ctx: Context) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step.options(retries=0).run("boom", boom))
            group.create_task(ctx.step.sleep("long", "1d"))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "StepError")
        assert world.execution.live == 0


def test_the_first_of_several_wins(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        tasks = [asyncio.create_task(ctx.step.run(f"s{n}", give, n, 10 - n)) for n in range(3)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return await ctx.step.run("winner", give, [task.result() for task in done])

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(100)
        assert world.run().output == [2]


def test_branches_with_several_steps_sleeps_and_retries(evict: bool) -> None:
    calls: dict[str, int] = {}

    async def flaky(name: str) -> str:
        calls[name] = calls.get(name, 0) + 1
        if calls[name] == 1:
            raise ValueError("first")
        return name

    async def branch(ctx: Context, n: int) -> list[Any]:
        a = await ctx.step.run(f"{n}-a", flaky, f"{n}-a")
        await ctx.step.sleep(f"{n}-nap", n)
        return [a, await ctx.step.run(f"{n}-b", give, n)]

    async def body(ctx: Context) -> Any:
        return await asyncio.gather(*(branch(ctx, n) for n in range(4)))

    with World([function(body, retries=Retries(2, FIXED))], evict=evict) as world:
        world.send("order/created")
        world.advance(100)
        assert world.run().output == [[f"{n}-a", n] for n in range(4)]
        assert set(calls.values()) == {2}


def test_an_error_caught_in_one_branch_does_not_disturb_the_others(evict: bool) -> None:
    async def boom() -> None:
        raise ValueError("boom")

    async def careful(ctx: Context) -> str:
        try:
            await ctx.step.options(retries=0).run("boom", boom)
        except StepError:
            return str(await ctx.step.run("instead", give, "plan b"))
        return "no"

    async def body(ctx: Context) -> Any:
        return await asyncio.gather(careful(ctx), ctx.step.run("other", give, "fine", 5))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(5)
        assert world.run().output == ["plan b", "fine"]


def test_a_failing_body_waits_for_the_steps_that_it_left_running() -> None:
    finished: list[str] = []

    async def slow(name: str) -> str:
        await asyncio.sleep(5)
        finished.append(name)
        return name

    async def branch(ctx: Context) -> None:
        await ctx.step.run("slow", slow, "slow")
        await ctx.step.run("behind", slow, "behind")

    failures = [ValueError("body")]

    async def fail() -> None:
        if failures:
            raise failures.pop()

    async def body(ctx: Context) -> Any:
        await asyncio.gather(branch(ctx), fail())
        return "done"

    with World([function(body, retries=Retries(1, FIXED))]) as world:
        world.send("order/created")
        assert world.submitted(RunReport) == []  # "slow" runs: the next attempt must not run it a second time
        world.advance(5)
        assert len(world.submitted(RunReport)) == 1
        assert finished == ["slow"]
        world.advance(70)
        assert world.run().output == "done"
        assert finished == ["slow", "behind"]


def test_a_body_that_fails_for_good_does_not_wait() -> None:
    async def slow() -> None:
        await asyncio.sleep(5)

    async def boom() -> None:
        raise ValueError("boom")

    async def body(ctx: Context) -> Any:
        await asyncio.gather(ctx.step.run("slow", slow), ctx.step.options(retries=0).run("boom", boom))

    with World([function(body)]) as world:
        world.send("order/created")
        assert world.run().status == "Failed"
        world.advance(10)
        assert "slow" not in world.run().steps
        assert world.execution.live == 0


def test_a_body_may_return_while_branches_still_wait(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        task = asyncio.create_task(ctx.step.sleep("long", "1d"))
        value = await ctx.step.run("one", give, 1)
        assert not task.done()
        return value

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == 1
        assert world.execution.live == 0
        world.advance(90_000)
        assert len(world.submitted(RunReport)) == 1


def test_a_report_is_not_lost_when_a_step_resets_the_attempts_under_it(evict: bool) -> None:
    """The body's second attempt ends while a step of it is on its way: the machine counts from 0 again by then."""
    attempts: list[int] = []

    async def body(ctx: Context) -> Any:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            raise ValueError("first")
        task = asyncio.create_task(ctx.step.run("one", give, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task.done()

    with World([function(body, retries=Retries(1, FIXED))], evict=evict, commit_s=0.01) as world:
        world.send("order/created")
        world.advance(61)
        assert attempts == [0, 1]
        assert world.run().status == "Completed"


# --- the order of results ---------------------------------------------------------------------------------------


def interleaved(trace: list[str], seed: int, names: Sequence[str] = "abc") -> Any:
    """A function whose branches share a list: they write down everything that they see."""

    async def branch(ctx: Context, name: str, steps: int) -> None:
        trace.append(f"{name}0")
        for n in range(1, steps + 1):
            await ctx.step.run(f"{name}{n}", give, n, random.Random(f"{seed}{name}{n}").random())
            trace.append(f"{name}{n}")
            if n == 2:
                await asyncio.gather(nested(ctx, name, "x"), nested(ctx, name, "y"))
                trace.append(f"{name}&")  # several rounds of the loop behind the result that led here

    async def nested(ctx: Context, name: str, inner: str) -> None:
        trace.append(f"{name}{inner}-")
        await ctx.step.run(f"{name}{inner}", give, 1, random.Random(f"{seed}{name}{inner}").random())
        trace.append(f"{name}{inner}+")

    async def body(ctx: Context) -> Any:
        trace.clear()
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(branch(ctx, name, 3))
            await ctx.step.run("main", give, 1, 0.3)
            trace.append("main")
        await ctx.step.sleep("nap", "1h")
        trace.append("rested")
        return trace.copy()

    return body


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("commit_s", [0.0, 0.2])
def test_a_replay_sees_the_same_interleaving(seed: int, commit_s: float) -> None:
    trace: list[str] = []
    declared = function(interleaved(trace, seed))
    with World([declared], commit_s=commit_s, settings=Settings(blocked_ms=0, live_max=0)) as world:
        world.send("order/created")
        world.advance(60)
        first = trace.copy()
        assert world.execution.live == 0  # evicted: there is room for nobody
        world.advance(3_600)
        run = world.run()
        assert run.status == "Completed", run.stack
        assert run.output == [*first, "rested"]
        assert world.execution.counts.replays >= 1


@pytest.mark.parametrize("commit_s", [0.0, 0.2])
def test_a_replay_of_a_hundred_branches_sees_the_same_interleaving(commit_s: float) -> None:
    trace: list[str] = []
    declared = function(interleaved(trace, 1, [f"n{n}." for n in range(100)]))
    with World([declared], commit_s=commit_s, settings=Settings(blocked_ms=0, live_max=0)) as world:
        world.send("order/created")
        world.advance(60)
        first = trace.copy()
        world.advance(3_600)
        assert world.run().output == [*first, "rested"]


@pytest.mark.parametrize("seed", range(6))
def test_eviction_at_every_boundary_gives_the_same_results(seed: int) -> None:
    trace: list[str] = []
    with World([function(interleaved(trace, seed))], evict=True) as world:
        world.send("order/created")
        world.advance(4_000)
        run = world.run()
        assert run.status == "Completed", run.stack
        assert sorted(run.output) == sorted(set(run.output))
        assert all(step.attempts == 1 for step in run.steps.values() if step.op == "run")


def test_results_of_one_commit_are_handed_over_one_after_the_other() -> None:
    trace: list[str] = []

    async def deep(ctx: Context, name: str) -> None:
        await asyncio.gather(asyncio.wait_for(ctx.step.run(name, give, 1), None))

    async def branch(ctx: Context, name: str) -> None:
        await deep(ctx, name)
        trace.append(name)
        await asyncio.sleep(0)
        trace.append(name)

    async def body(ctx: Context) -> Any:
        await asyncio.gather(branch(ctx, "a"), branch(ctx, "b"))

    with World([function(body)]) as world:
        world.send("order/created")
        assert trace == ["a", "a", "b", "b"]


def test_a_branch_that_is_on_its_way_to_an_earlier_result_is_waited_for() -> None:
    trace: list[str] = []

    async def late_to_ask(ctx: Context) -> None:
        await asyncio.sleep(0.01)
        await ctx.step.run("first", give, 1)
        trace.append("first")

    async def early_to_ask(ctx: Context) -> None:
        await ctx.step.run("second", give, 2, 1)
        trace.append("second")

    async def body(ctx: Context) -> Any:
        trace.clear()
        await asyncio.gather(late_to_ask(ctx), early_to_ask(ctx))
        await ctx.step.sleep("nap", "1h")
        return trace.copy()

    with World([function(body)], settings=Settings(blocked_ms=0, live_max=0)) as world:
        world.send("order/created")
        world.advance(4_000)
        assert world.run().output == ["first", "second"]
        assert world.execution.counts.replays == 1


def test_branches_that_work_outside_of_steps_do_not_stop_a_replay() -> None:
    """A branch that sleeps by itself is waited for a moment; then results go on without it."""

    async def restless(ctx: Context) -> Any:
        await asyncio.sleep(50)
        return await ctx.step.run("late", give, "late")

    async def body(ctx: Context) -> Any:
        late, early = await asyncio.gather(restless(ctx), ctx.step.run("early", give, "early"))
        await ctx.step.sleep("nap", "1h")
        return [late, early]

    with World([function(body)], settings=Settings(blocked_ms=0, live_max=0)) as world:
        world.send("order/created")
        world.advance(4_000)
        assert world.run().output == ["late", "early"]


# --- rest ---------------------------------------------------------------------------------------------------------


async def by_gather(ctx: Context) -> None:
    await asyncio.gather(ctx.step.sleep("a", "1h"), ctx.step.sleep("b", "2h"))


async def by_wait(ctx: Context) -> None:
    tasks = [asyncio.create_task(ctx.step.sleep(name, "1h")) for name in "ab"]
    await asyncio.wait(tasks)


async def by_task_group(ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.step.sleep("a", "1h"))
        group.create_task(ctx.step.sleep("b", "1h"))


async def by_body_of_task_group(ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.step.sleep("a", "1h"))
        await ctx.step.sleep("b", "1h")


async def by_wait_for(ctx: Context) -> None:
    await asyncio.wait_for(ctx.step.sleep("a", "1h"), 7_200)


async def by_shield(ctx: Context) -> None:
    await asyncio.shield(ctx.step.sleep("a", "1h"))


async def by_task(ctx: Context) -> None:
    await asyncio.create_task(ctx.step.sleep("a", "1h"))


async def by_nested_gather(ctx: Context) -> None:
    await asyncio.gather(by_gather(ctx), by_task_group_of(ctx, "c"))


async def by_task_group_of(ctx: Context, name: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.step.sleep(name, "1h"))


@pytest.mark.parametrize(
    "body",
    [
        by_gather,
        by_wait,
        by_task_group,
        by_body_of_task_group,
        by_wait_for,
        by_shield,
        by_task,
        by_nested_gather,
    ],
)
def test_code_that_waits_for_steps_alone_is_suspended_and_evicted(body: Any) -> None:
    with World([function(body)]) as world:
        world.send("order/created")
        (suspended,) = world.submitted(Suspended)
        assert set(suspended.waiting) <= {b"a", b"b", b"c"}
        live = next(iter(world.execution._resting))
        assert waits_for_steps_alone(live)
        assert world.run().live is not None
        assert world.run().live.suspended  # type: ignore[union-attr]
        world.advance(8_000)
        assert world.run().status == "Completed"


async def with_a_timer(ctx: Context) -> None:
    await asyncio.gather(ctx.step.sleep("a", "1h"), asyncio.sleep(60))


async def with_an_event(ctx: Context) -> None:
    told = asyncio.Event()

    async def tell() -> None:
        await ctx.step.sleep("a", "1h")
        told.set()

    await asyncio.gather(tell(), told.wait())


@pytest.mark.parametrize("body", [with_a_timer, with_an_event])
def test_code_that_may_do_something_else_is_not_suspended_but_makes_room(body: Any) -> None:
    with World([function(body)], settings=Settings(blocked_ms=0, live_max=1)) as world:
        world.send("order/created", {"n": 1})
        assert world.submitted(Suspended) == []
        assert world.execution.live == 1
        assert not world.execution.full
        world.send("order/created", {"n": 2})
        assert world.execution.live == 1  # the one that waits longest made room
        world.advance(4_000)
        assert [run.status for run in world.runs()] == ["Completed", "Completed"]


def test_a_run_is_not_suspended_while_a_step_of_it_runs() -> None:
    async def body(ctx: Context) -> None:
        await asyncio.gather(ctx.step.sleep("a", "1h"), ctx.step.run("b", give, 1, 60))

    with World([function(body)]) as world:
        world.send("order/created")
        assert world.submitted(Suspended) == []
        world.advance(61)
        assert [command.waiting for command in world.submitted(Suspended)] == [[b"a"]]


def test_sys_exit_in_a_branch_is_a_failure_of_the_run() -> None:
    async def leave() -> None:
        raise SystemExit(1)

    async def body(ctx: Context) -> None:
        await asyncio.gather(leave(), ctx.step.run("a", give, 1))

    with World([function(body, retries=0)]) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "RuntimeError")
        assert "SystemExit" in run.message


# --- edited code --------------------------------------------------------------------------------------------------


def edited(before: Any, after: Any) -> Any:
    """Run a function up to its nap, replace its code, and let it go on."""
    with World([function(before)]) as world:
        world.send("order/created")
        assert world.run().status == "Running"
        replaced = function(after)
        world.execution.load_functions({replaced.id: replaced})
        world.advance(3_600)
        run = world.run()
        assert run.status == "Completed", run.stack
        return run


async def original(ctx: Context) -> Any:
    a = await ctx.step.run("a", give, "a1")
    b = await ctx.step.run("b", give, "b1")
    await ctx.step.sleep("nap", "1h")
    return [a, b]


async def with_more(ctx: Context) -> Any:
    new = await ctx.step.run("new", give, "new")
    a = await ctx.step.run("a", give, "a2")
    b = await ctx.step.run("b", give, "b2")
    await ctx.step.sleep("nap", "1h")
    return [new, a, b, await ctx.step.run("last", give, "last")]


async def with_less(ctx: Context) -> Any:
    b = await ctx.step.run("b", give, "b2")
    await ctx.step.sleep("nap", "1h")
    return [b]


async def reordered(ctx: Context) -> Any:
    b = await ctx.step.run("b", give, "b2")
    a = await ctx.step.run("a", give, "a2")
    await ctx.step.sleep("nap", "1h")
    return [b, a]


async def in_parallel(ctx: Context) -> Any:
    b, _, c, a = await asyncio.gather(
        ctx.step.run("b", give, "b2"),
        ctx.step.sleep("nap", "1h"),
        ctx.step.run("c", give, "c2"),
        ctx.step.run("a", give, "a2"),
    )
    return [b, c, a]


async def without_nap(ctx: Context) -> Any:
    return [await ctx.step.run("b", give, "b2"), await ctx.step.run("c", give, "c2")]


@pytest.mark.parametrize(
    ("after", "output"),
    [
        (with_more, ["new", "a1", "b1", "last"]),
        (with_less, ["b1"]),
        (reordered, ["b1", "a1"]),
        (in_parallel, ["b1", "c2", "a1"]),
        (without_nap, ["b1", "c2"]),
    ],
)
def test_code_may_change_while_a_run_sleeps(after: Any, output: Any) -> None:
    assert edited(original, after).output == output


def test_removed_steps_in_branches_hold_nothing_up() -> None:
    async def two(ctx: Context) -> Any:
        values = await asyncio.gather(ctx.step.run("a", give, 1), ctx.step.run("b", give, 2))
        await ctx.step.sleep("nap", "1h")
        return values

    async def only_b(ctx: Context) -> Any:
        values = await asyncio.gather(ctx.step.run("b", give, 3), ctx.step.run("c", give, 4))
        await ctx.step.sleep("nap", "1h")
        return values

    assert edited(two, only_b).output == [2, 4]
