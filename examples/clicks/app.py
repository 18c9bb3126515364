"""A stream of clicks into SQLite, in batches, each click exactly once.

    headrace dev examples/clicks/app.py

and in another terminal:

    headrace send page/clicked '{"page": "/tea", "user": "u-1"}'
    sqlite3 .headrace/clicks.db 'SELECT page, count(*) FROM clicks GROUP BY page'

Any Kafka producer can write them, at full rate, to the topic `headrace.events`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from headrace import App, Batch, Context, Event

DATABASE = Path(os.environ.get("CLICKS_DATABASE", ".headrace/clicks.db"))

app = App("clicks")


@contextmanager
def clicks() -> Iterator[sqlite3.Connection]:
    """Open the database for one transaction; batches of several partitions are written at the same time."""
    DATABASE.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        database.execute("CREATE TABLE IF NOT EXISTS clicks (page TEXT, user TEXT, at_ms INTEGER)")
        yield database


def store(batch: str, events: list[Event]) -> int:
    """Store a batch, unless it is there already; the number of clicks that were new.

    The batch's name and its clicks are one transaction. A crash before it has stored nothing, and the attempt that is
    made after a crash behind it finds the name: exactly once, whatever happens, for one row in each thousand.
    """
    with clicks() as database:
        first = database.execute("INSERT OR IGNORE INTO batches VALUES (?, ?)", (batch, len(events))).rowcount
        if first:
            rows = [(event.data["page"], event.data["user"], event.ts) for event in events]
            database.executemany("INSERT INTO clicks VALUES (?, ?, ?)", rows)
    return len(events) if first else 0


@app.function(
    "store-clicks",
    trigger="page/clicked",
    # A thousand clicks, or those of a quarter of a second. Partitioned: one buffer for each partition of Kafka, and
    # nothing of a click is looked at before it is handed over; the fastest way of taking in many small events.
    batch=Batch(1_000, "250ms", partitioned=True),
)
async def store_clicks(ctx: Context) -> int:
    """Store a batch. The run's id names it: the same clicks always make the same run, with the same id."""
    return await ctx.step.run("store", store, ctx.run_id, ctx.events)
