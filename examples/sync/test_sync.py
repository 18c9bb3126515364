"""Nights of a synchronisation: what is copied, what is not, and what a crash in the middle changes (nothing)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.sync import app as module
from headrace.testing import TestApp


@pytest.fixture
def t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestApp]:
    source = tmp_path / "crm.json"
    source.write_text(module.SOURCE.read_text())
    monkeypatch.setattr(module, "SOURCE", source)
    monkeypatch.setattr(module, "TARGET", tmp_path / "contacts.db")
    with module.app.test() as kit:
        yield kit


def emails() -> dict[str, str]:
    with module.contacts() as database:
        return dict(database.execute("SELECT id, email FROM contacts"))


def test_every_night_at_two_what_has_changed_is_copied(t: TestApp) -> None:
    t.advance("1d")
    night = t.run_of("nightly")
    due = datetime.fromisoformat(night.output["night"]).astimezone(UTC)
    assert due.hour in (0, 1)  # two in Berlin, in summer and in winter
    assert night.output["records"] == 5
    assert set(emails()) == {"c-1", "c-2", "c-4", "c-5"}
    assert emails()["c-1"] == "ada@example.com"
    record = {"id": "c-2", "name": "Charles Babbage", "email": "cb@example.com", "changed": "2026-04-01"}
    module.SOURCE.write_text(json.dumps([record]))
    t.advance("1d")
    assert [run.output["records"] for run in t.runs_of("nightly")] == [5, 1]
    assert emails()["c-2"] == "cb@example.com"
    t.advance("1d")
    assert t.run_of("nightly").output["records"] == 0


def test_one_bad_record_harms_no_other(t: TestApp) -> None:
    t.invoke("nightly")
    statuses = {run.steps["fetch"].output["id"]: run.status for run in t.runs_of("copy-contact")}
    assert statuses.pop("c-3") == "Failed"
    assert set(statuses.values()) == {"Completed"}


def test_a_source_that_is_away_is_tried_again(t: TestApp) -> None:
    t.stub("fetch", ConnectionError("the CRM is being updated"))
    t.invoke("nightly")
    assert {run.phase for run in t.runs_of("copy-contact")} == {"backing_off"}
    t.crash()
    t.stub("fetch", module.fetch)
    t.advance("1m")
    assert len(emails()) == 4
    assert all(run.steps["fetch"].attempts > 1 for run in t.runs_of("copy-contact"))


def test_a_night_without_a_node_is_made_up_for(t: TestApp) -> None:
    t.advance("1d")
    t.member.crash()  # and nobody starts another one for three days
    t.advance("3d")
    t.crash()
    t.advance("1m")
    assert len(t.runs_of("nightly")) == 2
