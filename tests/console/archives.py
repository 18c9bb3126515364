"""Archives for the console's tests, filled from histories without a broker, and applications that serve them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette

from headrace.adapters.seams import Record
from headrace.console import archive as archives
from headrace.console.archive_reader import ArchiveReader
from headrace.console.projection import Projection
from headrace.console.server import create_asgi_app
from headrace.console.status import PartitionStatus
from tests.console.histories import EVENTS_TOPIC_ID, NOW_MS, TOPICS


class FixedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def monotonic_ms(self) -> int:
        """Return the time."""
        return self.now_ms

    def wall_ms(self) -> int:
        """Return the time."""
        return self.now_ms


class ToldStatus:
    """A node that says what it is told to say."""

    def __init__(self, partitions: int = 4) -> None:
        self.reason = ""
        self.rows: list[PartitionStatus] = [
            {"partition": number, "owner": f"node-{number % 2}", "state": "running", "lag": 0}
            for number in range(partitions)
        ]

    def partitions(self) -> Sequence[PartitionStatus]:
        """List the partitions."""
        return self.rows

    def ready(self) -> tuple[bool, str]:
        """Tell whether the node is ready."""
        return not self.reason, self.reason


_T = TypeVar("_T", sqlite3.Connection, ArchiveReader)
_opened: list[sqlite3.Connection | ArchiveReader] = []


def _kept(opened: _T) -> _T:
    _opened.append(opened)
    return opened


def close_all() -> None:
    """Close what was opened here; `conftest.py` calls this behind every test."""
    while _opened:
        _opened.pop().close()


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open an archive for writing until the end of the test."""
    return _kept(archives.open_for_writing(path))


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open an archive for reading until the end of the test."""
    return _kept(archives.open_for_reading(path))


def open_archive(path: Path) -> ArchiveReader:
    """Open an archive for questions until the end of the test."""
    return _kept(ArchiveReader(path))


def fill(path: Path, records: Iterable[Record], *, alive_ms: int = NOW_MS) -> Projection:
    """Fill an archive; the projection that did it is open and can take more."""
    projection = Projection(open_for_writing(path), TOPICS, EVENTS_TOPIC_ID)
    projection.apply(sorted(records, key=lambda record: (record.topic, record.partition, record.offset)))
    projection.note_ends({}, alive_ms)
    return projection


def serve(path: Path, *, now_ms: int = NOW_MS, **more: Any) -> Starlette:
    """Make the application over an archive."""
    return create_asgi_app(
        **{"archive": _kept(ArchiveReader(path)), "status": ToldStatus(), "clock": FixedClock(now_ms), **more}
    )
