"""What lifecycle records tell of errors, of events and of metadata. Goal: all that people are shown stands in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.records.commands import AnnounceRuns, InvokeAsked, NoteMetadata, RunReport, StepReport
from headrace.records.definitions import Definition, EventTrigger
from headrace.records.history import Lifecycle
from headrace.records.rows import Failure, Start, StepOp
from headrace.runs.telling import EVENTS_BYTES_MAX
from tests.runs.partitions import START_MS, Partitions
from tests.turns import known_event

CALLER = Definition("shop-order", "shop", "order", [EventTrigger("order/created")], retries=1)
CHILD = Definition("shop-charge", "shop", "charge", [EventTrigger("never", "false")], retries=0)
MORE = b'{"cause":{"name":"Error"},"code":"x"}'


@pytest.fixture
def world() -> Partitions:
    return Partitions(CALLER, CHILD)


def of_kind(world: Partitions, run_id: str, kind: str) -> list[Lifecycle]:
    return [record for record in world.history if record.run_id == run_id and record.kind == kind]


def more_of(record: Lifecycle) -> Any:
    return msgspec.json.decode(record.more)


def test_what_else_an_error_says_stands_in_every_record_that_tells_it(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    failure = Failure("E", "m", retriable=True, more=MORE)
    for attempt in range(2):
        world.apply(1, StepReport(run_id, b"charge", StepOp.RUN, attempt, START_MS, failure=failure))
        world.pass_time(3_600_000)
    for attempt in range(2):
        world.apply(1, RunReport(run_id, attempt, None, failure))
        world.pass_time(3_600_000)
    told = [
        record
        for kind in ("StepAttemptFailed", "StepEnded", "RunAttemptFailed", "RunEnded")
        for record in of_kind(world, run_id, kind)
    ]
    assert [more_of(record) for record in told] == [{"error": msgspec.json.decode(MORE)}] * 4


def test_an_error_that_says_nothing_else_tells_nothing_else(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, RunReport(run_id, 0, None, Failure("E", "m", retriable=False)))
    (ended,) = of_kind(world, run_id, "RunEnded")
    assert (ended.error_name, ended.more) == ("E", "")


def test_the_event_of_an_invoked_run_stands_in_its_first_record(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, InvokeAsked(run_id, b"pay", CHILD.id, b'{"amount":7}', 0))
    ((child_id, (number, child)),) = world.live(CHILD.id).items()
    world.apply(number, RunReport(child_id, 0, None, Failure("E", "m", retriable=False, more=MORE)))
    (ended,) = of_kind(world, child_id, "RunEnded")
    told = more_of(ended)
    assert told["error"] == msgspec.json.decode(MORE)
    (event,) = told["events"]
    assert (event["internal_id"], event["ts"], event["at"]) == (ended.event_ids[0], START_MS, START_MS)
    assert event["event"] == msgspec.json.decode(child.events[0].json)


def test_it_stands_there_once(world: Partitions) -> None:
    run_id = world.start(CALLER.id, 1)
    world.apply(1, InvokeAsked(run_id, b"pay", CHILD.id, b"{}", 0))
    ((child_id, (number, _)),) = world.live(CHILD.id).items()
    world.apply(number, AnnounceRuns([child_id]))
    world.end(child_id, "paid")
    (scheduled,) = of_kind(world, child_id, "RunScheduled")
    (ended,) = of_kind(world, child_id, "RunEnded")
    assert (list(more_of(scheduled)), ended.more, ended.event_ids) == (["events"], "", [])


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("order/created", b"{}", False),
        ("inngest/function.failed", b"{}", False),
        ("inngest/scheduled.timer", b'{"cron":"* * * * *"}', True),
        ("inngest/function.invoked", b'{"x":"%s"}' % (b"y" * EVENTS_BYTES_MAX), False),
    ],
)
def test_events_of_a_topic_and_very_large_ones_do_not(world: Partitions, name: str, data: bytes, told: bool) -> None:
    event = known_event(name, at_ms=START_MS, data=data)
    world.apply(0, Start(CALLER.id, event.id, [event], START_MS))
    world.end(event.id, 1)
    (ended,) = of_kind(world, event.id, "RunEnded")
    assert bool(ended.more) is told
    assert ended.event_ids == [event.id]


def test_metadata_is_written_down_whoever_it_is_about(world: Partitions) -> None:
    world.apply(2, NoteMetadata("REQUEST", "RUN", "[]", "step", "load", 1, 2))
    (record,) = of_kind(world, "RUN", "RunMetadata")
    assert (record.code, record.op, record.step_id, record.occurrence, record.attempt, record.output) == (
        *("REQUEST", "step", "load", 1, 2, "[]"),
    )
    assert world.rows(b"r") == 0
