"""Code that is let go. Goal: it is freed at once, not by a garbage collection that may come a million runs later."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace.execution import Context, Settings
from headrace.execution.live_run import LiveRun
from headrace.testing import World
from tests.execution.declared import function

KEPT = 2
RUNS = 20
# The timers of a node were set by some run's code, and each holds on to that one run until it is due.
TIMERS_MAX = 4


async def give(value: Any) -> Any:
    return value


async def sleeps(ctx: Context) -> None:
    await ctx.step.sleep("nap", "1h")


async def waits(ctx: Context) -> None:
    await ctx.step.wait_for_event("answer", "order/answered", timeout="1h")


async def ends(ctx: Context) -> None:
    await ctx.step.run("a", give, 1)


async def ends_side_by_side(ctx: Context) -> None:
    await asyncio.gather(*(ctx.step.run(f"s{n}", give, n) for n in range(3)))


@pytest.mark.parametrize(("body", "left"), [(sleeps, KEPT), (waits, KEPT), (ends, 0), (ends_side_by_side, 0)])
def test_runs_that_are_evicted_or_over_are_freed_at_once(body: Callable[[Context], Awaitable[None]], left: int) -> None:
    declared = function(body)
    with World(partitions=1) as world:
        member = world.start("a", {declared.id: declared}, settings=Settings(blocked_ms=0, live_max=KEPT))
        world.wait_ready()
        gc.freeze()  # what there is already is neither looked through nor listed
        gc.disable()
        try:
            for _ in range(RUNS):
                world.cluster.append(world.topics.events, 0, b'{"name": "order/created", "data": {}}', None, [])
            world.advance(5)
            found = sum(type(thing) is LiveRun for thing in gc.get_objects())
        finally:
            gc.enable()
            gc.unfreeze()
        assert member.execution.counts.starts == RUNS
        assert member.execution.live == left
        assert left <= found <= left + TIMERS_MAX
