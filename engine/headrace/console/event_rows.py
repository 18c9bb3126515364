"""Rows of events and of dead letters, made from their records."""

from __future__ import annotations

from typing import Any

from headrace.adapters.seams import Record
from headrace.records.dead import HEADER_CODE, HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_TOPIC
from headrace.records.events import HEADER_ID, HEADER_SOURCE, read_event
from headrace.records.ids import entropy, is_ulid, position_entropy, ulid_tail, ulid_time

DEAD_BODY_BYTES_MAX = 65_536  # of a dead letter's value; the whole of it stays on its topic


class EventIds:
    """The internal ids of events, as the engine gives them: from the header, else from the record's position."""

    def __init__(self, topic_id: str) -> None:
        self._topic_id = topic_id
        self._seeds: dict[int, int] = {}

    def id_of(self, record: Record, given: bytes | None) -> str:
        """Tell the internal id of an event's record; `given` is the value of its id header."""
        if given is not None and len(given) == 26:
            text = given.decode("ascii", "replace")
            if is_ulid(text):
                return text
        seed = self._seeds.get(record.partition)
        if seed is None:
            seed = self._seeds[record.partition] = entropy(f"{self._topic_id}\0{record.partition}".encode())
        return ulid_time(record.timestamp_ms) + ulid_tail(position_entropy(seed, record.offset))


def event_row(record: Record, ids: EventIds) -> tuple[Any, ...]:
    """Make the row of an event; `BadRecord` for one that the engine refuses."""
    given_header_id = None
    internal = False
    for name, value in record.headers or ():
        if name == HEADER_ID:
            given_header_id = value
        elif name == HEADER_SOURCE:
            internal = True
    fields = read_event(record.value, internal=internal)
    return (
        ids.id_of(record, given_header_id),
        fields.name,
        fields.id or None,
        int(fields.ts or record.timestamp_ms),
        record.timestamp_ms,
        record.key,
        record.partition,
        record.offset,
        record.value,
    )


def dead_letter_row(record: Record) -> tuple[Any, ...]:
    """Make the row of a dead letter; headers that are missing or not as they should be show as empty."""
    headers = {name: value or b"" for name, value in record.headers or ()}
    body = record.value or b""
    return (
        record.timestamp_ms,
        _text(headers.get(HEADER_CODE)),
        _text(headers.get(HEADER_REASON)),
        _text(headers.get(HEADER_TOPIC)),
        _number(headers.get(HEADER_PARTITION)),
        _number(headers.get(HEADER_OFFSET)),
        record.key,
        body[:DEAD_BODY_BYTES_MAX],
        len(body),
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _number(raw: bytes | None) -> int:
    # Nineteen digits and more do not fit into SQLite's integers; nothing of ours is that long.
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < 19 else -1
