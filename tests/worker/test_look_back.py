"""Look-backs on the real machine. Goal: what the log holds is found, wherever it stands and whoever looks."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import App, Context, StepError
from headrace.adapters.memory_network import Faults
from headrace.testing import TestApp

PARTITIONS = range(2)  # of the test kit


def shop(since: str | None = "run", sleep: str = "1d") -> App:
    app = App("shop")

    @app.function("order", trigger="order/created", retries=0)
    async def order(ctx: Context) -> Any:
        await ctx.step.sleep("a while", sleep)
        try:
            paid = await ctx.step.wait_for_event("paid", "paid", match="data.order", timeout="1h", since=since)
        except StepError as error:
            return [error.name]
        return paid.event.data["n"] if paid else None

    return app


def send_everywhere(t: TestApp, order: str) -> None:
    """Send events of one order to all partitions, a millisecond apart, among others."""
    for n in PARTITIONS:
        for key in range(40):  # some keys of each partition
            t.send("paid", {"order": f"other{n}", "n": key}, key=f"k{key}")
        t.send("paid", {"order": order, "n": n}, key=f"key{n}")
        t.advance(0.001)


def log_of(t: TestApp, partition: int) -> Any:
    found = t.world.cluster.partition(t.world.topics.events, partition)
    assert found is not None
    return found


def begun(t: TestApp) -> None:
    t.send("order/created", {"order": "a"})
    t.advance("1m")
    send_everywhere(t, "a")


def test_the_earliest_of_what_came_since_the_run_began_is_found() -> None:
    with shop().test() as t:
        t.send("paid", {"order": "a", "n": -1})
        t.advance("1m")
        begun(t)
        t.advance("2d")
        assert t.run_of("order").output == 0


def test_without_since_it_is_not_looked_for() -> None:
    with shop(None).test() as t:
        begun(t)
        t.advance("2d")
        run = t.run_of("order")
        assert (run.status, run.output) == ("Completed", None)


def test_offsets_without_a_record_are_passed_over() -> None:
    with shop().test() as t:
        for partition in PARTITIONS:
            log_of(t, partition).skip(3)
        begun(t)
        for partition in PARTITIONS:
            log_of(t, partition).skip(3)
        t.advance("2d")
        assert t.run_of("order").output == 0


@pytest.mark.parametrize("ends", ["crash", "rebalance"])
def test_a_new_owner_begins_a_look_back_anew(ends: str) -> None:
    with shop().test() as t:
        begun(t)
        # Reading stops, and the wait is asked: the look-back cannot end under this owner.
        for partition in PARTITIONS:
            log_of(t, partition).freeze(t.world.loop.time() + 86_400 + 20)
        t.advance("23h59m59s")
        t.advance("10s")
        assert t.run_of("order").status == "Running"
        assert any(machine.overlay.waiting.shapes.get(key).looking for machine, key in shapes(t))
        getattr(t, ends)()
        t.advance("30m")
        assert t.run_of("order").output == 0


def shapes(t: TestApp) -> list[tuple[Any, bytes]]:
    """Every shape of every machine."""
    machines = [ownership.machine for ownership in t.member.node.owned.values()]
    return [(machine, key) for machine in machines for key, _ in machine.overlay.waiting.shapes.scan(b"")]


@pytest.mark.parametrize(("trimmed", "output"), [(False, 0), (True, ["EventsExpired"])])
def test_what_has_expired_is_an_error_and_no_silence(trimmed: bool, output: Any) -> None:
    with shop(sleep="8d").test() as t:
        begun(t)
        for partition in PARTITIONS:
            log = log_of(t, partition)
            log.trim(log.end - 1 if trimmed else 0)
        t.advance("9d")
        assert t.run_of("order").output == output


def test_a_log_that_has_lost_what_nobody_asks_for_is_no_error() -> None:
    with shop().test() as t:
        send_everywhere(t, "a")
        for partition in PARTITIONS:
            log = log_of(t, partition)
            log.trim(log.end)
        begun(t)
        t.advance("2d")
        assert t.run_of("order").output == 0


def test_a_question_that_fails_is_asked_again() -> None:
    with shop().test() as t:
        begun(t)
        t.advance("23h50m")
        t.world.cluster.network.faults = Faults(bounds_failed=0.5)
        t.advance("20m")
        assert t.run_of("order").output == 0
