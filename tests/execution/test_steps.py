"""Steps of async functions, on the real decisions: each once, results by the record, failures and what follows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.adapters.manual_clock import EPOCH_MS
from headrace.errors import BadDeclaration
from headrace.execution import Context
from headrace.functions import Backoff, Event, Retries
from headrace.functions.errors import DuplicateStep, NonRetriableError, RetryAfterError, StepError
from headrace.records.commands import RunReport, StepReport, Suspended
from headrace.records.rows import StepOp
from tests.execution.declared import function
from tests.execution.partition import World

FIXED = Backoff("fixed", base="1m", max="1m", jitter=0)


@pytest.fixture(params=[False, True], ids=["kept", "evicted"])
def evict(request: pytest.FixtureRequest) -> bool:
    """Every test runs twice: code kept alive between steps, and dropped at every boundary."""
    return bool(request.param)


class Counted:
    """A callable that counts its calls and gives, or raises, one thing after the other; the last one for ever."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = outcomes
        self.calls = 0

    async def __call__(self, *args: Any) -> Any:
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def test_a_run_without_steps(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        return {"n": ctx.event.data["n"] + 1}

    with World([function(body)], evict=evict) as world:
        world.send("order/created", {"n": 1})
        run = world.run()
        assert (run.status, run.output) == ("Completed", {"n": 2})
        assert world.execution.live == 0


def test_steps_are_done_once_and_in_order(evict: bool) -> None:
    load, save = Counted({"id": 7}), Counted("saved")

    async def body(ctx: Context) -> Any:
        order = await ctx.step.run("load", load, 1)
        return [order, await ctx.step.run("save", save)]

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert run.output == [{"id": 7}, "saved"]
        assert (load.calls, save.calls) == (1, 1)
        assert run.steps["load"].output == {"id": 7}
        assert run.steps["load"].attempts == 1
        assert world.execution.counts.evictions == (2 if evict else 0)


def test_arguments_reach_the_callable(evict: bool) -> None:
    async def join(*args: Any, **kwargs: Any) -> Any:
        return [args, kwargs]

    async def body(ctx: Context) -> Any:
        return await ctx.step.run("join", join, 1, function="f", step_id="s")

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == [[1], {"function": "f", "step_id": "s"}]


def test_code_sees_a_result_as_it_is_recorded_from_the_first_time_on(evict: bool) -> None:
    seen: list[Any] = []
    given = {"list": (1, 2)}

    async def load() -> Any:
        return given

    async def body(ctx: Context) -> None:
        seen.append(await ctx.step.run("load", load))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
    assert all(value == {"list": [1, 2]} and value is not given for value in seen)
    assert seen


def test_code_goes_on_only_after_the_commit(evict: bool) -> None:
    seen: list[float] = []

    async def body(ctx: Context) -> None:
        await ctx.step.run("a", Counted(1))
        seen.append(ctx._live.loop.time())

    with World([function(body)], evict=evict, commit_s=0.01) as world:
        world.send("order/created")
        assert seen
        assert seen[0] == pytest.approx(0.02)  # the start's commit, and the step's


def test_a_failing_step_is_tried_again_with_its_backoff(evict: bool) -> None:
    flaky = Counted(ValueError("one"), ValueError("two"), "fine")
    bodies: list[int] = []

    async def body(ctx: Context) -> Any:
        bodies.append(ctx.attempt)
        return await ctx.step.run("flaky", flaky)

    with World([function(body, retries=Retries(3, FIXED))], evict=evict) as world:
        world.send("order/created")
        assert flaky.calls == 1
        world.advance(59)
        assert flaky.calls == 1
        world.advance(1)
        assert flaky.calls == 2
        world.advance(60)
        run = world.run()
        assert (run.status, run.output) == ("Completed", "fine")
        assert run.steps["flaky"].attempts == 3
        assert set(bodies) == {0}
        if not evict:
            assert len(bodies) == 1


def test_a_step_whose_retries_are_spent_raises_step_error(evict: bool) -> None:
    broken = Counted(ValueError("broken"))
    caught: list[StepError] = []

    async def body(ctx: Context) -> Any:
        try:
            await ctx.step.run("broken", broken)
        except StepError as error:
            caught.append(error)
            return await ctx.step.run("instead", Counted("plan b"))

    with World([function(body, retries=Retries(1, FIXED))], evict=evict) as world:
        world.send("order/created")
        world.advance(60)
        run = world.run()
        assert (run.status, run.output) == ("Completed", "plan b")
        assert broken.calls == 2
        error = caught[0]
        assert (error.step_id, error.name, error.message) == ("broken", "ValueError", "broken")
        assert "ValueError: broken" in error.stack


def test_an_uncaught_step_error_fails_the_run_without_more_attempts(evict: bool) -> None:
    async def body(ctx: Context) -> None:
        await ctx.step.options(retries=0).run("broken", Counted(ValueError("broken")))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "StepError")
        assert "broken" in run.message


def test_retries_of_one_step_alone(evict: bool) -> None:
    broken = Counted(ValueError("broken"))

    async def body(ctx: Context) -> None:
        await ctx.step.options(retries=2).run("broken", broken)

    with World([function(body, retries=Retries(0, FIXED))], evict=evict) as world:
        world.send("order/created")
        world.advance(300)
        assert broken.calls == 3
        assert world.run().status == "Failed"


def test_a_non_retriable_error_in_a_step_spends_its_retries(evict: bool) -> None:
    broken = Counted(NonRetriableError("never"))

    async def body(ctx: Context) -> None:
        await ctx.step.run("broken", broken)

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert broken.calls == 1
        assert world.run().status == "Failed"


@pytest.mark.parametrize(
    "after", ["30s", 30, timedelta(seconds=30), datetime.fromtimestamp(EPOCH_MS / 1000 + 30, UTC)], ids=str
)
def test_retry_after_says_when(evict: bool, after: Any) -> None:
    busy = Counted(RetryAfterError("busy", after), "fine")

    async def body(ctx: Context) -> Any:
        return await ctx.step.run("busy", busy)

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(29.9)
        assert busy.calls == 1
        world.advance(0.2)
        assert world.run().output == "fine"


def test_a_failing_body_is_tried_again_and_keeps_its_steps(evict: bool) -> None:
    load = Counted("loaded")
    attempts: list[int] = []

    async def body(ctx: Context) -> Any:
        loaded = await ctx.step.run("load", load)
        attempts.append(ctx.attempt)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return loaded

    with World([function(body, retries=Retries(2, FIXED))], evict=evict) as world:
        world.send("order/created")
        world.advance(60)
        world.advance(60)
        run = world.run()
        assert (run.status, run.output) == ("Completed", "loaded")
        assert load.calls == 1
        assert attempts == [0, 1, 2]


def test_a_body_fails_when_its_retries_are_spent(evict: bool) -> None:
    async def body(ctx: Context) -> None:
        raise ValueError(f"attempt {ctx.attempt}")

    with World([function(body, retries=Retries(1, FIXED))], evict=evict) as world:
        world.send("order/created")
        assert world.run().status == "Running"
        world.advance(60)
        run = world.run()
        assert (run.status, run.error, run.message) == ("Failed", "ValueError", "attempt 1")
        assert "headrace/execution" not in run.stack
        assert "in body" in run.stack


def test_a_recorded_step_gives_the_body_its_attempts_again(evict: bool) -> None:
    failures = {"before": 1, "after": 1}

    async def body(ctx: Context) -> Any:
        if failures["before"]:
            failures["before"] -= 1
            raise ValueError("before")
        await ctx.step.run("load", Counted(1))
        if failures["after"]:
            failures["after"] -= 1
            raise ValueError("after")
        return "done"

    with World([function(body, retries=Retries(1, FIXED))], evict=evict) as world:
        world.send("order/created")
        world.advance(60)
        world.advance(60)
        assert world.run().output == "done"


@pytest.mark.parametrize(
    ("error", "name"), [(SystemExit(3), "SystemExit"), (asyncio.CancelledError("mine"), "CancelledError")]
)
def test_what_is_no_ordinary_exception_is_an_ordinary_failure(evict: bool, error: BaseException, name: str) -> None:
    async def body(ctx: Context) -> Any:
        if ctx.event.data["where"] == "body":
            raise error
        return await ctx.step.options(retries=0).run("step", Counted(error))

    with World([function(body, retries=0)], evict=evict) as world:
        world.send("order/created", {"where": "body"})
        assert [(run.status, run.error) for run in world.runs()] == [("Failed", name)]
        world.send("order/created", {"where": "step"})
        run = world.runs()[1]
        assert run.status == "Failed"
        assert run.steps["step"].error == name


def test_a_time_out_inside_a_step_is_its_failure(evict: bool) -> None:
    async def slow() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(60)

    async def body(ctx: Context) -> Any:
        await ctx.step.options(retries=0).run("slow", slow)

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(5)
        run = world.run()
        assert run.status == "Failed"
        assert run.steps["slow"].error == "TimeoutError"


@pytest.mark.parametrize("by", ["timeout", "wait_for"])
def test_a_time_out_around_a_step_is_the_bodys_own_affair(evict: bool, by: str) -> None:
    started: list[int] = []

    async def slow() -> None:
        started.append(1)
        await asyncio.sleep(60)

    async def body(ctx: Context) -> Any:
        try:
            if by == "wait_for":
                await asyncio.wait_for(ctx.step.run("slow", slow), 5)
            else:
                async with asyncio.timeout(5):
                    await ctx.step.run("slow", slow)
        except TimeoutError:
            return await ctx.step.run("instead", Counted("plan b"))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(15)
        run = world.run()
        assert (run.status, run.output) == ("Completed", "plan b")
        assert "slow" not in run.steps  # interrupted, so nothing is recorded of it


def test_a_sleep_lasts_as_long_as_it_says(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        await ctx.step.sleep("nap", "30m")
        return "rested"

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(1_799)
        assert world.run().status == "Running"
        world.advance(1)
        run = world.run()
        assert run.output == "rested"
        assert run.steps["nap"].op == "sleep"


@pytest.mark.parametrize(
    "when",
    [datetime.fromtimestamp(EPOCH_MS / 1000 + 60, UTC), EPOCH_MS + 60_000, "2026-01-01T00:01:00Z"],
    ids=["datetime", "ms", "iso"],
)
def test_sleep_until_a_moment(evict: bool, when: Any) -> None:
    async def body(ctx: Context) -> Any:
        await ctx.step.sleep_until("noon", when)
        await ctx.step.sleep_until("past", "2020-01-01T00:00:00Z")
        return "rested"

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(59.9)
        assert world.run().status == "Running"
        world.advance(0.2)
        assert world.run().output == "rested"


def test_a_duration_that_is_none_fails_the_run_with_the_reason(evict: bool) -> None:
    async def body(ctx: Context) -> None:
        await ctx.step.sleep("nap", "30 minutes")

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "BadDeclaration")


def test_events_are_published_once_and_their_ids_given(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        one = await ctx.step.send_event("one", {"name": "order/done", "data": {"n": 1}})
        two = await ctx.step.send_event("two", [Event("a/b", {"n": 2}, key="k"), {"name": "c/d"}])
        return one + two

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert len(set(run.output)) == 3
        assert [event["name"] for event in world.partition.published] == ["order/done", "a/b", "c/d"]
        assert run.steps["two"].op == "send_event"


def test_an_event_that_is_none_fails_the_run_without_retries(evict: bool) -> None:
    async def body(ctx: Context) -> None:
        await ctx.step.send_event("one", {"name": "inngest/nope"})

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().error == "BadRequest"
        assert world.partition.published == []


def test_an_id_in_a_loop_names_one_occurrence_after_the_other(evict: bool) -> None:
    pages = Counted("a", "b", "c", None)

    async def body(ctx: Context) -> Any:
        found = []
        while (page := await ctx.step.run("page", pages)) is not None:
            found.append(page)
            await ctx.step.sleep("pause", "1m")
        return found

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        for _ in range(3):
            world.advance(60)
        run = world.run()
        assert run.output == ["a", "b", "c"]
        assert pages.calls == 4
        assert set(run.steps) == {"page", "page#1", "page#2", "page#3", "pause", "pause#1", "pause#2"}


def test_an_id_asked_for_twice_at_once_fails_the_run_and_says_why(evict: bool) -> None:
    async def slow() -> None:
        await asyncio.sleep(1)

    async def body(ctx: Context) -> None:
        await asyncio.gather(ctx.step.run("load", slow), ctx.step.run("load", slow))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        world.advance(2)
        run = world.run()
        assert (run.status, run.error) == ("Failed", "DuplicateStep")
        assert "duplicate_step" in run.message
        assert "give every branch its own id" in run.message


def test_a_duplicate_may_be_caught(evict: bool) -> None:
    async def body(ctx: Context) -> Any:
        results = await asyncio.gather(
            ctx.step.run("load", Counted(1)), ctx.step.run("load", Counted(2)), return_exceptions=True
        )
        return [isinstance(result, DuplicateStep) for result in results]

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == [False, True]


@pytest.mark.parametrize("how", ["async", "lambda", "thread"])
def test_a_step_inside_a_step_fails_the_run_and_says_why(evict: bool, how: str) -> None:
    async def body(ctx: Context) -> None:
        async def outer() -> Any:
            return await ctx.step.run("inner", Counted(1))

        def plain() -> Any:
            return ctx.step.run("inner", Counted(1))

        await ctx.step.run("outer", {"async": outer, "lambda": lambda: outer(), "thread": plain}[how])

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "NestedStep")
        assert "'inner'" in run.message
        assert "'outer'" in run.message
        assert run.steps == {}


@pytest.mark.parametrize("step_id", ["", "a\0b", 7, None, ["a"], "x" * 300])
def test_what_is_no_step_id_fails_the_run(evict: bool, step_id: Any) -> None:
    async def body(ctx: Context) -> None:
        await ctx.step.run(step_id, Counted(1))

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert run.status == "Failed"
        assert "step_id_invalid" in run.message


def test_a_result_that_cannot_be_recorded_fails_its_step_for_good(evict: bool) -> None:
    opaque = Counted(object())

    async def body(ctx: Context) -> Any:
        if ctx.event.data["where"] == "body":
            return object()
        await ctx.step.run("opaque", opaque)

    with World([function(body)], evict=evict) as world:
        world.send("order/created", {"where": "step"})
        run = world.runs()[0]
        assert run.status == "Failed"
        assert run.steps["opaque"].error == "Unserialisable"
        assert opaque.calls == 1
        world.send("order/created", {"where": "body"})
        assert world.runs()[1].error == "Unserialisable"


def test_plain_callables_run_on_threads_with_the_callers_variables(evict: bool) -> None:
    import contextvars
    import threading

    who = contextvars.ContextVar("who", default="nobody")
    threads: set[int] = set()

    def plain(n: int) -> Any:
        threads.add(threading.get_ident())
        return [who.get(), n]

    async def body(ctx: Context) -> Any:
        who.set("the body")
        return await ctx.step.run("plain", plain, 3)

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().output == ["the body", 3]
    assert threading.get_ident() not in threads


def test_stop_iteration_is_a_failure_like_any_other(evict: bool) -> None:
    def plain() -> Any:
        return next(iter(()))

    async def body(ctx: Context) -> Any:
        await ctx.step.options(retries=0).run("plain", plain)

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        assert world.run().status == "Failed"


def test_options_of_a_step_that_are_not_there_are_refused() -> None:
    seen: list[str] = []

    async def body(ctx: Context) -> None:
        for options in ({"timeout": "soon"}, {"retires": 1}, {"retries": -1}):
            with pytest.raises(BadDeclaration) as caught:
                ctx.step.options(**options)
            seen.append(caught.value.code)

    with World([function(body)]) as world:
        world.send("order/created")
        assert world.run().status == "Completed"
    assert seen == ["bad_duration", "option_unknown", "retries_invalid"]


def test_what_is_reported() -> None:
    flaky = Counted(ValueError("no"), b"\xff")

    async def body(ctx: Context) -> Any:
        await ctx.step.options(retries=5).run("a", flaky)
        return "done"

    with World([function(body, retries=Retries(3, FIXED))]) as world:
        world.send("order/created")
        world.advance(60)
        first, second = world.submitted(StepReport)
        assert (first.step, first.op, first.attempt, first.retries) == (b"a", StepOp.RUN, 0, 5)
        assert first.started_ms == EPOCH_MS
        assert first.failure is not None
        assert first.output is None
        assert (second.attempt, second.output, second.output_json) == (1, b"b\xff", '"base64:/w=="')
        (suspended,) = world.submitted(Suspended)  # once, while it backed off
        assert suspended.waiting == [b"a"]
        (report,) = world.submitted(RunReport)
        assert (report.attempt, report.output_json) == (0, '"done"')


@pytest.mark.filterwarnings("ignore:coroutine 'run_step' was never awaited:RuntimeWarning")
def test_a_step_that_is_never_awaited_fails_the_run_and_is_named(evict: bool) -> None:
    load = Counted(1)

    async def body(ctx: Context) -> Any:
        await ctx.step.run("first", load)
        ctx.step.run("forgotten", load)
        return "done"

    with World([function(body)], evict=evict) as world:
        world.send("order/created")
        run = world.run()
        assert (run.status, run.error) == ("Failed", "StepMisuse")
        assert "'forgotten'" in run.message
        assert "'first'" not in run.message
        assert load.calls == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), GeneratorExit("g"), SystemExit(3)], ids=repr)
def test_what_ends_an_interpreter_is_a_failure_like_any_other_in_user_code(evict: bool, raised: BaseException) -> None:
    step, branch = Counted(raised), Counted(1)

    async def body(ctx: Context) -> Any:
        if ctx.event.data["where"] == "body":
            raise raised
        if ctx.event.data["where"] == "branch":

            async def side() -> None:
                await ctx.step.run("b", branch)
                raise raised

            await asyncio.gather(side(), ctx.step.run("a", branch))
        await ctx.step.run("s", step)

    with World([function(body, retries=1)], evict=evict) as world:
        for where in ("body", "step", "branch"):
            world.send("order/created", {"where": where})
        world.advance(60)
        assert [run.status for run in world.runs()] == ["Failed"] * 3
        assert step.calls == 2
