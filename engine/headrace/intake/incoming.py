"""From a request's body to checked events: what will be the values and keys of their records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from headrace.errors import BadRecord, BadRequest
from headrace.intake.event_ids import Seed, seeded_id
from headrace.records.event_sessions import with_sessions
from headrace.records.events import EVENT_BYTES_MAX, EventFields, read_event

EVENTS_MAX = 5_000  # of one request
_WHITE = b" \t\r\n"
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.encode
# Called with an event's name and data; raises BadRequest for data that no app wants.
Check = Callable[[str, Any], None]


class Incoming(NamedTuple):
    """One event as it goes on Kafka: its internal id, the record's value and the record's key."""

    id: str
    value: bytes
    key: bytes | None


def split_body(body: bytes) -> list[bytes]:
    """Take a body apart into the JSON of each event; an empty body holds none. Raises BadRequest."""
    body = body.strip(_WHITE)
    if not body:
        return []
    if body[:1] != b"[":
        return [body]
    try:
        events = _LIST.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(
            "body_not_json",
            f"the body is not JSON: {error}",
            why="events are sent as one JSON object, or as an array of them",
            do="look at the first bytes of the body: " + repr(body[:60]),
        ) from None
    if len(events) > EVENTS_MAX:
        raise BadRequest(
            "too_many_events",
            f"the request has {len(events)} events; {EVENTS_MAX} are allowed",
            why="they go on Kafka together or not at all",
            do="send them in several requests",
        )
    return [bytes(event) for event in events]


def read_events(
    events: list[bytes], seed: Seed, *, repeatable: bool, key: bytes | None, check: Check | None = None
) -> list[Incoming]:
    """Check all events of a request and give them their ids and keys; raises BadEvent at the first bad one.

    `repeatable` says that the seed came from the sender, who may send the request again: an event without an id of its
    own then takes its internal one for it, so that the repeat is known as one. `key` is what the request asked for.
    """
    read: list[Incoming] = []
    for number, event in enumerate(events, 1):
        try:
            read.append(_read(event, number, seed, repeatable, key, check))
        except BadRequest as error:
            raise BadEvent(error, read) from None
    return read


class BadEvent(Exception):
    """An event of a request breaks the rules; `before` are those that stood before it, all good."""

    def __init__(self, error: BadRequest, before: list[Incoming]) -> None:
        super().__init__(error.what)
        self.error = error
        self.before = before


def _read(event: bytes, number: int, seed: Seed, repeatable: bool, key: bytes | None, check: Check | None) -> Incoming:
    try:
        fields = read_event(event)
        data = msgspec.json.decode(fields.data)  # a number beyond every float is JSON by its form, and no value
        if check is not None:
            check(fields.name, data)
        event_id = seeded_id(seed, number)
        given_id = fields.id
        if not given_id and repeatable:
            given_id = event_id
            event = _with_id(event, event_id)
        if _may_hold_routing(fields):
            event = _without_routing(event)
        event = with_sessions(event)
        if len(event) > EVENT_BYTES_MAX:
            read_event(event)  # which says so
    except (BadRecord, BadRequest) as error:
        raise BadRequest(error.code, f"event {number}: {error.what}", why=error.why, do=error.do) from None
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise BadRequest(
            "event_not_json",
            f"event {number}: its data cannot be read: {problem}",
            why="data is a JSON object",
            do="look for broken escapes in its strings, numbers beyond 1e308, and too many levels",
        ) from None
    if key is None and given_id:
        key = given_id.encode()
    return Incoming(event_id, event, key)


def _with_id(event: bytes, event_id: str) -> bytes:
    if b'"id"' in event or b"\\u" in event:  # it may have one that is empty or null
        fields = _OBJECT.decode(event)
        fields["id"] = msgspec.Raw(_encode(event_id))
        return _encode(fields)
    return b'{"id":' + _encode(event_id) + b"," + event.lstrip(_WHITE)[1:]


def _may_hold_routing(fields: EventFields) -> bool:
    raw = bytes(fields.data)
    return b"_inngest" in raw or b"\\u" in raw


def _without_routing(event: bytes) -> bytes:
    """Drop the key `_inngest` of the data: it is the engine's own, and strangers must not set it."""
    fields = _OBJECT.decode(event)
    data = fields.get("data")
    if data is None or bytes(data).strip(_WHITE) == b"null":
        return event
    kept = _OBJECT.decode(data)
    if kept.pop("_inngest", None) is None:
        return event
    fields["data"] = msgspec.Raw(_encode(kept))
    return _encode(fields)
