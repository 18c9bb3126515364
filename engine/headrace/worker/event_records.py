"""A record of the events topic as an event: checked, with its identity."""

from __future__ import annotations

from headrace.adapters.seams import Record
from headrace.records.events import HEADER_ID, EventFields
from headrace.records.ids import is_ulid, ulid_tail, ulid_time
from headrace.records.rows import KnownEvent


def header_of(record: Record, wanted: str) -> bytes | None:
    """Read a header of the engine's own."""
    found = None
    for name, value in record.headers or ():
        if name == wanted:
            found = value
    return found


def known_event(record: Record, fields: EventFields, cause: int) -> KnownEvent:
    """Make the event of a record; `cause` is the record's place as 80 bits, for an id that it does not bring along."""
    given = header_of(record, HEADER_ID) if record.headers else None
    event_id = "" if given is None else given.decode("ascii", "replace")
    at_ms = record.timestamp_ms
    if not is_ulid(event_id):
        event_id = ulid_time(at_ms) + ulid_tail(cause)
    return KnownEvent(
        event_id, fields.name, record.value or b"", int(fields.ts or at_ms), at_ms, fields.id or "", record.key
    )
