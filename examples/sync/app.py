"""Each night, copy what has changed in one system to another: one run finds the records, and each has a run of its own.

    headrace dev examples/sync/app.py
    headrace invoke sync-nightly            # tonight's run now, in another terminal

From `crm.json`, which stands for the API of a CRM, to the SQLite file .headrace/contacts.db.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from headrace import App, Backoff, Concurrency, Context, Cron, Event, NonRetriableError, Retries

SOURCE = Path(os.environ.get("SYNC_SOURCE", Path(__file__).with_name("crm.json")))
TARGET = Path(os.environ.get("SYNC_TARGET", ".headrace/contacts.db"))
LINE = os.environ.get("SYNC_LINE", "0 2 * * *")

app = App("sync")


@contextmanager
def contacts() -> Iterator[sqlite3.Connection]:
    """Open the target for one transaction."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(TARGET, timeout=10)) as database, database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS contacts (id TEXT PRIMARY KEY, name TEXT, email TEXT, changed TEXT)"
        )
        yield database


def changed_records() -> list[str]:
    """List the ids of the records that are newer in the source than in the target."""
    with contacts() as database:
        have = dict(database.execute("SELECT id, changed FROM contacts"))
    return [record["id"] for record in json.loads(SOURCE.read_text()) if have.get(record["id"], "") < record["changed"]]


def fetch(record_id: str) -> dict[str, str]:
    """Get one record from the source."""
    found: dict[str, str] = next(record for record in json.loads(SOURCE.read_text()) if record["id"] == record_id)
    return found


def store(record: dict[str, str]) -> str:
    """Put one record into the target. Writing it a second time changes nothing."""
    if "@" not in record["email"]:
        raise NonRetriableError(f"{record['id']} ({record['name']}) has no e-mail address")
    row = record["id"], record["name"], record["email"].lower(), record["changed"]
    with contacts() as database:
        database.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?)", row)
    return record["id"]


@app.function(
    "nightly",
    # At two in Berlin, in summer as in winter. A night that no node was up for is made up for when one is.
    trigger=Cron(LINE, timezone="Europe/Berlin", overlap="skip", catch_up="last"),
)
async def nightly(ctx: Context) -> dict[str, Any]:
    """Find what has changed, and have each record copied by a run of its own."""
    night = ctx.event.data.get("scheduledAt") or ctx.now().isoformat()
    records = await ctx.step.run("find", changed_records)
    # One commit publishes them all, once. The ids make a second run for the same night harmless.
    events = [Event("contact/changed", {"id": one}, id=f"{night} {one}") for one in records]
    if events:
        await ctx.step.send_event("hand out", events)
    return {"night": night, "records": len(records)}


@app.function(
    "copy-contact",
    trigger="contact/changed",
    concurrency=Concurrency(3),  # what the source can take, however many records there are
    retries=Retries(5, backoff=Backoff("exponential", base="500ms", max="1m")),
)
async def copy_contact(ctx: Context) -> str:
    """Copy one record. When it fails, the others are none the worse."""
    record = await ctx.step.run("fetch", fetch, ctx.event.data["id"])
    return await ctx.step.run("store", store, record)
