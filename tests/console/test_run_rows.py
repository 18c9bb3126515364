"""Rows of runs. Goal: the same row from the same records, in whatever order and however often they come."""

from __future__ import annotations

import random

import pytest

from headrace.console.run_rows import RunRow, fold, new_row, phase_after
from headrace.records.history import Kind, Lifecycle, decode_lifecycle
from tests.console.histories import NOW_MS, TOPICS, History, RunHistory


def lives(history: History) -> list[Lifecycle]:
    return [decode_lifecycle(record.value or b"") for record in history.records if record.topic == TOPICS.history]


def folded(records: list[Lifecycle]) -> RunRow:
    row = new_row(records[0])
    for record in records:
        fold(row, record)
    return row


def begin(**more: object) -> tuple[History, RunHistory]:
    history = History()
    return history, history.run("shop-order", ["01K00000000000000000000001"], NOW_MS, **more)


def test_a_run_that_waits_in_the_queue_is_scheduled_and_not_started() -> None:
    history, run = begin(phase="queued", started_ms=0)
    row = folded(lives(history))
    assert (row.status, row.phase, row.queued_ms, row.started_ms) == ("Scheduled", "queued", NOW_MS, 0)
    run.add(Kind.RunPhase, NOW_MS + 70, phase="executing")
    row = folded(lives(history))
    assert (row.status, row.phase, row.queued_ms, row.started_ms) == ("Running", "executing", NOW_MS, NOW_MS + 70)


def test_a_run_that_was_over_at_once_is_one_record_and_shows_its_cause_and_its_times() -> None:
    ended = Lifecycle(
        "RunEnded",
        NOW_MS + 3,
        1,
        7,
        "01K00000000000000000000009",
        "shop-order",
        event_ids=["01K00000000000000000000001"],
        status="Completed",
        started_ms=NOW_MS,
        output="null",
    )
    row = folded([ended])
    assert (row.status, row.event_id, row.event_count) == ("Completed", "01K00000000000000000000001", 1)
    assert (row.queued_ms, row.started_ms, row.ended_ms) == (NOW_MS, NOW_MS, NOW_MS + 3)


def test_a_sleep_and_its_end() -> None:
    history, run = begin()
    run.sleep("nap", NOW_MS + 10, NOW_MS + 500, over=False)
    row = folded(lives(history))
    assert (row.phase, row.due_ms) == ("sleeping", NOW_MS + 500)
    run.step("nap", NOW_MS + 10, NOW_MS + 500, op="sleep")
    assert folded(lives(history)).phase == "executing"


def test_a_failed_attempt_shows_its_error_until_the_code_goes_on() -> None:
    history, run = begin()
    run.fail_attempt("charge", 0, NOW_MS + 1, NOW_MS + 5, NOW_MS + 1_005)
    row = folded(lives(history))
    assert (row.phase, row.due_ms, row.attempt) == ("backing_off", NOW_MS + 1_005, 0)
    assert (row.error_name, row.error_message) == ("ConnectionError", "the payment provider did not answer")
    run.step("charge", NOW_MS + 1_005, NOW_MS + 1_010, "paid", attempt=1)
    row = folded(lives(history))
    assert (row.phase, row.error_name, row.error_message) == ("executing", "", "")


def test_what_the_engine_says_about_a_wait_is_kept() -> None:
    history, run = begin()
    run.add(Kind.RunPhase, NOW_MS + 1, phase="no_code", code="function_not_loaded", explanation="why", action="do")
    row = folded(lives(history))
    assert (row.phase, row.code, row.explanation, row.action) == ("no_code", "function_not_loaded", "why", "do")


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_an_ended_run_has_no_phase_and_stays_ended(end: str) -> None:
    history, run = begin()
    getattr(run, end)(NOW_MS + 90)
    row = folded(lives(history))
    assert row.ended_ms == NOW_MS + 90
    assert row.phase == ""
    assert row.status in ("Completed", "Failed", "Cancelled")
    again = folded([*lives(history), lives(history)[0]])
    assert again == row


def test_a_long_output_is_not_kept_in_the_row() -> None:
    history, run = begin()
    run.complete(NOW_MS + 5, "x" * 20_000)
    row = folded(lives(history))
    assert (row.output, row.output_bytes) == ("", 20_002)


def test_the_order_of_the_records_and_repeats_make_no_difference() -> None:
    history, run = begin(phase="queued", started_ms=0)
    run.add(Kind.RunPhase, NOW_MS + 1, phase="executing")
    run.step("load", NOW_MS + 1, NOW_MS + 2, {"n": 1})
    run.fail_attempt("charge", 0, NOW_MS + 3, NOW_MS + 5, NOW_MS + 1_005)
    run.sleep("nap", NOW_MS + 10, NOW_MS + 500, over=False)
    chance = random.Random(3)
    for ended in (False, True):
        if ended:
            run.complete(NOW_MS + 900, 1)
        records = lives(history)
        expected = folded(records)
        for _ in range(200):
            shuffled = records + chance.sample(records, chance.randrange(len(records)))
            chance.shuffle(shuffled)
            found = folded(shuffled)
            assert found == expected


def test_a_run_whose_beginning_has_expired_is_shown_from_what_is_left() -> None:
    history, run = begin()
    run.step("load", NOW_MS + 1, NOW_MS + 2)
    row = folded(lives(history)[1:])
    assert (row.run_id, row.status, row.event_count) == (run.run_id, "Running", 0)
    assert row.queued_ms == NOW_MS  # the time in its id


def test_every_kind_of_record_has_its_phase() -> None:
    found = {}
    for kind in Kind:
        record = Lifecycle(kind.name, 1, 0, 1, "r", "f", phase="parked", op="wait_for_event")
        found[kind.name] = phase_after(record)
    assert found == {
        "RunScheduled": "parked",
        "RunPhase": "parked",
        "RunAttemptFailed": "backing_off",
        "RunEnded": "",
        "StepPlanned": "waiting",
        "StepAttemptFailed": "backing_off",
        "StepEnded": "executing",
        "EventVerdict": None,
        "RunMetadata": None,
    }
