"""How far the projection is behind the topics: every list and page says so."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

ALIVE_MS = 15_000  # without a sign of life for that long, the projection counts as stopped
_SAMPLING_MS = 3_600_000


class Lag(NamedTuple):
    """What the archive says of itself. Seconds are counted from the last record that was read, while there are more."""

    running: bool
    records_behind: int
    seconds_behind: float
    missed: int  # records that had expired before they could be read
    unreadable: int
    events_seen: int  # of the last hour, while only a part of the events was kept; 0 if all were
    events_kept: int


def read_lag(archive: sqlite3.Connection, now_ms: int) -> Lag:
    """Give the state of the projection."""
    facts: dict[str, str] = dict(archive.execute("SELECT name, value FROM facts").fetchall())
    behind = missed = 0
    oldest_ms = now_ms
    for next_offset, log_end, read_ms, lost in archive.execute(
        "SELECT next_offset, log_end, read_ms, missed FROM positions"
    ):
        missed += lost
        if log_end > next_offset:
            behind += log_end - next_offset
            oldest_ms = min(oldest_ms, read_ms or now_ms)
    seen, kept = archive.execute(
        "SELECT coalesce(sum(seen), 0), coalesce(sum(kept), 0) FROM samplings WHERE minute_ms > ?",
        (now_ms - _SAMPLING_MS,),
    ).fetchone()
    return Lag(
        running=now_ms - int(facts.get("alive_ms", "0")) < ALIVE_MS,
        records_behind=behind,
        seconds_behind=max(0, now_ms - oldest_ms) / 1000,
        missed=missed,
        unreadable=int(facts.get("unreadable", "0")),
        events_seen=seen,
        events_kept=kept,
    )
