"""The console's SQLite file: its tables, and how it is opened for writing and for reading.

It is a cache of Kafka topics. A file of another format is thrown away and filled again from the topics, so there are no
migrations. One process writes (it holds a lock beside the file), any number read; WAL keeps them out of each other's
way. Times are milliseconds since the epoch; 0 says "not yet".
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from headrace.errors import NotReady

FORMAT = 2
_BUSY_MS = 10_000

TABLES = """
CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- How far each topic is read. Written in the transaction that holds the rows, so a crash repeats nothing.
CREATE TABLE IF NOT EXISTS positions(
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    read_ms INTEGER NOT NULL DEFAULT 0,      -- timestamp of the last record that was read
    seq_max INTEGER NOT NULL DEFAULT -1,     -- of the lifecycle records read
    log_end INTEGER NOT NULL DEFAULT 0,      -- as it was asked last
    missed INTEGER NOT NULL DEFAULT 0,       -- records that were gone before they could be read
    PRIMARY KEY(topic, partition)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS runs(
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    partition INTEGER NOT NULL,
    status TEXT NOT NULL,                    -- Scheduled, Running, Completed, Failed, Cancelled
    phase TEXT NOT NULL,                     -- of a live run
    phase_seq INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,                 -- when a sleep or a back-off ends
    queued_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    event_id TEXT NOT NULL,                  -- the first of them; all stand in run_causes
    event_count INTEGER NOT NULL,
    output TEXT NOT NULL,                    -- JSON; of a large one only output_bytes, the rest is in run_records
    output_bytes INTEGER NOT NULL,
    error_name TEXT NOT NULL,
    error_message TEXT NOT NULL,
    error_stack TEXT NOT NULL,
    error_more TEXT NOT NULL,                -- what else the error says, a JSON object; empty if nothing
    code TEXT NOT NULL,
    explanation TEXT NOT NULL,
    action TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS runs_by_id ON runs(run_id);
CREATE INDEX IF NOT EXISTS runs_by_function ON runs(function_id, run_id);
CREATE INDEX IF NOT EXISTS runs_not_completed ON runs(status, run_id) WHERE status <> 'Completed';

-- The lifecycle records of a run as they were read, those of one transaction joined: `run_records.py` takes them apart.
CREATE TABLE IF NOT EXISTS run_records(id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS run_records_by_run ON run_records(run_id);

CREATE TABLE IF NOT EXISTS run_causes(
    event_id TEXT NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY(event_id, run_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_causes_by_run ON run_causes(run_id);

-- What others keep beside a run, each time something was noted; `metadata.py` puts it together.
CREATE TABLE IF NOT EXISTS run_metadata(
    partition INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    scope TEXT NOT NULL,                     -- run, step, extended_trace
    step_id TEXT NOT NULL,                   -- empty: the run itself
    occurrence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,                -- -1: the step, whichever attempt
    at_ms INTEGER NOT NULL,
    updates TEXT NOT NULL,                   -- JSON list of kind, op, values
    PRIMARY KEY(partition, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_metadata_by_run ON run_metadata(run_id);
CREATE INDEX IF NOT EXISTS run_metadata_by_time ON run_metadata(at_ms);

CREATE TABLE IF NOT EXISTS events(
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,                  -- internal, a ULID; one that was delivered twice stands here twice
    name TEXT NOT NULL,
    given_id TEXT,                           -- the sender's own, if it gave one
    ts_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    record_key BLOB,
    topic_partition INTEGER NOT NULL,
    topic_offset INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_id ON events(event_id);
CREATE INDEX IF NOT EXISTS events_by_name ON events(name, event_id);
CREATE INDEX IF NOT EXISTS events_by_given_id ON events(given_id) WHERE given_id IS NOT NULL;

-- While the projection is far behind it keeps only a part of the events, and says so here.
CREATE TABLE IF NOT EXISTS samplings(
    minute_ms INTEGER PRIMARY KEY, seen INTEGER NOT NULL, kept INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS verdicts(
    partition INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    code TEXT NOT NULL,
    explanation TEXT NOT NULL,
    action TEXT NOT NULL,
    PRIMARY KEY(partition, seq, event_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS verdicts_by_event ON verdicts(event_id);
CREATE INDEX IF NOT EXISTS verdicts_by_time ON verdicts(at_ms);

CREATE TABLE IF NOT EXISTS dead_letters(
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    topic TEXT NOT NULL,
    topic_partition INTEGER NOT NULL,
    topic_offset INTEGER NOT NULL,
    record_key BLOB,
    body BLOB NOT NULL,                      -- the beginning of the value
    body_bytes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS dead_letters_by_time ON dead_letters(at_ms);

CREATE TABLE IF NOT EXISTS functions(
    function_id TEXT PRIMARY KEY, definition BLOB NOT NULL, changed_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- How many runs were scheduled and ended in each stretch of five minutes.
CREATE TABLE IF NOT EXISTS function_counts(
    function_id TEXT NOT NULL,
    bucket_ms INTEGER NOT NULL,
    scheduled INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    PRIMARY KEY(bucket_ms, function_id)
) WITHOUT ROWID;
"""
COUNT_BUCKET_MS = 300_000


def prepare_archive(path: Path) -> None:
    """Make the file with its tables if there is none of this format, readable by its owner only (0600)."""
    open_for_writing(path).close()


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the file for the one writer; a file of another format is emptied first. Raises NotReady."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)  # what SQLite makes beside it takes over these permissions
        connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise NotReady(
            "archive_unusable",
            f"the console's database {path} cannot be opened: {error}",
            why="the console keeps what happened in it, for its lists and pages",
            do="make its folder writable for this user and see that the disk has room; the file may be deleted",
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, FORMAT):
        _drop_everything(connection)
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only takes effect before the first table
    connection.execute("PRAGMA journal_mode=WAL")
    # A power cut may take the last transactions: they hold their positions too, so they are read again.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cache_size=-32000")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA journal_size_limit=67108864")
    if found != FORMAT:
        connection.executescript("BEGIN IMMEDIATE;" + TABLES + f"PRAGMA user_version={FORMAT};COMMIT;")


def _drop_everything(connection: sqlite3.Connection) -> None:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")
    connection.execute("BEGIN IMMEDIATE")
    for (name,) in tables.fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    connection.execute("PRAGMA user_version=0")
    connection.execute("COMMIT")


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file so that nothing can be written through this connection; it may be used by any one thread."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_MS / 1000,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA cache_size=-16000")
    connection.row_factory = sqlite3.Row
    return connection


class WriterLock:
    """The right to write to an archive, held until `close()` or until the process ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Take the lock if nobody has it; tells whether it is ours now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)


def adopt_topics(connection: sqlite3.Connection, identity: str) -> bool:
    """Tie the archive to the topics it is filled from; what came from other topics of the same names is dropped.

    `identity` names the topics for good, by Kafka's own ids. Returns whether something was dropped.
    """
    found = connection.execute("SELECT value FROM facts WHERE name='topics'").fetchone()
    if found is not None and found[0] == identity:
        return False
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")
    connection.execute("BEGIN IMMEDIATE")
    for (name,) in tables.fetchall():
        connection.execute(f'DELETE FROM "{name}"')
    connection.execute("INSERT INTO facts VALUES('topics', ?)", (identity,))
    connection.execute("COMMIT")
    return found is not None
