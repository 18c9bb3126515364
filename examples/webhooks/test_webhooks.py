"""What one delivery starts, and what it does not."""

from __future__ import annotations

from typing import Any

from examples.webhooks.app import app

PUSH: dict[str, Any] = {
    "repository": "engine",
    "branch": "main",
    "commit": "c0ffee",
    "message": "Turn the mill",
    "author": "ada",
}


def test_a_push_to_main_is_built_announced_and_counted() -> None:
    with app.test() as t:
        t.send("code/push", PUSH, id="delivery-1")
        assert t.run_of("announce").output == "#code/push: c0ffee"
        assert t.run_of("tally").output == {"code/push": 1}
        t.advance("30s")
        assert t.run_of("build").output == {"artefact": "engine-c0ffee.tar.gz"}
        assert t.run_of("announce").output == "#build/finished: engine-c0ffee.tar.gz"


def test_a_delivery_that_is_repeated_starts_nothing() -> None:
    with app.test() as t:
        for _ in range(3):
            t.send("code/push", PUSH, id="delivery-1")
        assert {run.function_id: len(t.runs_of(run.function_id)) for run in t.runs} == {
            "webhooks-announce": 1,
            "webhooks-build": 1,
            "webhooks-tally": 1,
        }


def test_other_branches_and_other_events_are_not_built() -> None:
    with app.test() as t:
        t.send("code/push", PUSH | {"branch": "try"})
        t.send("code/release", {"repository": "engine", "version": "2.0"})
        t.send("code/star", {"repository": "engine"})
        assert t.runs_of("build") == []
        assert [run.output for run in t.runs_of("announce")] == ["#code/push: c0ffee", "#code/release: 2.0"]
        assert t.run_of("tally").output == {"code/push": 1, "code/release": 1, "code/star": 1}


def test_a_newer_push_takes_the_place_of_a_build_that_still_runs() -> None:
    with app.test() as t:
        t.send("code/push", PUSH)
        t.send("code/push", PUSH | {"repository": "loom"})
        t.advance("10s")
        t.send("code/push", PUSH | {"commit": "cafe"})
        t.advance("30s")
        assert [(run.status, run.output) for run in t.runs_of("build")] == [
            ("Cancelled", None),
            ("Completed", {"artefact": "engine-c0ffee.tar.gz"}),
            ("Completed", {"artefact": "engine-cafe.tar.gz"}),
        ]


def test_a_broken_build_is_told_to_who_broke_it_and_stops_nothing_else() -> None:
    with app.test() as t:
        t.send("code/push", PUSH | {"message": "broken, sorry"})
        t.advance("30s")
        assert t.run_of("build").status == "Failed"
        assert "the tests of c0ffee fail" in t.run_of("build-failure").output
        assert t.run_of("build-failure").output.startswith("to ada: ")
        assert t.run_of("announce").output == "#code/push: c0ffee"


def test_counts_are_kept_for_each_repository_whatever_crashes() -> None:
    with app.test() as t:
        for number in range(6):
            t.send("code/star", {"repository": ("engine", "loom")[number % 2]})
            t.crash()
        assert [run.output for run in t.runs_of("tally")][-2:] == [{"code/star": 3}, {"code/star": 3}]
