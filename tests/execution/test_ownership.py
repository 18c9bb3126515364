"""What machines ask for: starting, stopping, draining, dropping, taking over; code that comes and goes; memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.execution import Context, InProcess, Settings
from headrace.functions import Backoff, Retries
from headrace.records.commands import AnyCommand, CodeMissing, RunReport, StepReport, Suspended
from headrace.records.rows import KnownEvent, Phase, Run, Step, StepOp, StepState
from headrace.records.values import pack_value
from tests.execution.declared import function
from tests.execution.partition import World

FIXED = Backoff("fixed", base="1m", max="1m", jitter=0)


async def give(value: Any, after_s: float = 0) -> Any:
    if after_s:
        await asyncio.sleep(after_s)
    return value


# --- stopping -----------------------------------------------------------------------------------------------------


def test_a_cancelled_run_is_interrupted_wherever_it_is() -> None:
    trace: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            trace.append("step")

    async def body(ctx: Context) -> None:
        try:
            await asyncio.gather(ctx.step.run("slow", slow), ctx.step.sleep("nap", "1h"), asyncio.sleep(100))
        finally:
            trace.append("body")
            await ctx.step.run("clean-up", give, 1)

    with World([function(body)]) as world:
        world.send("order/created")
        world.partition.cancel(world.run().id)
        world.advance(0.1)
        run = world.run()
        assert run.status == "Cancelled"
        assert run.steps == {}
        assert sorted(trace) == ["body", "step"]
        assert world.execution.live == 0
        before = len(world.partition.submitted)
        world.advance(4_000)
        assert len(world.partition.submitted) == before


def test_a_cancelled_run_that_was_evicted_stays_away() -> None:
    async def body(ctx: Context) -> None:
        await ctx.step.sleep("nap", "1h")

    with World([function(body)], evict=True) as world:
        world.send("order/created")
        world.partition.cancel(world.run().id)
        world.advance(4_000)
        assert world.run().status == "Cancelled"
        assert world.submitted(RunReport) == []


def test_user_code_that_swallows_its_cancellation_is_nothing_any_more() -> None:
    async def body(ctx: Context) -> Any:
        try:
            await ctx.step.sleep("nap", "1h")
        except asyncio.CancelledError:
            try:
                await ctx.step.run("more", give, 1)
            except asyncio.CancelledError:
                return "swallowed"

    with World([function(body)]) as world:
        world.send("order/created")
        world.partition.cancel(world.run().id)
        world.advance(1)
        assert world.submitted(RunReport) == []
        assert world.submitted(StepReport) == []


# --- losing and taking over ---------------------------------------------------------------------------------------


def test_after_a_takeover_recorded_steps_are_not_done_again() -> None:
    done: list[str] = []

    async def work(name: str, after_s: float = 0) -> str:
        await asyncio.sleep(after_s)
        done.append(name)
        return name

    async def body(ctx: Context) -> Any:
        a = await ctx.step.run("a", work, "a")
        b = await ctx.step.run("b", work, "b", 30)
        return [a, b]

    with World([function(body)]) as world:
        world.send("order/created")
        world.partition.take_over()
        assert world.execution.live == 0
        world.advance(60)
        assert done == ["a"]  # "b" was interrupted, and nothing is submitted for a dropped owner
        world.partition.restart()
        world.advance(60)
        run = world.run()
        assert run.output == ["a", "b"]
        assert done == ["a", "b"]
        assert run.steps["b"].attempts == 1


def test_a_new_owner_need_not_start_suspended_runs_and_timers_wake_them() -> None:
    bodies: list[int] = []

    async def body(ctx: Context) -> Any:
        bodies.append(1)
        await ctx.step.sleep("nap", "1h")
        return "rested"

    with World([function(body)]) as world:
        world.send("order/created")
        world.partition.take_over()
        world.partition.restart()
        world.advance(10)
        assert world.execution.live == 0
        assert len(bodies) == 1
        world.advance(3_600)
        assert world.run().output == "rested"
        assert len(bodies) == 2


def test_a_step_that_backs_off_goes_on_counting_its_attempts_after_a_takeover() -> None:
    attempts: list[int] = []

    async def body(ctx: Context) -> Any:
        async def flaky() -> str:
            attempts.append(ctx.attempt)
            if len(attempts) < 3:
                raise ValueError("no")
            return "fine"

        return await ctx.step.run("flaky", flaky)

    with World([function(body, retries=Retries(2, FIXED))]) as world:
        world.send("order/created")
        world.partition.take_over().restart()
        world.advance(60)
        world.partition.take_over().restart()
        world.advance(61)
        assert world.run().output == "fine"
        assert attempts == [0, 1, 2]


# --- draining -----------------------------------------------------------------------------------------------------


def drained(world: World, within_ms: int = 2_000) -> list[float]:
    times: list[float] = []
    world.execution.drain(world.partition, lambda: times.append(world.loop.time()), within_ms)
    return times


def test_draining_lets_steps_finish_and_starts_no_new_ones() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.step.run("a", give, "a", 1)
        await ctx.step.run("b", give, "b")
        await ctx.step.sleep("nap", 1)

    with World([function(body)], commit_s=0.1) as world:
        world.send("order/created")
        world.advance(0.2)
        began = world.loop.time()
        times = drained(world)
        world.advance(10)
        (end,) = times
        assert 0.9 <= end - began <= 1.3
        assert list(world.run().steps) == ["a"]
        assert world.execution.live == 0
        world.send("order/created", {"n": 2})
        world.advance(1)
        assert world.execution.live == 0  # the owner drains: its next one starts this
        world.partition.take_over().restart()
        world.advance(10)
        assert [run.status for run in world.runs()] == ["Completed", "Completed"]


def test_draining_waits_no_longer_than_it_is_told_to() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.step.run("a", give, "a", 100)

    with World([function(body)]) as world:
        world.send("order/created")
        began = world.loop.time()
        times = drained(world, 500)
        world.advance(10)
        assert times[0] - began == pytest.approx(0.5, abs=0.02)
        assert world.submitted(StepReport) == []
        assert world.execution.live == 0


def test_draining_with_nothing_to_drain_is_over_at_once() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.step.sleep("nap", "1h")

    with World([function(body)]) as world:
        times = drained(world)
        assert times == []  # never from inside the call
        world.advance(0)
        assert times == [0.0]
    with World([function(body)]) as world:
        world.send("order/created")
        began = world.loop.time()
        times = drained(world)
        world.advance(0.01)
        assert times[0] == pytest.approx(began, abs=0.01)


def test_draining_a_plain_function() -> None:
    def body(ctx: Any) -> Any:
        ctx.step.run("a", give, "a", 1)
        ctx.step.run("b", give, "b")

    with World([function(body)]) as world:
        world.send("order/created")
        times = drained(world)
        world.advance(10)
        assert len(times) == 1
        assert list(world.run().steps) == ["a"]
        assert world.execution.live == 0


# --- code ---------------------------------------------------------------------------------------------------------


async def rested(ctx: Context) -> Any:
    await ctx.step.sleep("nap", "1h")
    return "old"


async def rested_anew(ctx: Context) -> Any:
    await ctx.step.sleep("nap", "1h")
    return "new"


def test_a_run_without_code_waits_visibly_and_goes_on_when_it_is_there() -> None:
    declared = function(rested)
    with World([declared]) as world:
        world.execution.load_functions({})
        world.send("order/created")
        world.advance(10)
        assert [command.missing for command in world.submitted(CodeMissing)] == [True]
        assert world.run().live is not None
        assert world.run().live.phase == Phase.NO_CODE  # type: ignore[union-attr]
        world.execution.load_functions({"other": declared})
        world.advance(1)
        assert len(world.submitted(CodeMissing)) == 1
        world.execution.load_functions({declared.id: declared})
        world.advance(3_700)
        assert [command.missing for command in world.submitted(CodeMissing)] == [True, False]
        assert world.run().output == "old"


def test_a_run_without_code_goes_on_at_a_new_owner_that_has_it() -> None:
    declared = function(rested)
    with World([declared]) as world:
        world.execution.load_functions({})
        world.send("order/created")
        world.partition.take_over()
        world.execution.load_functions({declared.id: declared})
        world.partition.restart()
        world.advance(1)
        assert world.run().live.phase == Phase.EXECUTING  # type: ignore[union-attr]
        assert world.execution.live == 1
        world.advance(3_700)
        assert world.run().output == "old"


def test_a_cancelled_run_without_code_is_forgotten() -> None:
    declared = function(rested)
    with World([declared]) as world:
        world.execution.load_functions({})
        world.send("order/created")
        world.partition.cancel(world.run().id)
        world.advance(1)
        world.execution.load_functions({declared.id: declared})
        world.advance(1)
        assert [command.missing for command in world.submitted(CodeMissing)] == [True]
        assert world.run().status == "Cancelled"


def test_runs_in_flight_go_on_with_new_code() -> None:
    with World([function(rested)]) as world:
        world.send("order/created")
        new = function(rested_anew)
        world.execution.load_functions({new.id: new})
        assert world.execution.live == 0  # it slept
        world.advance(3_601)
        assert world.run().output == "new"


def test_a_step_that_runs_while_the_code_changes_is_finished_first() -> None:
    def version(name: str) -> Any:
        async def body(ctx: Context) -> Any:
            return [await ctx.step.run("a", give, name, 10), name]

        return function(body)

    old, new = version("old"), version("new")
    with World([old]) as world:
        world.send("order/created")
        world.execution.load_functions({new.id: new})
        world.advance(11)
        assert world.run().output == ["old", "new"]
        assert world.run().steps["a"].attempts == 1


def test_the_same_code_loaded_again_changes_nothing() -> None:
    declared = function(rested)
    with World([declared]) as world:
        world.send("order/created")
        world.execution.load_functions({declared.id: declared})
        assert world.execution.live == 1


# --- memory -------------------------------------------------------------------------------------------------------


def test_runs_that_wait_longest_make_room_and_are_replayed() -> None:
    bodies: list[int] = []

    async def body(ctx: Context) -> Any:
        bodies.append(ctx.event.data["n"])
        await ctx.step.sleep("nap", "1h")
        return ctx.event.data["n"]

    with World([function(body)], settings=Settings(blocked_ms=0, live_max=3)) as world:
        for n in range(6):
            world.send("order/created", {"n": n})
        assert world.execution.live == 3
        assert world.execution.busy == 0
        assert not world.execution.full
        assert world.execution.counts.evictions == 3
        world.advance(3_601)
        assert sorted(run.output for run in world.runs()) == list(range(6))
        assert [bodies.count(n) for n in range(3)] == [2, 2, 2]
        assert world.execution.live == 0


def test_results_that_were_handed_over_are_not_kept() -> None:
    async def body(ctx: Context) -> Any:
        for _ in range(5):
            await ctx.step.run("load", give, "x" * 1_000)
        await ctx.step.sleep("nap", "1h")

    with World([function(body)]) as world:
        world.send("order/created")
        (live,) = world.execution._resting
        assert len(live.memo) == 6
        assert all(row.output is None for row in live.memo.values())


def test_it_is_full_when_everything_is_busy() -> None:
    async def body(ctx: Context) -> Any:
        await ctx.step.run("a", give, 1, 10)

    with World([function(body)], settings=Settings(blocked_ms=0, live_max=2)) as world:
        world.send("order/created", {"n": 1})
        assert not world.execution.full
        world.send("order/created", {"n": 2})
        assert world.execution.full
        world.send("order/created", {"n": 3})
        assert world.execution.live == 3  # what is committed is started all the same
        world.advance(11)
        assert not world.execution.full
        assert [run.status for run in world.runs()] == ["Completed"] * 3


def test_a_run_is_told_suspended_once_for_each_time_it_rests() -> None:
    async def body(ctx: Context) -> None:
        await asyncio.gather(ctx.step.sleep("a", 10), ctx.step.sleep("b", 20))
        await ctx.step.run("c", give, 1)
        await ctx.step.run("d", give, 1)

    with World([function(body)]) as world:
        world.send("order/created")
        world.advance(60)
        assert [command.waiting for command in world.submitted(Suspended)] == [[b"a", b"b"], [b"b"]]


def test_finally_blocks_run_on_eviction_and_steps_in_them_do_nothing() -> None:
    trace: list[str] = []

    async def body(ctx: Context) -> Any:
        try:
            await ctx.step.sleep("nap", "1h")
            trace.append("rested")
        except BaseException as error:
            trace.append(type(error).__name__)
            raise
        finally:
            trace.append("finally")
            await ctx.step.run("clean-up", give, "cleaned")
            trace.append("cleaned")
        return "done"

    with World([function(body)], evict=True) as world:
        world.send("order/created")
        assert trace == ["CancelledError", "finally"]
        world.advance(3_601)
        # Evicted when it began to sleep; again when "clean-up" was recorded; then it went to its end.
        assert trace == ["CancelledError", "finally", "rested", "finally", "rested", "finally", "cleaned"]
        assert world.run().output == "done"


# --- by hand: what no partition in memory does --------------------------------------------------------------------


class Hand:
    """An owner that applies nothing."""

    partition = 0

    def __init__(self) -> None:
        self.submitted: list[AnyCommand] = []
        self.stored: tuple[Run, dict[bytes, Step]] | None = None

    def time_ms(self) -> int:
        return 0

    def submit(self, command: AnyCommand) -> None:
        self.submitted.append(command)

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        return self.stored


RUN_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def a_run(**fields: Any) -> Run:
    return Run("shop-f", 1, [KnownEvent(RUN_ID, "order/created", b'{"name":"order/created"}', 1, 1)], **fields)


def row(state: StepState, order: int, *, output: Any = None, due_ms: int = 0, attempt: int = 0) -> Step:
    packed = pack_value(output) if state == StepState.DONE else None
    return Step("a", StepOp.RUN, state, attempt, order, packed, None, due_ms, 1)


def by_hand(body: Any) -> tuple[VirtualLoop, InProcess, Hand]:
    loop = VirtualLoop()
    declared = function(body)
    execution = InProcess({declared.id: declared}, loop, ManualClock(loop.time), settings=Settings(blocked_ms=0))
    return loop, execution, Hand()


async def one_step(ctx: Context) -> Any:
    return await ctx.step.run("a", give, "done now")


@pytest.mark.parametrize(
    ("rows", "submitted"),
    [
        ({}, StepReport),
        ({b"a": row(StepState.DONE, 5, output="recorded")}, RunReport),
        ({b"a": row(StepState.PENDING, 5, attempt=2)}, StepReport),
        ({b"a": row(StepState.PENDING, 5, due_ms=9_000)}, Suspended),
        ({b"a": row(StepState.PENDING, 5, due_ms=-1)}, None),
    ],
)
def test_what_recorded_rows_mean(rows: dict[bytes, Step], submitted: type | None) -> None:
    loop, execution, owner = by_hand(one_step)
    with loop:
        execution.start(owner, RUN_ID, a_run(), rows)
        loop.advance(1)
        assert [type(command) for command in owner.submitted] == ([submitted] if submitted else [])
        if submitted is StepReport:
            report = owner.submitted[0]
            assert isinstance(report, StepReport)
            assert report.attempt == (2 if rows else 0)
        execution.drop(owner)
        loop.advance(1)


def test_a_result_on_its_way_is_waited_for_and_old_news_are_ignored() -> None:
    loop, execution, owner = by_hand(one_step)
    with loop:
        execution.start(owner, RUN_ID, a_run(), {b"a": row(StepState.PENDING, 5, due_ms=-1)})
        loop.advance(1)
        execution.resolve(owner, RUN_ID, b"a", row(StepState.DONE, 5, output="recorded"))
        execution.resolve(owner, RUN_ID, b"a", row(StepState.PENDING, 4))
        loop.advance(1)
        (report,) = owner.submitted
        assert isinstance(report, RunReport)
        assert report.output_json == '"recorded"'


def test_a_run_that_backs_off_is_not_woken_by_one_of_its_steps() -> None:
    loop, execution, owner = by_hand(one_step)
    with loop:
        owner.stored = (a_run(attempt=1, retry_due_ms=99), {b"a": row(StepState.PENDING, 5)})
        execution.resolve(owner, RUN_ID, b"a", row(StepState.PENDING, 5))
        execution.start(owner, RUN_ID, *owner.stored)
        loop.advance(1)
        assert execution.live == 0
        assert owner.submitted == []


async def leaves_a_sleep_behind(ctx: Context) -> None:
    task = asyncio.create_task(ctx.step.sleep("a", "1h"))
    await asyncio.sleep(1)
    task.cancel()
    if ctx.attempt == 0:
        raise ValueError("no")


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_step_that_is_resolved_while_the_report_is_on_its_way_starts_nothing(attempt: int) -> None:
    loop, execution, owner = by_hand(leaves_a_sleep_behind)
    with loop:
        run = a_run(attempt=attempt)
        execution.start(owner, RUN_ID, run, {})
        loop.advance(0)
        planned = Step("a", StepOp.SLEEP, StepState.PENDING, 0, 5, None, None, 9_000, 1)
        execution.resolve(owner, RUN_ID, b"a", planned)
        loop.advance(1)
        assert isinstance(owner.submitted[-1], RunReport)
        over = Step("a", StepOp.SLEEP, StepState.DONE, 0, 6, b"m\xc0", None, 9_000, 1)
        owner.stored = (run, {b"a": over})
        execution.resolve(owner, RUN_ID, b"a", over)
        assert execution.live == 0
        if attempt:  # the sleep's end gave the body its attempts back: the report will not be taken
            run.attempt = 0
            execution.resolve(owner, RUN_ID, b"a", over)
            assert execution.live == 1
        else:  # the machine took the report, and asks for the next attempt
            run.attempt = 1
            execution.start(owner, RUN_ID, run, {b"a": over})
            assert execution.live == 1
        execution.drop(owner)
        loop.advance(1)
