"""Asks the archive from the node's loop: queries run on threads, and one that takes too long is given up."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from headrace.console.archive import open_for_reading
from headrace.errors import BadRequest, NotReady

T = TypeVar("T")
_OPERATIONS = 10_000  # of SQLite's machine between two looks at the clock: about a millisecond


class ArchiveReader:
    """Reads an archive that may be written at the same time; `query_ms_max` bounds each query."""

    def __init__(self, path: Path, *, threads: int = 2, query_ms_max: int = 5_000) -> None:
        self._path = path
        self._query_s_max = query_ms_max / 1000
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="archive")

    async def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a thread. Errors: BadRequest 503 if it takes too long, NotReady without an archive."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)

    def close(self) -> None:
        """Let go of the file; queries that are running end first."""
        self._threads.shutdown()
        for connection in self._opened:
            connection.close()

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection()
        deadline = time.monotonic() + self._query_s_max
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPERATIONS)
        try:
            # One transaction, so that all that a page shows is of one moment.
            connection.execute("BEGIN")
            return query(connection)
        except sqlite3.OperationalError as error:
            if time.monotonic() <= deadline:
                raise
            raise BadRequest(
                "query_too_slow",
                f"the console's database had no answer after {self._query_s_max:g} s",
                status=503,
                why="the question looks at too many rows",
                do="narrow it: function=, a shorter since=, or a smaller limit=",
            ) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = open_for_reading(self._path)
            except sqlite3.Error as error:
                raise NotReady(
                    "archive_unusable",
                    f"the console's database {self._path} cannot be opened: {error}",
                    why="the lists and pages of the console are read from it",
                    do="see whether the file is there and may be read; the projection makes it anew if it is deleted",
                ) from error
            self._local.connection = connection
            self._opened.append(connection)
        return connection
