"""A run as it is told. Goal: steps, attempts and phases as they were, whatever the order in which they ended."""

from __future__ import annotations

from headrace.console.steps import RunTold, Stretch, tell_run
from headrace.records.history import Kind, decode_lifecycle
from tests.console.histories import NOW_MS, History, RunHistory


def told(run: RunHistory, history: History, now_ms: int = NOW_MS + 10_000) -> RunTold:
    records = [decode_lifecycle(record.value or b"") for record in history.records]
    return tell_run(sorted(records, key=lambda record: record.seq), now_ms)


def begin(**more: object) -> tuple[History, RunHistory]:
    history = History(1)
    return history, history.run("f", ["e"], NOW_MS, **more)


def test_steps_stand_in_the_order_in_which_they_began() -> None:
    history, run = begin()
    run.step("slow", NOW_MS + 1, NOW_MS + 90).step("quick", NOW_MS + 2, NOW_MS + 10).complete(NOW_MS + 100)
    assert [step.id for step in told(run, history).steps] == ["slow", "quick"]


def test_an_id_that_is_asked_again_is_another_step() -> None:
    history, run = begin()
    run.step("think", NOW_MS + 1, NOW_MS + 2, 1).step("think", NOW_MS + 3, NOW_MS + 4, 2, occurrence=1)
    steps = told(run, history).steps
    assert [(step.id, step.step_id, step.output) for step in steps] == [
        ("think", "think", "1"),
        ("think:1", "think", "2"),
    ]


def test_attempts_and_the_waits_between_them() -> None:
    history, run = begin()
    run.fail_attempt("charge", 0, NOW_MS + 1, NOW_MS + 5, NOW_MS + 1_005)
    run.fail_attempt("charge", 1, NOW_MS + 1_005, NOW_MS + 1_009, NOW_MS + 3_009)
    (step,) = told(run, history, NOW_MS + 2_000).steps
    assert (step.status, step.phase, step.due_ms) == ("Running", "backing_off", NOW_MS + 3_009)
    assert [(a.number, a.started_ms, a.ended_ms, a.next_ms) for a in step.attempts] == [
        (0, NOW_MS + 1, NOW_MS + 5, NOW_MS + 1_005),
        (1, NOW_MS + 1_005, NOW_MS + 1_009, NOW_MS + 3_009),
    ]
    (step,) = told(run, history, NOW_MS + 3_010).steps
    assert step.phase == "executing"
    run.step("charge", NOW_MS + 3_009, NOW_MS + 3_100, "ok", attempt=2)
    (step,) = told(run, history).steps
    assert (step.status, step.phase, step.started_ms, step.ended_ms) == (
        "Completed",
        "",
        NOW_MS + 1,
        NOW_MS + 3_100,
    )
    assert step.mistake is None
    assert [attempt.mistake is None for attempt in step.attempts] == [False, False, True]


def test_what_was_open_when_the_run_ended_is_cancelled() -> None:
    history, run = begin()
    run.sleep("nap", NOW_MS + 1, NOW_MS + 5_000, over=False).cancel(NOW_MS + 40)
    (step,) = told(run, history).steps
    assert (step.status, step.phase, step.ended_ms) == ("Cancelled", "", NOW_MS + 40)


def test_failed_attempts_of_the_function_itself() -> None:
    history, run = begin()
    run.add(Kind.RunAttemptFailed, NOW_MS + 9, attempt=0, error_name="KeyError", error_message="x", due_ms=NOW_MS + 99)
    (attempt,) = told(run, history).attempts
    assert (attempt.number, attempt.next_ms) == (0, NOW_MS + 99)
    assert attempt.mistake is not None
    assert attempt.mistake.name == "KeyError"


def test_phases_follow_each_other_without_holes() -> None:
    history, run = begin(phase="queued", started_ms=0)
    run.add(Kind.RunPhase, NOW_MS + 70, phase="executing")
    run.step("load", NOW_MS + 71, NOW_MS + 80)
    run.sleep("nap", NOW_MS + 81, NOW_MS + 581)
    run.fail_attempt("charge", 0, NOW_MS + 582, NOW_MS + 600, NOW_MS + 1_600)
    run.step("charge", NOW_MS + 1_600, NOW_MS + 1_700, attempt=1)
    run.complete(NOW_MS + 1_710)
    assert told(run, history).stretches == [
        Stretch(NOW_MS, NOW_MS + 70, "queued"),
        Stretch(NOW_MS + 70, NOW_MS + 81, "executing"),
        Stretch(NOW_MS + 81, NOW_MS + 581, "sleeping"),
        Stretch(NOW_MS + 581, NOW_MS + 600, "executing"),
        Stretch(NOW_MS + 600, NOW_MS + 1_600, "backing_off"),
        Stretch(NOW_MS + 1_600, NOW_MS + 1_710, "executing"),
    ]


def test_a_live_run_is_drawn_up_to_now() -> None:
    history, run = begin()
    run.step("load", NOW_MS + 1, NOW_MS + 2)
    assert told(run, history, NOW_MS + 500).stretches == [Stretch(NOW_MS, NOW_MS + 500, "executing")]


def test_nothing_known_is_nothing_told() -> None:
    assert tell_run([], NOW_MS) == RunTold([], [], [])


def test_a_run_that_is_one_record_ran_from_its_making_to_its_end() -> None:
    history = History(1)
    ended = Kind.RunEnded
    history.life(ended, 0, NOW_MS + 80, "r", "f", event_ids=["e"], status="Completed", started_ms=NOW_MS, output="1")
    records = [decode_lifecycle(record.value or b"") for record in history.records]
    assert tell_run(records, NOW_MS + 999).stretches == [Stretch(NOW_MS, NOW_MS + 80, "executing")]


def test_a_run_that_was_announced_later_than_it_was_made_is_drawn_from_its_making() -> None:
    history = History(1)
    run = history.run("f", ["e"], NOW_MS + 200, started_ms=NOW_MS)
    run.step("load", NOW_MS + 1, NOW_MS + 200).complete(NOW_MS + 250)
    assert told(run, history).stretches == [Stretch(NOW_MS, NOW_MS + 250, "executing")]
