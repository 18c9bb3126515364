"""Events as strangers write them: JSON {"name", "data", "id"?, "ts"?, "user"?, "v"?} in the value of a record.

The rules are those of the Inngest protocol's event object; what breaks them is a `BadRecord` that says how.
"""

from __future__ import annotations

import msgspec

from headrace.errors import BadRecord

NAME_LENGTH_MAX = 512
ID_LENGTH_MAX = 1024
KEY_BYTES_MAX = 64 * 1024
EVENT_BYTES_MAX = 3 * 1024 * 1024
INTERNAL_EVENT_BYTES_MAX = 6 * 1024 * 1024  # lifecycle events carry the run's event and its result
TS_MS_MIN = 315_532_800_000  # 1980-01-01
TS_MS_MAX = 4_102_444_800_000  # 2100-01-01
RESERVED_PREFIX = "inngest/"
HEADER_ID = "headrace-id"  # the internal id, where intake or a step has given one already
HEADER_SOURCE = "headrace-source"  # "partition:seq:prev" of the partition whose step published it


class EventFields(msgspec.Struct):
    """The fields of an event, its data left as it stands."""

    name: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None
    ts: int | float | None = None
    user: msgspec.Raw = msgspec.Raw(b"{}")
    v: str | int | float | None = None


_OPENING = ord("{")
_DECODER = msgspec.json.Decoder(EventFields)


def _bad(code: str, what: str, why: str, do: str) -> BadRecord:
    return BadRecord(code, what, why=why, do=do)


def read_event(value: bytes | None, key: bytes | None = None, *, internal: bool = False) -> EventFields:
    """Check an event and take it apart; `internal` allows the reserved names that the engine itself publishes."""
    # What nearly every event is passes on the shortest way; whatever is unusual is looked at step by step.
    if value and len(value) <= EVENT_BYTES_MAX and (key is None or len(key) <= KEY_BYTES_MAX) and value.isascii():
        try:
            fields = _DECODER.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return _read_event(value, key, internal)
        name = fields.name
        if (
            0 < len(name) <= NAME_LENGTH_MAX
            and fields.ts is None
            and fields.id is None
            and name[0] not in "iI"
            and memoryview(fields.data)[0] == _OPENING
        ):
            return fields
        return _check_fields(fields, key, internal)
    return _read_event(value, key, internal)


def _read_event(value: bytes | None, key: bytes | None, internal: bool) -> EventFields:
    if not value:
        raise _bad("event_empty", "the record has no value", "an event is a JSON object", "send one")
    bytes_max = INTERNAL_EVENT_BYTES_MAX if internal else EVENT_BYTES_MAX
    if len(value) > bytes_max:
        raise _bad(
            "event_too_large",
            f"the event has {len(value)} bytes; {bytes_max} are allowed",
            "an event travels through several topics",
            "put large data elsewhere and send a reference to it",
        )
    try:
        if not value.isascii():
            value.decode()
        fields = _DECODER.decode(value)
    except UnicodeDecodeError as error:
        raise _bad(
            "event_not_utf8", f"the value is not UTF-8: {error}", "JSON is UTF-8", "send JSON in UTF-8"
        ) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _bad(
            "event_not_json",
            f"the value is not an event: {error}",
            'an event is a JSON object {"name": string, "data": object, …}',
            "look at the first bytes of the value: " + repr(value[:60]),
        ) from None
    return _check_fields(fields, key, internal)


def _check_fields(fields: EventFields, key: bytes | None, internal: bool) -> EventFields:
    if (fields.id is not None and len(fields.id) > ID_LENGTH_MAX) or (key is not None and len(key) > KEY_BYTES_MAX):
        raise _bad(
            "event_id_too_long",
            f"the event's id has {len(fields.id or '')} characters, its record key {len(key or b'')} bytes",
            f"an id has at most {ID_LENGTH_MAX} characters and a key at most {KEY_BYTES_MAX} bytes",
            "use a short id; a hash of a long one will do",
        )
    name = fields.name
    if not name or len(name) > NAME_LENGTH_MAX:
        raise _bad(
            "event_name_invalid",
            f"the event's name has {len(name)} characters",
            f"a name has 1 to {NAME_LENGTH_MAX} characters",
            "name the event, as in order/created",
        )
    if not internal and name[:8].lower() == RESERVED_PREFIX:
        raise _bad(
            "event_name_reserved",
            f"the event is named {name!r}",
            "names that start with inngest/ are the engine's own",
            "choose another name",
        )
    first = bytes(memoryview(fields.data)[:1])
    if first != b"{" and bytes(fields.data) != b"null":
        raise _bad(
            "event_data_invalid",
            f"the event's data starts with {first!r}",
            "data is a JSON object (or null)",
            'wrap it, as in {"value": …}',
        )
    if fields.ts is not None and fields.ts != 0 and not TS_MS_MIN <= fields.ts <= TS_MS_MAX:
        raise _bad(
            "event_ts_invalid",
            f"the event's ts is {fields.ts}",
            "ts is in milliseconds since 1970, between 1980 and 2100",
            "send milliseconds, or leave ts out",
        )
    return fields
