"""Batches as large as they may be. Goal: a row fits into one record, whatever the events weigh."""

from __future__ import annotations

import pytest

from headrace import App, Batch, Concurrency, Context

MIB = 1 << 20


@pytest.mark.parametrize("limited", [False, True], ids=["where it is", "on its way to its key"])
def test_a_batch_of_large_events_becomes_one_run(limited: bool) -> None:
    app = App("shop")
    options = {"concurrency": Concurrency(1, key="event.data.shop")} if limited else {}

    @app.function("gather", trigger="big", batch=Batch(max_size=8, timeout="1h"), **options)
    async def gather(ctx: Context) -> list[int]:
        return [len(event.data["x"]) for event in ctx.events]

    with app.test() as kit:
        for _ in range(8):
            kit.send("big", {"x": "x" * MIB, "shop": "s"})
        assert kit.run_of("gather").output == [MIB] * 8
        for _ in range(4):
            kit.send("big", {"x": "x" * (3 * MIB - 200), "shop": "s"})
        kit.advance("2h")
        sizes = [len(run.output) for run in kit.runs if run.status == "Completed"]
        assert sizes == [8, 3, 1], "those beyond the limit on bytes start earlier, and none is left behind"
