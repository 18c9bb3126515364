"""`GET /v1/runs/{id}/jobs`. Goal: what a run has pending, the soonest first, and nothing once it has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.records.history import Kind
from tests.console.archives import fill, serve
from tests.console.asgi import ask
from tests.console.histories import NOW_MS, History


@pytest.fixture
def history() -> History:
    return History()


def jobs(tmp_path: Path, history: History) -> list[dict[str, Any]]:
    path = tmp_path / "a.db"
    fill(path, history.records)
    answer = ask(serve(path), "GET", f"/v1/runs/{history.runs[0].run_id}/jobs")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_get_v1_runs_jobs_of_steps_that_wait(tmp_path: Path, history: History) -> None:
    run = history.run("f", ["e"], NOW_MS - 50)
    run.add(Kind.StepPlanned, NOW_MS - 9, step_id="paid", op="wait", started_ms=NOW_MS - 9, due_ms=NOW_MS + 9_000)
    run.fail_attempt("charge", 1, NOW_MS - 9, NOW_MS - 8, NOW_MS + 2_000)
    run.sleep("nap", NOW_MS - 7, NOW_MS + 5_000, over=False)
    found = jobs(tmp_path, history)
    assert [(job["kind"], job["attempt"], job["at"], job["position"]) for job in found] == [
        ("edge-error", 2, "2025-11-21T08:00:02.000Z", 0),
        ("sleep", 0, "2025-11-21T08:00:05.000Z", 1),
        ("pause", 0, "2025-11-21T08:00:09.000Z", 2),
    ]
    assert found[0]["JobID"] == f"{run.run_id}-charge"


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (lambda h: h.run("f", ["e"], NOW_MS - 50, phase="queued", started_ms=0), ["start"]),
        (lambda h: h.run("f", ["e"], NOW_MS - 50), ["edge"]),
        (lambda h: h.run("f", ["e"], NOW_MS - 50).complete(NOW_MS), []),
        (
            lambda h: h.run("f", ["e"], NOW_MS - 50).add(
                Kind.RunAttemptFailed, NOW_MS - 9, phase="backing_off", due_ms=NOW_MS + 9, error_name="E"
            ),
            ["edge-error"],
        ),
    ],
)
def test_get_v1_runs_jobs_of_the_code_itself(tmp_path: Path, history: History, make: Any, kinds: list[str]) -> None:
    make(history)
    assert [job["kind"] for job in jobs(tmp_path, history)] == kinds


def test_of_a_run_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    fill(path, [])
    assert ask(serve(path), "GET", "/v1/runs/01K00000000000000000000000/jobs").status == 404
