"""When steps begin and end. Goal: one clock tells both, whatever the clock of the node says that makes the attempt."""

from __future__ import annotations

import asyncio

import pytest

from headrace import App, Context
from headrace.adapters.manual_clock import ManualClock
from headrace.records.history import decode_lifecycle
from headrace.testing import World


@pytest.mark.parametrize("skew_ms", [-30_000, 0, 30_000])
def test_a_step_takes_as_long_as_it_took_on_a_node_whose_clock_is_wrong(skew_ms: int) -> None:
    app = App("shop")

    @app.function("work", trigger="go")
    async def work(ctx: Context) -> None:
        async def slow() -> None:
            await asyncio.sleep(2)

        await ctx.step.run("slow", slow)

    with World(partitions=1) as world:
        world.start("n0", app.functions, clock=ManualClock(world.loop.time, skew_ms=skew_ms))
        world.wait_ready()
        world.cluster.append(world.topics.events, 0, b'{"name":"go"}')
        world.advance(10)
        told = [decode_lifecycle(r.value or b"") for r in world.cluster.records(world.topics.history, 0)]
    (ended,) = [record for record in told if record.kind == "StepEnded"]
    assert 2_000 <= ended.at_ms - ended.started_ms <= 2_010
