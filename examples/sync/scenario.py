"""Nights two seconds apart: the first one copies what there is, the later ones what has changed since."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT = {"SYNC_LINE": "@every 2s", "SYNC_SOURCE": "crm.json"}
RECORDS = 40


def play(stage: Stage) -> None:
    """Fill the source, wait for nights, change a record, and wait for another night."""
    source = stage.folder / "crm.json"
    write(source, [record(number) for number in range(RECORDS)])
    stage.wait(lambda: len(contacts(stage)) == RECORDS, "every record is copied")
    write(source, [*(record(number) for number in range(RECORDS - 1)), record(RECORDS - 1, "2026-04-01")])
    stage.wait(lambda: contacts(stage)[f"c-{RECORDS - 1}"] == "2026-04-01", "the changed record is copied")
    # On a slow machine a night may find records that the one before has not copied yet: they are handed out once more.
    stage.wait(lambda: handed_out(stage) == len(stage.runs("sync-copy-contact", status="Completed")), "all has ended")
    stage.check("each record that a night has found had one run", handed_out(stage) >= RECORDS + 1)
    stage.check("the target has every record once", len(contacts(stage)) == RECORDS)


def handed_out(stage: Stage) -> int:
    """Count the records that the nights have found."""
    return sum(night["output"]["records"] for night in stage.runs("sync-nightly", status="Completed"))


def record(number: int, changed: str = "2026-03-01") -> dict[str, str]:
    """Make a record of the source."""
    return {"id": f"c-{number}", "name": f"Name {number}", "email": f"{number}@example.com", "changed": changed}


def write(source: Path, records: list[dict[str, str]]) -> None:
    """Replace the source at once, so that nobody reads half of it."""
    new = source.with_suffix(".new")
    new.write_text(json.dumps(records))
    new.replace(source)


def contacts(stage: Stage) -> dict[str, str]:
    """Read the target: when each record had changed."""
    path = stage.folder / ".headrace" / "contacts.db"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path, timeout=10)) as database:
        return dict(database.execute("SELECT id, changed FROM contacts"))
