"""Runs that are a moment old: the history tells of a run once it has lived for a moment, and the archive after that.

Who knows a run's id that early is its code, or has just been told it: an order about such a run waits for it.
"""

from __future__ import annotations

import asyncio
import sqlite3

from headrace.console.archive_reader import ArchiveReader
from headrace.console.lag_queries import Lag, read_lag
from headrace.console.run_queries import FoundRun, find_run
from headrace.records.ids import is_ulid, ulid_ms

YOUNG_MS = 10_000
_PATIENCE_S = 1.5
_LOOK_S = 0.05


async def find_soon(archive: ArchiveReader, run_id: str, now_ms: int) -> tuple[FoundRun | None, Lag]:
    """Look up a run; one that may have begun just now is waited for."""

    def query(connection: sqlite3.Connection) -> tuple[FoundRun | None, Lag]:
        return find_run(connection, run_id), read_lag(connection, now_ms)

    found, lag = await archive.ask(query)
    if found is None and is_ulid(run_id) and abs(now_ms - ulid_ms(run_id)) < YOUNG_MS:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_S
        while found is None and loop.time() < deadline:
            await asyncio.sleep(_LOOK_S)
            found, lag = await archive.ask(query)
    return found, lag
