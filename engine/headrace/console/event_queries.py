"""Questions about events, verdicts and dead letters, to an open archive."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.records.ids import ulid_time

_COLUMNS = "id, event_id, name, given_id, ts_ms, received_ms, record_key, topic_partition, topic_offset, body"


class EventFilter(NamedTuple):
    """Which events are asked for; an empty field asks for all. A name may end in * behind / or a dot."""

    name: str = ""
    since_ms: int = 0
    until_ms: int = 0


class FoundEvent(NamedTuple):
    """An event as it stands on its topic. `number` tells apart the rows of one that was delivered twice."""

    number: int
    event_id: str
    name: str
    given_id: str | None
    ts_ms: int
    received_ms: int
    key: bytes | None
    partition: int
    offset: int
    body: bytes


class FoundVerdict(NamedTuple):
    """Why an event did not start a function."""

    event_id: str
    function_id: str
    at_ms: int
    status: str
    code: str
    explanation: str
    action: str


class FoundDeadLetter(NamedTuple):
    """A record that nobody could use."""

    number: int
    at_ms: int
    code: str
    reason: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    body: bytes
    body_bytes: int


class Place(NamedTuple):
    """Where a list of events goes on: below this id, and this row among those of the same id."""

    event_id: str
    number: int


def list_events(archive: sqlite3.Connection, wanted: EventFilter, before: Place | None) -> Iterator[FoundEvent]:
    """Give events, newest first, those below `before` if it is given; take as many as needed."""
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.name.endswith("*"):
        # Not by the index of names (that is what + says): they would have to be sorted by time then.
        conditions.append("+name >= ? AND +name < ?")
        values += [wanted.name[:-1], wanted.name[:-1] + "\U0010ffff"]
    elif wanted.name:
        conditions.append("name = ?")
        values.append(wanted.name)
    if wanted.since_ms:
        conditions.append("event_id >= ?")
        values.append(ulid_time(wanted.since_ms))
    if wanted.until_ms:
        conditions.append("event_id < ?")
        values.append(ulid_time(wanted.until_ms + 1))
    if before is not None:
        conditions.append("event_id <= ? AND (event_id < ? OR id < ?)")
        values += [before.event_id, before.event_id, before.number]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    for row in archive.execute(f"SELECT {_COLUMNS} FROM events {where} ORDER BY event_id DESC, id DESC", values):
        yield FoundEvent(*row)


def find_event(archive: sqlite3.Connection, event_id: str) -> FoundEvent | None:
    """Give the event with this internal id, or else the newest with this id of its sender, one with runs before others.

    An id that was sent again starts nothing: the record that did is the one that is asked for.
    """
    row = archive.execute(
        f"SELECT {_COLUMNS} FROM events WHERE event_id = ? ORDER BY id DESC LIMIT 1", (event_id,)
    ).fetchone()
    if row is None:
        row = archive.execute(
            f"SELECT {_COLUMNS} FROM events WHERE given_id = ? ORDER BY"
            " EXISTS (SELECT 1 FROM run_causes WHERE run_causes.event_id = events.event_id) DESC, id DESC LIMIT 1",
            (event_id,),
        ).fetchone()
    return None if row is None else FoundEvent(*row)


def same_given_id(archive: sqlite3.Connection, event: FoundEvent, limit: int) -> list[tuple[str, int]]:
    """Give up to `limit` other events that came with the same id of their sender: internal ids and times of arrival."""
    if event.given_id is None:
        return []
    rows = archive.execute(
        "SELECT DISTINCT event_id, received_ms FROM events WHERE given_id = ? AND event_id <> ?"
        " ORDER BY event_id LIMIT ?",
        (event.given_id, event.event_id, limit),
    )
    return [(row["event_id"], row["received_ms"]) for row in rows]


def find_events(archive: sqlite3.Connection, event_ids: list[str]) -> list[FoundEvent]:
    """Give the events with these internal ids, as far as they are kept; each once."""
    marks = ", ".join("?" * len(event_ids))
    rows = archive.execute(f"SELECT {_COLUMNS} FROM events WHERE event_id IN ({marks}) GROUP BY event_id", event_ids)
    return [FoundEvent(*row) for row in rows]


def event_names(archive: sqlite3.Connection, count: int) -> list[str]:
    """List up to `count` names of events, in the order of the alphabet, without looking at every event."""
    names: list[str] = []
    name = ""
    while len(names) < count:
        row = archive.execute("SELECT name FROM events WHERE name > ? ORDER BY name LIMIT 1", (name,)).fetchone()
        if row is None:
            break
        name = row["name"]
        names.append(name)
    return names


def runs_started(archive: sqlite3.Connection, event_ids: list[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Give the runs that each of some events started, as (run id, function id, status)."""
    found: dict[str, list[tuple[str, str, str]]] = {event_id: [] for event_id in event_ids}
    marks = ", ".join("?" * len(event_ids))
    for event_id, run_id, function_id, status in archive.execute(
        "SELECT run_causes.event_id, runs.run_id, runs.function_id, runs.status FROM run_causes"
        f" JOIN runs ON runs.run_id = run_causes.run_id WHERE run_causes.event_id IN ({marks})"
        " ORDER BY runs.run_id",
        event_ids,
    ):
        found[event_id].append((run_id, function_id, status))
    return found


def verdicts_of(archive: sqlite3.Connection, event_id: str) -> list[FoundVerdict]:
    """Give the verdicts about an event (by its internal id)."""
    rows = archive.execute(
        "SELECT event_id, function_id, at_ms, status, code, explanation, action FROM verdicts"
        " WHERE event_id = ? ORDER BY at_ms, seq LIMIT 1000",
        (event_id,),
    )
    return [FoundVerdict(*row) for row in rows]


def list_dead_letters(archive: sqlite3.Connection, before: int, limit: int) -> list[FoundDeadLetter]:
    """Give dead letters, newest first, those below the row `before` if it is not 0."""
    rows = archive.execute(
        "SELECT id, at_ms, code, reason, topic, topic_partition, topic_offset, record_key, body, body_bytes"
        " FROM dead_letters WHERE ? = 0 OR id < ? ORDER BY id DESC LIMIT ?",
        (before, before, limit),
    )
    return [FoundDeadLetter(*row) for row in rows]
