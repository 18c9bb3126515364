"""What happens next in a run, command by command. Goal: each does what its name says, and only while it is due."""

from __future__ import annotations

import msgspec
import pytest

from headrace.records.commands import (
    AnnounceRuns,
    CancelRun,
    CodeMissing,
    EventsAsked,
    SleepAsked,
    StepReport,
    Suspended,
)
from headrace.records.events import HEADER_ID, HEADER_SOURCE
from headrace.records.rows import Phase, StepState
from headrace.records.values import pack_value, unpack_value
from headrace.runs import (
    announce_runs,
    cancel_run,
    note_code,
    plan_sleep,
    publish_events,
    suspend_run,
    take_run_report,
    take_step_report,
)
from headrace.runs.sleep import SLEEP_MS_MAX
from tests.runs.lives import FATAL, Lives, done, failed, raised, returned
from tests.turns import TOPICS


@pytest.fixture
def lives() -> Lives:
    lives = Lives()
    lives.start()
    return lives


def test_a_run_starts_its_code_and_is_the_same_for_the_same_cause(lives: Lives) -> None:
    assert lives.effects == [("start", b"")]
    assert lives.kinds() == []
    run_id = lives.run_id
    assert Lives().start() == run_id
    assert Lives().start(number=1) != run_id


def test_a_run_that_ends_within_a_moment_is_one_record_that_says_everything(lives: Lives) -> None:
    lives.now_ms += 5
    lives.apply(take_run_report, returned(lives.run_id))
    (ended,) = lives.history
    assert (ended.kind, ended.status, ended.output, ended.started_ms, ended.at_ms) == (
        "RunEnded",
        "Completed",
        '"out"',
        10_000,
        10_005,
    )
    assert len(ended.event_ids) == 1
    assert lives.rows_of_runs() == {}


def test_a_run_that_lives_on_is_announced_once(lives: Lives) -> None:
    lives.apply(announce_runs, AnnounceRuns([lives.run_id, "no such run"]))
    lives.apply(announce_runs, AnnounceRuns([lives.run_id]))
    lives.apply(take_step_report, done(lives.run_id, b"load"))
    lives.apply(take_run_report, returned(lives.run_id))
    assert lives.kinds() == ["RunScheduled", "StepEnded", "RunEnded"]
    assert [bool(record.event_ids) for record in lives.history] == [True, False, False]


def test_a_result_is_recorded_once_and_never_changes(lives: Lives) -> None:
    lives.apply(take_step_report, done(lives.run_id, b"load", "first"))
    assert lives.effects == [("resolve", b"load")]
    recorded = lives.step(b"load")
    assert recorded is not None
    assert (recorded.state, recorded.attempt) == (StepState.DONE, 1)
    assert unpack_value(recorded.output or b"") == "first"
    for late in (
        done(lives.run_id, b"load", "second"),
        failed(lives.run_id, b"load"),
        done(lives.run_id, b"load", "x", 1),
    ):
        lives.apply(take_step_report, late)
        assert lives.effects == []
        assert lives.step(b"load") == recorded


def test_a_failed_step_is_tried_again_after_its_back_off_until_its_retries_are_spent(lives: Lives) -> None:
    for attempt in range(2):
        lives.apply(take_step_report, failed(lives.run_id, b"load", attempt))
        row = lives.step(b"load")
        assert row is not None
        assert (row.state, row.attempt, row.due_ms) == (StepState.PENDING, attempt + 1, lives.now_ms + 1_000)
        assert lives.effects == [("resolve", b"load")]
        assert lives.pass_time(999) == 0
        assert lives.pass_time(1) == 1
        assert lives.effects == [("resolve", b"load")]
        row = lives.step(b"load")
        assert row is not None
        assert row.due_ms == 0
    lives.apply(take_step_report, failed(lives.run_id, b"load", 2))
    row = lives.step(b"load")
    assert row is not None
    assert (row.state, row.attempt) == (StepState.FAILED, 3)
    assert lives.kinds() == ["RunScheduled", "StepAttemptFailed", "StepAttemptFailed", "StepEnded"]
    assert [record.attempt for record in lives.history[1:]] == [0, 1, 2]


@pytest.mark.parametrize(
    "report",
    [
        lambda run_id: failed(run_id, b"load", failure=FATAL),
        lambda run_id: failed(run_id, b"load", retries=0),
    ],
)
def test_what_must_not_be_tried_again_fails_at_once(lives: Lives, report: object) -> None:
    lives.apply(take_step_report, report(lives.run_id))  # type: ignore[operator]
    row = lives.step(b"load")
    assert row is not None
    assert row.state == StepState.FAILED


def test_an_attempt_that_is_not_outstanding_is_not_taken(lives: Lives) -> None:
    lives.apply(take_step_report, done(lives.run_id, b"load", attempt=1))
    assert lives.step(b"load") is None
    lives.apply(take_step_report, failed(lives.run_id, b"load", 0))
    lives.pass_time(1_000)
    lives.apply(take_step_report, done(lives.run_id, b"load", attempt=0))
    row = lives.step(b"load")
    assert row is not None
    assert row.state == StepState.PENDING
    lives.apply(take_step_report, done(lives.run_id, b"load", attempt=1))
    row = lives.step(b"load")
    assert row is not None
    assert row.state == StepState.DONE


def test_the_body_is_tried_again_and_fails_when_its_retries_are_spent(lives: Lives) -> None:
    for attempt in range(2):
        lives.apply(take_run_report, raised(lives.run_id, attempt))
        run = lives.run()
        assert run is not None
        assert (run.attempt, run.retry_due_ms, run.suspended) == (attempt + 1, lives.now_ms + 1_000, True)
        assert lives.pass_time(1_000) == 1
        assert lives.effects == [("start", b"")]
    lives.apply(take_run_report, raised(lives.run_id, 2))
    assert lives.run() is None
    assert (lives.history[-1].status, lives.history[-1].error_name) == ("Failed", "ValueError")
    assert lives.rows_of_runs() == {}


def test_a_recorded_step_gives_the_body_all_its_attempts_again(lives: Lives) -> None:
    lives.apply(take_run_report, raised(lives.run_id))
    lives.pass_time(1_000)
    lives.apply(take_step_report, done(lives.run_id, b"load"))
    run = lives.run()
    assert run is not None
    assert run.attempt == 0
    lives.apply(take_run_report, raised(lives.run_id, 1))
    assert lives.run() is run, "a report about an attempt that was reset is not taken"


def test_a_sleep_ends_when_it_is_due_and_wakes_the_run(lives: Lives) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 30_000))
    lives.apply(suspend_run, Suspended(lives.run_id, [b"nap"]))
    run = lives.run()
    assert run is not None
    assert run.suspended
    assert lives.pass_time(29_999) == 0
    assert lives.pass_time(1) == 1
    assert lives.effects == [("resolve", b"nap")]
    row = lives.step(b"nap")
    assert row is not None
    assert row.state == StepState.DONE
    run = lives.run()
    assert run is not None
    assert not run.suspended


@pytest.mark.parametrize(("waited_ms", "lasts_ms"), [(0, 30_000), (400, 29_600), (50_000, 0), (-400, 30_000)])
def test_a_sleep_lasts_from_when_it_was_asked_for_however_late_the_partition_comes_to_it(
    lives: Lives, waited_ms: int, lasts_ms: int
) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 30_000, lives.now_ms - waited_ms))
    assert lives.step(b"nap").due_ms == lives.now_ms + lasts_ms


def test_a_sleep_that_is_asked_for_again_stays_as_it_is(lives: Lives) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 30_000))
    planned = lives.step(b"nap")
    lives.now_ms += 5_000
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 30_000))
    assert lives.step(b"nap") == planned
    assert lives.effects == []


@pytest.mark.parametrize(("due_ms", "ends_ms"), [(1, 10_000), (9_999, 10_000), (12_345, 12_345)])
def test_a_sleep_until_a_moment_ends_then_or_at_once(lives: Lives, due_ms: int, ends_ms: int) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", due_ms, 0))
    row = lives.step(b"nap")
    assert row is not None
    assert row.due_ms == ends_ms


def test_a_sleep_beyond_the_limit_fails_the_run(lives: Lives) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"long", 0, SLEEP_MS_MAX))
    assert lives.step(b"long") is not None
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, SLEEP_MS_MAX + 1))
    ended = lives.history[-1]
    assert (ended.kind, ended.status, ended.code) == ("RunEnded", "Failed", "sleep_too_long")
    assert lives.effects == [("stop", b"")]
    assert lives.rows_of_runs() == {}


def test_a_run_is_suspended_only_while_everything_that_it_waits_for_is_pending(lives: Lives) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 1_000))
    lives.apply(suspend_run, Suspended(lives.run_id, [b"nap", b"load"]))
    run = lives.run()
    assert run is not None
    assert not run.suspended
    lives.pass_time(1_000)
    lives.apply(suspend_run, Suspended(lives.run_id, [b"nap"]))
    run = lives.run()
    assert run is not None
    assert not run.suspended


def test_published_events_are_one_step_with_a_chain_to_each_partition(lives: Lives) -> None:
    events: list[tuple[bytes, bytes | None]] = [
        (b'{"name":"a"}', b"k"),
        (b'{"name":"b"}', b"k"),
        (b'{"name":"c"}', None),
    ]
    lives.apply(publish_events, EventsAsked(lives.run_id, b"tell", events))
    assert lives.effects == [("resolve", b"tell")]
    sent = lives.partition.sent_to(TOPICS.events)
    row = lives.step(b"tell")
    assert row is not None
    ids = unpack_value(row.output or b"")
    assert [dict(headers)[HEADER_ID].decode() for _, _, _, headers in sent] == ids
    assert len(set(ids)) == 3
    chain: dict[int, list[tuple[int, int]]] = {}
    for partition, _, _, headers in sent:
        source, seq, prev = (int(part) for part in dict(headers)[HEADER_SOURCE].split(b":"))
        assert source == 0
        chain.setdefault(partition, []).append((seq, prev))
    for links in chain.values():
        assert [prev for _, prev in links] == [-1, *(seq for seq, _ in links)][:-1]
    lives.apply(publish_events, EventsAsked(lives.run_id, b"tell", events))
    assert len(lives.partition.sent_to(TOPICS.events)) == 3


def test_cancelling_ends_the_run_and_interrupts_its_code(lives: Lives) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 1_000))
    lives.apply(take_step_report, failed(lives.run_id, b"load"))
    lives.apply(cancel_run, CancelRun(lives.run_id, "by hand"))
    assert lives.effects == [("stop", b"")]
    assert (lives.history[-1].status, lives.history[-1].error_message) == ("Cancelled", "by hand")
    assert lives.rows_of_runs() == {}
    lives.apply(cancel_run, CancelRun(lives.run_id, "again"))
    assert lives.effects == []
    assert lives.pass_time(60_000) == 0


def test_a_run_without_code_waits_visibly_and_goes_on(lives: Lives) -> None:
    lives.apply(note_code, CodeMissing(lives.run_id, True))
    lives.apply(note_code, CodeMissing(lives.run_id, True))
    run = lives.run()
    assert run is not None
    assert run.phase == Phase.NO_CODE
    assert [(r.kind, r.phase) for r in lives.history] == [("RunScheduled", "executing"), ("RunPhase", "no_code")]
    assert lives.history[-1].code == "function_not_loaded"
    lives.apply(note_code, CodeMissing(lives.run_id, False))
    assert lives.effects == [("start", b"")]
    lives.apply(note_code, CodeMissing(lives.run_id, False))
    assert lives.effects == []


def test_a_timer_of_a_sleep_during_the_back_off_of_the_body_does_not_start_the_body_early(lives: Lives) -> None:
    lives.apply(plan_sleep, SleepAsked(lives.run_id, b"nap", 0, 500))
    lives.apply(take_run_report, raised(lives.run_id))
    assert lives.pass_time(500) == 1
    row = lives.step(b"nap")
    assert row is not None
    assert row.state == StepState.DONE
    run = lives.run()
    assert run is not None
    assert run.suspended, "a new owner would start the body before its time"


def test_lifecycle_events_are_published_only_where_somebody_wants_them() -> None:
    lives = Lives()
    lives.partition.wanted = {"inngest/function.failed", "inngest/function.finished"}
    lives.start()
    lives.apply(take_run_report, raised(lives.run_id, failure=FATAL))
    names = [msgspec.json.decode(value)["name"] for _, _, value, _ in lives.partition.sent_to(TOPICS.events)]
    assert names == ["inngest/function.finished", "inngest/function.failed"]
    lives = Lives()
    lives.start()
    lives.apply(take_run_report, raised(lives.run_id, failure=FATAL))
    assert lives.partition.sent_to(TOPICS.events) == []


def test_a_step_of_another_kind_is_recorded_as_its_kind(lives: Lives) -> None:
    lives.apply(take_step_report, StepReport(lives.run_id, b"load\x002", 0, 0, 7, output=pack_value(None)))
    assert (lives.history[-1].step_id, lives.history[-1].occurrence, lives.history[-1].started_ms) == ("load", 2, 7)
