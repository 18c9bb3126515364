"""Questions about runs, to an open archive."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from headrace.console.run_records import split_records
from headrace.console.run_rows import COLUMNS, RunRow
from headrace.records.history import Lifecycle
from headrace.records.ids import ulid_time

STATUSES = ("Scheduled", "Running", "Completed", "Failed", "Cancelled", "Skipped")
PHASES = ("queued", "executing", "sleeping", "waiting", "backing_off", "parked", "no_code")
_COLUMNS = ", ".join(f"runs.{name}" for name in COLUMNS)
# The newest row with the event's id: one that was delivered twice has two of the same name.
_EVENT_NAME = "(SELECT name FROM events WHERE events.event_id = runs.event_id LIMIT 1) AS event_name"


class RunFilter(NamedTuple):
    """Which runs are asked for; an empty field asks for all."""

    functions: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    event_id: str = ""  # internal, or the sender's
    since_ms: int = 0


class FoundRun(NamedTuple):
    """A run with all its events' ids and the name of its first event ("" if that is not known)."""

    row: RunRow
    event_ids: list[str]
    event_name: str


def list_runs(
    archive: sqlite3.Connection,
    wanted: RunFilter,
    before: str,
    *,
    outputs: bool = True,
    ascending: bool = False,
    until_ms: int = 0,
) -> Iterator[FoundRun]:
    """Give runs, newest first, those below the run id `before` if there is one; take as many as needed.

    Without `outputs` large outputs are left out, which have to be fetched one by one. `ascending` turns the order
    round, and what `before` says.
    """
    conditions, values = _conditions(wanted, until_ms)
    if before:
        conditions.append("runs.run_id > ?" if ascending else "runs.run_id < ?")
        values.append(before)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "ASC" if ascending else "DESC"
    sql = f"SELECT {_COLUMNS}, {_EVENT_NAME} FROM runs {where} ORDER BY runs.run_id {order}"
    for row in archive.execute(sql, values):
        yield _found(archive, row, outputs)


def count_runs(archive: sqlite3.Connection, wanted: RunFilter, *, until_ms: int = 0) -> int:
    """Count runs."""
    conditions, values = _conditions(wanted, until_ms)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    (count,) = archive.execute(f"SELECT count(*) FROM runs {where}", values).fetchone()
    return int(count)


def _conditions(wanted: RunFilter, until_ms: int) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.functions:
        # Several are not looked for by their index (that is what + says): they would have to be sorted by time then.
        column = "runs.function_id" if len(wanted.functions) == 1 else "+runs.function_id"
        conditions.append(f"{column} IN ({', '.join('?' * len(wanted.functions))})")
        values += wanted.functions
    if wanted.statuses:
        # Written out: the index of the runs that have not completed is used only if SQLite sees that it fits.
        listed = ", ".join(f"'{status}'" for status in STATUSES if status in wanted.statuses)
        conditions.append(f"runs.status IN ({listed})")
        if "Completed" not in wanted.statuses:
            conditions.append("runs.status <> 'Completed'")
    if wanted.event_id:
        conditions.append(
            "runs.run_id IN (SELECT run_id FROM run_causes WHERE event_id = ? UNION SELECT run_id FROM run_causes"
            " WHERE event_id IN (SELECT event_id FROM events WHERE given_id = ?))"
        )
        values += [wanted.event_id, wanted.event_id]
    if wanted.since_ms:
        conditions.append("runs.run_id >= ?")
        values.append(ulid_time(wanted.since_ms))
    if until_ms:
        conditions.append("runs.run_id < ?")
        values.append(ulid_time(until_ms + 1))
    return conditions, values


def find_run(archive: sqlite3.Connection, run_id: str) -> FoundRun | None:
    """Give one run."""
    row = archive.execute(f"SELECT {_COLUMNS}, {_EVENT_NAME} FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else _found(archive, row, True)


def read_run_records(archive: sqlite3.Connection, run_id: str) -> list[Lifecycle]:
    """Give a run's lifecycle records, in their order."""
    bodies = archive.execute("SELECT body FROM run_records WHERE run_id = ? ORDER BY id", (run_id,))
    return split_records(body for (body,) in bodies)


def _found(archive: sqlite3.Connection, row: sqlite3.Row, outputs: bool) -> FoundRun:
    run = RunRow(*row[: len(COLUMNS)])
    event_ids = [run.event_id] if run.event_id else []
    if run.event_count > 1:
        causes = archive.execute("SELECT event_id FROM run_causes WHERE run_id = ? ORDER BY event_id", (run.run_id,))
        event_ids = [event_id for (event_id,) in causes]
    if outputs and run.output_bytes and not run.output:
        ends = [record for record in read_run_records(archive, run.run_id) if record.kind == "RunEnded"]
        run = msgspec.structs.replace(run, output=ends[-1].output if ends else "")
    return FoundRun(run, event_ids, row["event_name"] or "")
