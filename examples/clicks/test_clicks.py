"""Clicks in, rows out, each once: also when a batch is stored and the process dies before it could say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.clicks import app as module
from headrace import Event
from headrace.testing import TestApp


@pytest.fixture
def t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestApp]:
    monkeypatch.setattr(module, "DATABASE", tmp_path / "clicks.db")
    with module.app.test() as kit:
        yield kit


def click(t: TestApp, number: int) -> None:
    t.send("page/clicked", {"page": f"/{number}", "user": "u-1"})


def stored() -> list[str]:
    with module.clicks() as database:
        return sorted((page for (page,) in database.execute("SELECT page FROM clicks")), key=lambda page: int(page[1:]))


def test_clicks_wait_a_quarter_of_a_second_for_company(t: TestApp) -> None:
    for number in range(20):
        click(t, number)
    assert t.runs == []
    t.advance("250ms")
    assert stored() == [f"/{number}" for number in range(20)]
    assert len(t.runs_of("store-clicks")) == 2, "one batch for each partition of the kit"
    assert sum(run.output for run in t.runs) == 20


def test_a_thousand_are_stored_at_once(t: TestApp) -> None:
    for number in range(2_000):  # the kit spreads them over its two partitions
        click(t, number)
    assert [run.output for run in t.runs] == [1_000, 1_000]
    assert len(stored()) == 2_000


def test_what_has_been_stored_is_not_stored_again(t: TestApp) -> None:
    """The transaction is over when the process dies: nobody has recorded that it was done, so it is done again."""

    def store_and_die(batch: str, events: list[Event]) -> int:
        module.store(batch, events)
        raise ConnectionResetError

    died = t.stub("store", store_and_die)
    for number in range(10):
        click(t, number)
    t.advance("250ms")
    t.crash()
    t.stub("store", module.store)
    t.advance("10s")
    assert len(stored()) == 10
    assert len(died.calls) == 2
    assert [run.output for run in t.runs] == [0, 0], "the second attempts found their batches there"


def test_a_buffer_survives_the_process(t: TestApp) -> None:
    for number in range(10):
        click(t, number)
        t.crash()
    t.advance("1s")
    assert stored() == [f"/{number}" for number in range(10)]
