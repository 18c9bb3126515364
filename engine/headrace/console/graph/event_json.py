"""Events as the JSON that GraphQL's fields hold. Source: the SDK protocol page, section 6.3. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.console.event_queries import FoundEvent

_NULL = b"null"


def written(event: FoundEvent) -> dict[str, msgspec.Raw]:
    """Read the fields that the event's sender wrote."""
    try:
        return msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return {}


def payload(event: FoundEvent) -> str:
    """Give an event as a function gets it: an object with name, data, id, ts, and user and v if they say something."""
    fields = written(event)
    shown: dict[str, Any] = {
        "name": event.name,
        "data": _object(fields.get("data")),
        "id": event.given_id or event.event_id,
        "ts": event.ts_ms,
    }
    for name in ("user", "v"):
        if bytes(fields.get(name, b"")) not in (b"", _NULL, b"{}", b'""'):
            shown[name] = fields[name]
    return msgspec.json.encode(shown).decode("utf-8", "replace")


def data_json(event: FoundEvent) -> str:
    """Give an event's data."""
    return msgspec.json.encode(_object(written(event).get("data"))).decode("utf-8", "replace")


def raw(event: FoundEvent) -> str:
    """Give an event as its sender wrote it: data, id, name, ts and v, all of them there."""
    fields = written(event)
    shown = {
        "data": _object(fields.get("data")),
        "id": event.given_id or event.event_id,
        "name": event.name,
        "ts": event.ts_ms,
        "v": fields.get("v", msgspec.Raw(_NULL)),
    }
    return msgspec.json.encode(shown).decode("utf-8", "replace")


def version(event: FoundEvent) -> str | None:
    """Give the version that the event's sender named."""
    value = msgspec.json.decode(written(event).get("v", _NULL))
    return None if value is None else str(value)


def _object(value: msgspec.Raw | None) -> msgspec.Raw:
    return msgspec.Raw(b"{}") if value is None or bytes(value) == _NULL else value
