"""A fortnight of letters, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.welcome import app as module
from headrace.testing import TestApp

ADA = {"userId": "u-1", "email": "ada@example.com"}


@pytest.fixture
def t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestApp]:
    monkeypatch.setattr(module, "OUTBOX", tmp_path / "outbox")
    with module.app.test() as kit:
        yield kit


def letters() -> int:
    return len(list(module.OUTBOX.glob("*.eml")))


def test_a_user_who_begins_is_praised(t: TestApp) -> None:
    t.send("user/signed-up", ADA)
    t.advance("1d")
    t.send("project/created", {"userId": "someone else", "name": "Loom"})
    t.send("project/created", {"userId": "u-1", "name": "Engine"})
    t.advance("8d")
    run = t.run_of("welcome")
    assert run.output == ["welcome", "well done: Engine", "invite your team", "learn the short cuts"]
    assert letters() == 4


def test_a_user_who_does_nothing_is_nudged_and_no_crash_writes_a_letter_twice(t: TestApp) -> None:
    t.send("user/signed-up", ADA)
    for day in range(1, 12):
        t.crash()
        t.advance("1d")
        assert letters() == (1 if day < 3 else 2 if day < 7 else 3 if day < 11 else 4), day
    run = t.run_of("welcome")
    assert run.output[1] == "how to make your first project"
    assert {step.attempts for step in run.steps.values()} == {1}


def test_who_leaves_gets_no_further_letter(t: TestApp) -> None:
    t.send("user/signed-up", ADA)
    t.advance("5d")
    t.send("user/deleted", {"userId": "u-1"})
    run = t.run_of("welcome")
    assert run.status == "Cancelled"
    t.advance("30d")
    assert letters() == 2


def test_who_signs_up_twice_gets_one_series(t: TestApp) -> None:
    for _ in range(3):
        t.send("user/signed-up", ADA)
    t.advance("11d")
    assert len(t.runs_of("welcome")) == 1
    assert letters() == 4


def test_a_letter_that_cannot_be_written_is_tried_again(t: TestApp) -> None:
    t.stub("welcome", OSError("the mail server is away"))
    t.send("user/signed-up", ADA)
    run = t.run_of("welcome")
    assert (run.phase, run.steps["welcome"].attempts) == ("backing_off", 1)
    t.stub("welcome", "welcome")
    t.advance("5s")
    assert run.steps["welcome"].attempts == 2
    assert run.phase == "waiting"
