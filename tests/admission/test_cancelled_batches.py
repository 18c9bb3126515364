"""Batches and the events that cancel them. Goal: what came before is dropped, what comes after is not."""

from __future__ import annotations

import pytest

from headrace import App, Batch, CancelOn, Concurrency, Context
from headrace.admission.plan import StageNumber
from headrace.runs.gather_again import BEFORE_BATCH
from headrace.testing import TestApp


def declared(**more: object) -> App:
    app = App("shop")

    @app.function(
        "gather",
        trigger="item/added",
        batch=Batch(max_size=10, timeout="1m", key="event.data.cart"),
        cancel_on=CancelOn("cart/emptied", match="data.cart"),
        **more,  # type: ignore[arg-type]
    )
    async def gather(ctx: Context) -> list[int]:
        return [event.data["n"] for event in ctx.events]

    return app


def add(kit: TestApp, *numbers: int, cart: str = "c") -> None:
    for number in numbers:
        kit.send("item/added", {"n": number, "cart": cart})
        kit.advance("100ms")


def outputs(kit: TestApp) -> list[object]:
    return sorted((run.output for run in kit.runs if run.status == "Completed"), key=str)


@pytest.mark.parametrize("limited", [False, True], ids=["where it is", "behind a limit"])
def test_events_that_are_gathered_are_dropped_by_what_cancels_them_and_later_ones_are_not(limited: bool) -> None:
    options = {"concurrency": Concurrency(1, key="event.data.cart")} if limited else {}
    with declared(**options).test() as kit:
        add(kit, 1, 2)
        kit.send("cart/emptied", {"cart": "c"})
        kit.advance("100ms")
        add(kit, 3, 4)
        kit.advance("5m")
        assert outputs(kit) == [[3, 4]]
        assert [run.status for run in kit.runs].count("Cancelled") == 1


def test_other_keys_are_not_concerned() -> None:
    with declared().test() as kit:
        add(kit, 1, cart="a")
        add(kit, 2, cart="b")
        kit.send("cart/emptied", {"cart": "a"})
        kit.advance("5m")
        assert outputs(kit) == [[2]]


def test_a_batch_that_fills_up_right_after_what_cancels_it_keeps_what_came_later() -> None:
    with declared().test() as kit:
        add(kit, 1, 2, 3)
        kit.send("cart/emptied", {"cart": "c"})
        kit.advance("10ms")
        add(kit, *range(4, 11))
        kit.advance("5m")
        assert outputs(kit) == [[4, 5, 6, 7, 8, 9, 10]]


def test_the_stage_before_the_batch_is_the_one_that_runs_go_back_behind() -> None:
    assert max(stage for stage in StageNumber if stage < StageNumber.BATCH) == BEFORE_BATCH
