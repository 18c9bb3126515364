"""Published limits and time-outs. Goal: what is too large or takes too long ends that run, clearly, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.records.commands import CancelRun, CancelRuns, EventsAsked, RunReport, SleepAsked, StepReport
from headrace.records.definitions import Definition, EventTrigger, Timeouts
from headrace.records.limits import DEFAULTS, RunLimits
from headrace.records.rows import StepOp, StepState
from headrace.records.values import pack_value
from headrace.runs.cancel_many import PART
from tests.runs.lives import FATAL, done, failed
from tests.runs.partitions import START_MS, Partitions

PLAIN = Definition("shop-f", "shop", "f", [EventTrigger("order/created")], retries=1)
HASTY = Definition("shop-hasty", "shop", "hasty", [EventTrigger("x")], timeouts=Timeouts(finish_ms=60_000))


def limited(**limits: int) -> tuple[Partitions, str]:
    """One partition with these limits, and a run on it."""
    world = Partitions(PLAIN, HASTY, partitions=1)
    world.all[0].open_turn.limits = RunLimits(**limits)
    return world, world.start(PLAIN.id)


def ending(world: Partitions, run_id: str) -> tuple[str, str] | None:
    ended = world.ended(run_id)
    if ended is not None and ended.code:
        assert ended.explanation
        assert ended.action
        assert ended.error_name == "LimitExceeded" or ended.code == "finish_timeout"
    return None if ended is None else (ended.status, ended.code)


def test_the_published_limits() -> None:
    assert (DEFAULTS.steps, DEFAULTS.step_output_bytes, DEFAULTS.run_state_bytes) == (10_000, 4 << 20, 64 << 20)
    assert DEFAULTS.sleep_ms >= 10 * 365.25 * 24 * 3_600_000


@pytest.mark.parametrize(
    "another",
    [
        lambda run_id: done(run_id, b"one-more"),
        lambda run_id: failed(run_id, b"one-more", failure=FATAL),
        lambda run_id: SleepAsked(run_id, b"one-more", 0, 1_000),
        lambda run_id: EventsAsked(run_id, b"one-more", [(b'{"name":"x"}', None)]),
    ],
)
def test_one_step_too_many_fails_the_run(another: Any) -> None:
    world, run_id = limited(steps=3)
    bystander = world.start(PLAIN.id, event=1)
    for number in range(3):
        world.apply(0, done(run_id, b"step-%d" % number))
    assert ending(world, run_id) is None
    world.apply(0, another(run_id))
    assert ending(world, run_id) == ("Failed", "run_steps_too_many")
    assert world.all[0].effects == [(2, run_id, b"", None)]
    assert world.all[0].sent_to("test.events") == []
    assert list(world.live(PLAIN.id)) == [bystander]


def test_a_step_that_is_tried_again_counts_once() -> None:
    world, run_id = limited(steps=2)
    world.apply(0, done(run_id, b"first"))
    world.apply(0, failed(run_id, b"second"))
    world.pass_time(10_000)
    world.apply(0, done(run_id, b"second", attempt=1))
    assert ending(world, run_id) is None
    row = world.step(run_id, b"second")
    assert row is not None
    assert row.state == StepState.DONE


def test_results_that_are_too_much_together_fail_the_run() -> None:
    world, run_id = limited(run_state_bytes=1_000)
    world.apply(0, done(run_id, b"a", "x" * 490))
    world.apply(0, done(run_id, b"b", "x" * 490))
    assert ending(world, run_id) is None
    world.apply(0, done(run_id, b"c", "x" * 20))
    assert ending(world, run_id) == ("Failed", "run_state_too_large")


def test_a_result_that_is_too_large_fails_its_step() -> None:
    world, run_id = limited(step_output_bytes=100)
    world.apply(0, StepReport(run_id, b"a", StepOp.RUN, 0, 1, pack_value("x" * 200), output_json="…"))
    row = world.step(run_id, b"a")
    assert row is not None
    assert row.failure is not None
    assert (row.state, row.failure.name, row.output) == (StepState.FAILED, "OutputTooLarge", None)
    assert "100 are allowed" in row.failure.message
    assert ending(world, run_id) is None


def test_a_new_owner_weighs_a_run_as_the_one_before_did() -> None:
    for crash in (False, True):
        world, run_id = limited(steps=3, run_state_bytes=1_000)
        for number in range(3):
            world.apply(0, done(run_id, b"step-%d" % number, "x" * 300))
        if crash:
            world.crash(0)
            world.all[0].open_turn.limits = RunLimits(steps=3, run_state_bytes=1_000)
        with world.all[0].turn(world.now_ms) as turn:
            assert turn.state.steps.weight(run_id.encode()) == (3, 3 * len(pack_value("x" * 300)))
        world.apply(0, done(run_id, b"more"))
        assert ending(world, run_id) == ("Failed", "run_steps_too_many")


# --- timeouts.finish ---


def test_a_run_that_takes_too_long_is_cancelled() -> None:
    world, _ = limited()
    run_id = world.start(HASTY.id, event=1)
    world.apply(0, SleepAsked(run_id, b"nap", 0, 3_600_000))
    world.pass_time(59_999)
    assert ending(world, run_id) is None
    world.pass_time(1)
    assert ending(world, run_id) == ("Cancelled", "finish_timeout")
    ended = world.ended(run_id)
    assert ended is not None
    assert "60000 ms" in ended.error_message
    assert world.rows(b"t") == 0
    assert world.rows(b"s") == 0


def test_a_run_that_ends_in_time_leaves_no_timer() -> None:
    world, _ = limited()
    run_id = world.start(HASTY.id, event=1)
    assert world.rows(b"t") == 1
    world.apply(0, RunReport(run_id, 0, pack_value(1), None, "1"))
    assert world.rows(b"t") == 0
    assert ending(world, run_id) == ("Completed", "")


def test_time_outs_of_a_changed_definition_hold_for_new_runs() -> None:
    world, _ = limited()
    old = world.start(HASTY.id, event=1)
    world.define(HASTY.id, Definition("shop-hasty", "shop", "hasty", [EventTrigger("x")]))
    new = world.start(HASTY.id, event=2)
    world.pass_time(60_000)
    assert ending(world, old) == ("Cancelled", "finish_timeout")
    assert ending(world, new) is None


# --- bulk cancellation ---


def cancel_runs(world: Partitions, **more: Any) -> None:
    fields: dict[str, Any] = {
        "function_id": PLAIN.id,
        "after_ms": 0,
        "before_ms": world.now_ms + 1,
        "expression": "",
    } | more
    for number in range(len(world.all)):
        world.apply(number, CancelRuns("bulk-1", **fields))
    world.pass_time(1_000)


def test_all_runs_of_a_function_in_a_time_are_cancelled_on_every_partition() -> None:
    world = Partitions(PLAIN, HASTY)
    runs = []
    for number in range(12):
        runs.append(world.start(PLAIN.id, number % 4, event=number))
        world.now_ms += 1_000
    other = world.start(HASTY.id, 2, event=99)
    cancel_runs(world, after_ms=START_MS + 2_000, before_ms=START_MS + 9_000)
    ended = [ending(world, run_id) for run_id in runs]
    assert ended == [None] * 2 + [("Cancelled", "")] * 7 + [None] * 3
    assert ending(world, other) is None
    assert "bulk-1" in next(record.error_message for record in world.history if record.kind == "RunEnded")
    assert world.rows(b"q") == 0


def test_an_expression_chooses_among_them() -> None:
    world = Partitions(PLAIN, partitions=1)
    runs = [world.start(PLAIN.id, event=n, data=b'{"total":%d}' % (n * 10)) for n in range(5)]
    cancel_runs(world, expression="event.data.total >= 30")
    assert [ending(world, run_id) for run_id in runs] == [None] * 3 + [("Cancelled", "")] * 2


def test_an_expression_that_does_not_compile_cancels_nothing() -> None:
    world = Partitions(PLAIN, partitions=1)
    run_id = world.start(PLAIN.id)
    cancel_runs(world, expression="event.data.total >=")
    assert ending(world, run_id) is None
    assert world.rows(b"q") == 0


def test_many_runs_are_cancelled_part_by_part_through_a_crash_and_new_ones_are_left_alone() -> None:
    world = Partitions(PLAIN, partitions=1)
    count = 2 * PART + 10
    runs = [world.start(PLAIN.id, event=number) for number in range(count)]
    for run_id in runs[::2]:  # in both tables of runs
        world.apply(0, SleepAsked(run_id, b"nap", 0, 3_600_000))
        with world.all[0].turn(world.now_ms) as turn:
            run = turn.state.runs.get(run_id.encode())
            assert run is not None
            turn.state.runs.suspend(run_id.encode(), run)
    before_ms = world.now_ms + 1
    world.apply(0, CancelRuns("bulk-1", PLAIN.id, 0, before_ms, ""))
    world.now_ms += 1
    world.fire()
    assert len(world.live(PLAIN.id)) == count - PART
    world.crash(0)
    fresh = world.start(PLAIN.id, event=count + 1)
    world.pass_time(1_000)
    assert list(world.live(PLAIN.id)) == [fresh]
    assert world.rows(b"q") == 0


def test_a_bulk_cancellation_that_is_repeated_goes_on_as_it_is() -> None:
    world = Partitions(PLAIN, partitions=1)
    run_id = world.start(PLAIN.id)
    for _ in range(2):
        world.apply(0, CancelRuns("bulk-1", PLAIN.id, 0, world.now_ms + 1, ""))
    assert world.rows(b"t") == 1
    world.fire()
    assert ending(world, run_id) == ("Cancelled", "")
    world.apply(0, CancelRun(run_id, "again"))
