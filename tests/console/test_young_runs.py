"""Runs that are a moment old. Goal: an order about one finds it; one about a run that never was is refused at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from headrace.console.archive_reader import ArchiveReader
from headrace.console.young_runs import YOUNG_MS, find_soon
from tests.console.archives import fill
from tests.console.histories import NOW_MS, History

T = TypeVar("T")


class LateArchive(ArchiveReader):
    """An archive that is filled once it has been asked."""

    def __init__(self, path: Path, then: Callable[[], None]) -> None:
        super().__init__(path)
        self.asked = 0
        self._then = then

    async def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Answer, and fill."""
        answer = await super().ask(query)
        self.asked += 1
        self._then()
        return answer


@pytest.mark.parametrize("age_ms", [0, YOUNG_MS - 1, -50])
def test_a_run_that_has_just_begun_is_waited_for(tmp_path: Path, age_ms: int) -> None:
    history = History()
    projection = fill(tmp_path / "a.db", [])
    run = history.run("f", ["e"], NOW_MS - age_ms)
    archive = LateArchive(tmp_path / "a.db", lambda: projection.apply(history.records))
    found, _ = asyncio.run(find_soon(archive, run.run_id, NOW_MS))
    archive.close()
    assert found is not None
    assert (found.row.run_id, archive.asked) == (run.run_id, 2)


@pytest.mark.parametrize("run_id", ["nonsense", "01K00000000000000000000000"])
def test_one_that_never_was_is_not(tmp_path: Path, run_id: str) -> None:
    fill(tmp_path / "a.db", [])
    archive = LateArchive(tmp_path / "a.db", lambda: None)
    found, _ = asyncio.run(find_soon(archive, run_id, NOW_MS))
    archive.close()
    assert (found, archive.asked) == (None, 1)
