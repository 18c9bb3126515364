"""Plain `def` functions on threads."""

from __future__ import annotations

import threading
from typing import Any

from headrace import App, Backoff, Retries, StepError
from tests.sdk_python.counted import Counted, give


def test_an_order_in_plain_code() -> None:
    app = App("shop")
    load = Counted({"id": "o-1"})
    threads: set[str] = set()

    @app.function("process", trigger="order/created")
    def process(ctx: Any) -> Any:
        threads.add(threading.current_thread().name)
        order = ctx.step.run("load", load.next)
        ctx.step.sleep("cool-off", "30m")
        later = ctx.step.run("later", give, "async is fine")
        (event_id,) = ctx.step.send_event("tell", {"name": "order/done"})
        return [order, later, len(event_id), ctx.event.data]

    with app.test() as t:
        t.send("order/created", {"n": 1})
        assert t.run_of("process").phase == "sleeping"
        t.advance("30m")
        run = t.run_of("process")
        assert run.output == [{"id": "o-1"}, "async is fine", 26, {"n": 1}]
        assert load.calls == 1
        assert len(t.events("order/done")) == 1
    assert threading.main_thread().name not in threads


def test_many_sleepers_need_few_threads() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    def body(ctx: Any, step: Any) -> Any:
        step.sleep("nap", "1h")
        return ctx.event.data["n"]

    with app.test() as t:
        for n in range(100):
            t.send("x", {"n": n})
        assert all(run.phase == "sleeping" for run in t.runs)
        assert t.member.execution.live == 0
        t.advance("1h")
        assert sorted(run.output for run in t.runs) == list(range(100))


def test_retries_and_errors() -> None:
    app = App("shop")
    flaky = Counted(ValueError("one"), ValueError("two"), "fine")

    @app.function("f", trigger="x", retries=Retries(2, Backoff("linear", base="1s", jitter=0)))
    def body(ctx: Any) -> Any:
        value = ctx.step.run("flaky", flaky.next)
        try:
            ctx.step.options(retries=0).run("broken", Counted(ValueError("no")).next)
        except StepError as error:
            return [value, error.name]

    with app.test() as t:
        t.send("x")
        t.advance(3)
        assert t.run_of("f").output == ["fine", "ValueError"]
        assert flaky.calls == 3


def test_finally_runs_on_unwinding_and_steps_in_it_do_nothing() -> None:
    app = App("shop")
    trace: list[str] = []

    @app.function("f", trigger="x")
    def body(ctx: Any) -> None:
        try:
            ctx.step.sleep("nap", "1h")
        finally:
            trace.append("finally")
            ctx.step.run("clean-up", give, None)
            trace.append("cleaned")

    with app.test() as t:
        t.send("x")
        assert trace == ["finally"]
        t.advance("1h")
        assert t.run_of("f").status == "Completed"
        assert trace[-1] == "cleaned"
        assert trace.count("cleaned") == 1


def test_a_crash_in_the_middle() -> None:
    app = App("shop")
    load, save = Counted(1), Counted(2)

    @app.function("f", trigger="x")
    def body(ctx: Any) -> Any:
        loaded = ctx.step.run("load", load.next)
        ctx.step.sleep("nap", "1h")
        return loaded + ctx.step.run("save", save.next)

    with app.test() as t:
        t.send("x")
        t.crash()
        t.advance("1h")
        assert t.run_of("f").output == 3
        assert (load.calls, save.calls) == (1, 1)
