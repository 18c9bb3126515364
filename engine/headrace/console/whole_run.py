"""All that the archive has of one run, as it is at one moment."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import msgspec

from headrace.console.event_queries import FoundEvent, find_events
from headrace.console.metadata import Note, notes_of, origin_of
from headrace.console.run_queries import FoundRun, find_run, read_run_records
from headrace.records.history import Lifecycle
from headrace.records.ids import derive_ulid
from headrace.runs.cron import FIRED


class _Timer(msgspec.Struct, frozen=True):
    cron: str = ""


class _TimerEvent(msgspec.Struct):
    data: _Timer = _Timer()


class WholeRun(NamedTuple):
    """A run with its records, its first event if that is kept, and what is kept beside it."""

    found: FoundRun
    records: list[Lifecycle]
    first: FoundEvent | None
    notes: list[Note]

    @property
    def original_run_id(self) -> str | None:
        """Which run it repeats."""
        return origin_of(self.notes)

    @property
    def cron(self) -> str | None:
        """Which cron line started it."""
        return cron_of(self.first)

    @property
    def batch_id(self) -> str | None:
        """Name the batch that started it."""
        return batch_of(self.found)


def read_whole_run(archive: sqlite3.Connection, run_id: str) -> WholeRun | None:
    """Look up a run."""
    found = find_run(archive, run_id)
    if found is None:
        return None
    first = next(iter(find_events(archive, found.event_ids[:1])), None) if found.event_ids else None
    return WholeRun(found, read_run_records(archive, run_id), first, notes_of(archive, run_id))


def cron_of(event: FoundEvent | None) -> str | None:
    """Tell which cron line an event is of."""
    if event is None or event.name != FIRED:
        return None
    try:
        return msgspec.json.decode(event.body, type=_TimerEvent).data.cron or None
    except (msgspec.MsgspecError, RecursionError):
        return None


def batch_of(found: FoundRun) -> str | None:
    """Name the batch that started a run, by an id made of the run's; None for a run of a single event."""
    row = found.row
    return derive_ulid(row.queued_ms, b"batch\0" + row.run_id.encode()) if row.event_count > 1 else None


def events_of(archive: sqlite3.Connection, found: FoundRun) -> list[FoundEvent]:
    """Give the events of a run, in its order, as far as they are kept."""
    known = {event.event_id: event for event in find_events(archive, found.event_ids)}
    return [known[event_id] for event_id in found.event_ids if event_id in known]
