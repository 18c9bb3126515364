"""Commands in any order. Goal: what is recorded stays, and an ended run leaves nothing behind (I10, I11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.records.commands import AnyCommand, CancelRun, CodeMissing, EventsAsked, SleepAsked, Suspended
from headrace.records.rows import Step, StepState
from headrace.runs import (
    cancel_run,
    note_code,
    plan_sleep,
    publish_events,
    suspend_run,
    take_run_report,
    take_step_report,
)
from tests.runs.lives import FATAL, Lives, done, failed, raised, returned

STEPS = [b"load", b"save", b"nap", b"tell"]
Move = Callable[[Lives], tuple[Callable[[Any, Any], None], AnyCommand]]


def moves() -> st.SearchStrategy[Move]:
    step = st.sampled_from(STEPS)
    attempt = st.integers(0, 3)
    return st.one_of(
        st.builds(lambda s, a, v: lambda w: (take_step_report, done(w.run_id, s, v, a)), step, attempt, st.integers()),
        st.builds(lambda s, a: lambda w: (take_step_report, failed(w.run_id, s, a)), step, attempt),
        st.builds(lambda s: lambda w: (plan_sleep, SleepAsked(w.run_id, s, 0, 2_000)), step),
        st.builds(lambda s: lambda w: (publish_events, EventsAsked(w.run_id, s, [(b"{}", None)])), step),
        st.builds(lambda s: lambda w: (suspend_run, Suspended(w.run_id, s)), st.lists(step, max_size=2)),
        st.builds(lambda m: lambda w: (note_code, CodeMissing(w.run_id, m)), st.booleans()),
        st.builds(lambda a: lambda w: (take_run_report, raised(w.run_id, a)), attempt),
        st.builds(lambda a: lambda w: (take_run_report, raised(w.run_id, a, FATAL)), attempt),
        st.builds(lambda a: lambda w: (take_run_report, returned(w.run_id, a)), attempt),
        st.builds(lambda: lambda w: (cancel_run, CancelRun(w.run_id, "by hand"))),
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(moves(), st.integers(0, 3_000)), max_size=25))
def test_a_run_under_any_commands(drawn: list[Any]) -> None:
    lives = Lives()
    lives.start()
    recorded: dict[bytes, Step] = {}
    for move in drawn:
        if isinstance(move, int):
            lives.pass_time(move)
        else:
            alive = lives.run() is not None
            before = lives.partition.everything()
            lives.apply(*move(lives))
            if not alive:
                assert lives.partition.everything() == before, "a command about a run that has ended is nothing"
                assert lives.effects == []
        for name in STEPS:
            row = lives.step(name)
            if lives.run() is not None and name in recorded:
                assert row == recorded[name], "what is recorded stays"
            if row is not None and row.state != StepState.PENDING:
                recorded[name] = row
        if lives.run() is None:
            assert lives.rows_of_runs() == {}, "an ended run leaves nothing behind"
    finish(lives)


def finish(lives: Lives) -> None:
    """Bring the run to its end, as code does that is started when it may be; it must always be possible."""
    for _ in range(20):
        run = lives.run()
        if run is None:
            break
        if run.retry_due_ms:
            assert lives.pass_time(run.retry_due_ms - lives.now_ms) > 0
        else:
            lives.apply(take_run_report, returned(lives.run_id, run.attempt))
    assert lives.run() is None
    assert lives.rows_of_runs() == {}
    kinds = lives.kinds()
    assert kinds.count("RunEnded") == 1
    assert kinds[-1] == "RunEnded"
    assert kinds.count("RunScheduled") <= 1
    if "RunScheduled" in kinds:
        assert kinds[0] == "RunScheduled"
