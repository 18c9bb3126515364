"""Invoking other functions. Goal: one run for one step, and one answer for the step, whatever becomes of that run."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

import msgspec
import pytest

from headrace.admission.verdicts import drop
from headrace.records.commands import Answer, CancelRun, InvokeAsked, RunReport, StateAsked, Suspended
from headrace.records.definitions import Definition, EventTrigger
from headrace.records.invoked import correlation_id
from headrace.records.rows import Failure, Reply, Start, StepOp, StepState
from headrace.records.values import unpack_value
from headrace.runs import take_run_report
from headrace.runs.ending import FINISHED
from tests.runs.lives import failed
from tests.runs.partitions import START_MS, Partitions
from tests.turns import TOPICS, known_event

CALLER = Definition("shop-order", "shop", "order", [EventTrigger("order/created")], retries=1)
CHILD = Definition("shop-charge", "shop", "charge", [EventTrigger("never", "false")], retries=0)


def asked(run_id: str, step: bytes = b"pay", function_id: str = CHILD.id, timeout_ms: int = 0) -> InvokeAsked:
    return InvokeAsked(run_id, step, function_id, b'{"amount":7}', timeout_ms)


@pytest.fixture
def world() -> Partitions:
    return Partitions(CALLER, CHILD)


def invoke(world: Partitions, **more: Any) -> tuple[str, str]:
    """Have a run of the caller on partition 1 invoke the child: the ids of both."""
    run_id = world.start(CALLER.id, 1)
    world.apply(1, asked(run_id, **more))
    (child_id,) = world.live(CHILD.id)
    return run_id, child_id


def result(world: Partitions, run_id: str, step: bytes = b"pay") -> Any:
    row = world.step(run_id, step)
    assert row is not None
    if row.state == StepState.PENDING:
        return None
    return row.failure if row.state == StepState.FAILED else ("done", unpack_value(row.output or b""))


def test_the_invoked_run_sees_the_data_given_and_its_result_is_the_steps(world: Partitions) -> None:
    run_id, child_id = invoke(world, timeout_ms=60_000)
    _, child = world.live(CHILD.id)[child_id]
    event = msgspec.json.decode(child.events[0].json)
    assert event["name"] == "inngest/function.invoked"
    route = event["data"].pop("_inngest")
    assert event["data"] == {"amount": 7}
    assert route == {
        "fn_id": "shop-charge",
        "correlation_id": f"{run_id}.{sha1(b'pay', usedforsecurity=False).hexdigest()}",
        "expire": START_MS + 60_000,
        "source_fn_id": "shop-order",
        "source_app_id": "shop",
    }
    assert result(world, run_id) is None
    world.end(child_id, {"paid": True})
    assert result(world, run_id) == ("done", {"paid": True})
    ended = [record for record in world.history if record.run_id == run_id and record.kind == "StepEnded"]
    assert [(record.op, record.status, record.output) for record in ended] == [("invoke", "Completed", '{"paid":true}')]
    assert world.rows(b"t") == 0  # its time-out is gone


def test_the_step_hash_of_the_protocol() -> None:
    assert correlation_id("R", b"pay") == "R." + sha1(b"pay", usedforsecurity=False).hexdigest()
    assert correlation_id("R", b"pay\0002") == "R." + sha1(b"pay:2", usedforsecurity=False).hexdigest()


def test_the_same_step_makes_the_same_run_and_makes_it_once(world: Partitions) -> None:
    run_id, child_id = invoke(world)
    world.apply(1, asked(run_id))
    assert list(world.live(CHILD.id)) == [child_id]
    other = Partitions(CALLER, CHILD)
    assert invoke(other) == (run_id, child_id)
    world.apply(1, asked(run_id, b"pay\0001"))
    world.apply(1, asked(run_id, b"refund"))
    assert len(world.live(CHILD.id)) == 3


def test_runs_that_are_invoked_spread_over_the_partitions(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    for number in range(40):
        world.apply(1, asked(run_id, b"pay-%d" % number))
    assert {number for number, _ in world.live(CHILD.id).values()} == {0, 1, 2, 3}


def test_a_failed_run_fails_the_step_under_its_own_name_and_id(world: Partitions) -> None:
    run_id, child_id = invoke(world)
    world.end(child_id, failure=Failure("CardError", "declined", "Traceback …", retriable=False))
    failure = result(world, run_id)
    assert (failure.name, failure.message, failure.stack) == ("CardError", "declined", "Traceback …")
    assert (failure.run_id, failure.retriable) == (child_id, False)


def test_a_cancelled_run_is_an_error_for_its_caller(world: Partitions) -> None:
    run_id, child_id = invoke(world)
    number, _ = world.live(CHILD.id)[child_id]
    world.apply(number, CancelRun(child_id, "asked for by Ann"))
    failure = result(world, run_id)
    assert (failure.name, failure.message, failure.run_id) == ("Cancelled", "asked for by Ann", child_id)


def test_a_run_that_a_stage_drops_is_an_error_that_names_the_reason(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, asked(run_id))
    (child_id,) = world.live(CHILD.id)
    # Another run of the same caller's step, as a stage drops it on partition 3.
    start = Start(CHILD.id, child_id, [known_event()], START_MS, replies=[Reply(1, run_id, b"pay")])
    with world.all[3].turn(world.now_ms) as turn:
        drop(turn, start, "rate_limited", "rate_limited", "more than 5 in 1m")
    world.deliver()
    failure = result(world, run_id)
    assert failure.name == "NotStarted"
    assert "more than 5 in 1m" in failure.message
    assert failure.run_id == child_id


def test_every_caller_of_a_batch_gets_the_answer(world: Partitions) -> None:
    callers = [world.start(CALLER.id, 1, event=number) for number in range(3)]
    for run_id in callers:
        world.apply(1, asked(run_id))
    children = list(world.live(CHILD.id))
    replies = [Reply(1, run_id, b"pay") for run_id in callers]
    batch_id = known_event(number=99).id
    world.apply(2, Start(CHILD.id, batch_id, [known_event()], START_MS, replies=replies))
    world.end(batch_id, "together")
    assert [result(world, run_id) for run_id in callers] == [("done", "together")] * 3
    for child_id in children:  # what else answers is too late
        world.end(child_id, "alone")
    assert [result(world, run_id) for run_id in callers] == [("done", "together")] * 3


def test_a_function_that_is_not_there_fails_the_step_at_once_and_the_nearest_is_named(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    for function_id, hint in (
        ("charge", "'shop-charge'"),
        ("shop-chrage", "'shop-charge'"),
        ("elsewhere", "a full id is"),
    ):
        world.apply(1, asked(run_id, function_id.encode(), function_id))
        failure = result(world, run_id, function_id.encode())
        assert failure.name == "FunctionNotFound"
        assert repr(function_id) in failure.message
        assert hint in failure.message
    assert world.live(CHILD.id) == {}


@pytest.mark.parametrize("data", [b"[1]", b"nonsense", b'"text"', b'{"x":"%s"}' % (b"y" * (3 << 20))])
def test_data_that_is_no_object_or_too_large_fails_the_step(world: Partitions, data: bytes) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, InvokeAsked(run_id, b"pay", CHILD.id, data, 0))
    assert result(world, run_id).name == "InvokeRefused"
    assert world.live(CHILD.id) == {}


def test_no_data_is_an_empty_object(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, InvokeAsked(run_id, b"pay", CHILD.id, b"null", 0))
    ((_, child),) = world.live(CHILD.id).values()
    assert list(msgspec.json.decode(child.events[0].json)["data"]) == ["_inngest"]


def test_a_time_out_that_comes_first_counts_and_the_run_goes_on(world: Partitions) -> None:
    run_id, child_id = invoke(world, timeout_ms=60_000)
    world.pass_time(59_999)
    assert result(world, run_id) is None
    world.pass_time(1)
    failure = result(world, run_id)
    assert (failure.name, failure.run_id) == ("InvokeTimeout", child_id)
    assert child_id in failure.message
    assert list(world.live(CHILD.id)) == [child_id]
    world.end(child_id, "late")
    assert result(world, run_id) == failure


def test_an_answer_that_comes_first_counts(world: Partitions) -> None:
    run_id, child_id = invoke(world, timeout_ms=60_000)
    world.end(child_id, "in time")
    world.pass_time(120_000)
    assert result(world, run_id) == ("done", "in time")


def test_without_a_time_out_the_step_waits_for_ever(world: Partitions) -> None:
    run_id, child_id = invoke(world)
    assert world.rows(b"t") == 0
    world.pass_time(400 * 24 * 3_600_000)
    world.end(child_id, "at last")
    assert result(world, run_id) == ("done", "at last")


def test_a_time_out_beyond_the_limit_fails_the_run(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, asked(run_id, timeout_ms=11 * 366 * 24 * 3_600_000))
    ended = world.ended(run_id)
    assert ended is not None
    assert (ended.status, ended.code) == ("Failed", "timeout_too_long")
    assert world.live(CHILD.id) == {}


def test_the_end_of_the_caller_leaves_nothing_behind_and_the_answer_is_nothing_then(world: Partitions) -> None:
    run_id, child_id = invoke(world, timeout_ms=60_000)
    world.apply(1, CancelRun(run_id, "no more"))
    assert world.rows(b"t") == 0
    world.end(child_id, "nobody asks")
    assert world.rows(b"s") == 0
    assert world.rows(b"r") == 0


def test_an_answer_for_a_step_that_does_not_wait_is_nothing(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, failed(run_id, b"load"))
    before = world.step(run_id, b"load")
    world.apply(1, Answer(run_id, b"load", "X", b"m\xc0"))
    world.apply(1, Answer(run_id, b"unknown", "X", b"m\xc0"))
    assert world.step(run_id, b"load") == before
    assert before is not None
    assert before.op == StepOp.RUN


def test_a_suspended_caller_is_woken_by_the_answer(world: Partitions) -> None:
    run_id, child_id = invoke(world)
    world.apply(1, Suspended(run_id, [b"pay"]))
    assert world.live(CALLER.id)[run_id][1].suspended
    assert [record.phase for record in world.history if record.kind == "RunPhase"] == ["waiting"]
    world.end(child_id)
    assert not world.live(CALLER.id)[run_id][1].suspended


def test_an_answer_that_is_on_its_way_when_its_caller_crashes_is_applied_by_the_next_owner(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    for number in range(20):
        world.apply(1, asked(run_id, b"pay-%d" % number))
    children = world.live(CHILD.id)
    elsewhere = {child_id: number for child_id, (number, _) in children.items() if number != 1}
    assert elsewhere
    for child_id, number in elsewhere.items():
        with world.all[number].turn(world.now_ms) as turn:
            take_run_report(turn, RunReport(child_id, 0, b"m\xc3", None, "true"))
    world.crash(1)
    world.deliver()
    results = [result(world, run_id, b"pay-%d" % number) for number in range(20)]
    assert results.count(("done", True)) == len(elsewhere)
    assert results.count(None) == 20 - len(elsewhere)


def test_no_lifecycle_events_come_of_what_a_run_invokes_that_was_started_by_one(world: Partitions) -> None:
    for partition in world.all:
        partition.wanted = {FINISHED}
    known = known_event()
    world.apply(1, Start(CALLER.id, known.id, [known], START_MS, quiet=True))
    world.apply(1, asked(known.id))
    (child_id,) = world.live(CHILD.id)
    world.end(child_id)
    world.end(known.id)
    assert [p.sent_to(TOPICS.events) for p in world.all] == [[], [], [], []]


def test_the_lifecycle_event_of_an_invoked_run_names_the_step_that_waits(world: Partitions) -> None:
    for partition in world.all:
        partition.wanted = {FINISHED}
    run_id, child_id = invoke(world)
    world.end(child_id, 7)
    ((_, _, value, _),) = [sent for p in world.all for sent in p.sent_to(TOPICS.events)]
    data = msgspec.json.decode(value)["data"]
    assert data["result"] == 7
    assert data["correlation_id"].startswith(f"{run_id}.")


def test_a_step_of_another_kind_under_the_same_id_does_not_invoke_again(world: Partitions) -> None:
    run_id, _ = invoke(world)
    world.apply(1, StateAsked(run_id, b"pay", "get", "n"))
    row = world.step(run_id, b"pay")
    assert row is not None
    assert (row.op, row.state) == (StepOp.INVOKE, StepState.PENDING)
