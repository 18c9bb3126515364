"""Events as user code writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.errors import BadRecord, BadRequest
from headrace.functions.middleware import Middleware, overrides
from headrace.functions.mistakes import nearest
from headrace.functions.models import EventModels
from headrace.records.events import read_event
from headrace.records.rows import KnownEvent


class Event(msgspec.Struct):
    """An event: `name`, `data`, and what may come with them.

    `id` makes repeats harmless (one start per function and id within 24 h, among events with the same `key`), `ts` is
    in milliseconds since 1970 (in the future: functions start then), `key` is the record key on Kafka.
    """

    name: str
    data: Any = {}  # a dict, or what the app's model for the event makes of it
    id: str = ""
    ts: int = 0
    key: str | None = None
    user: dict[str, Any] = {}
    v: str | int | float | None = None
    invalid: str = ""  # of one that came: why its data does not fit its model, which accepts it all the same


FIELDS = ("name", "data", "id", "ts", "key", "user", "v")


class _Read(msgspec.Struct):
    data: dict[str, Any] | None = None
    user: Any = None
    v: str | int | float | None = None


_DECODER = msgspec.json.Decoder(_Read)


def event_of(known: KnownEvent) -> Event:
    """Give user code the event as it was sent, with its identity and its time; BadRecord for data without a value."""
    try:
        read = _DECODER.decode(known.json)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRecord(
            "event_data_unreadable",
            f"the data of the event {known.given_id or known.id} cannot be read: {error}",
            why="it is JSON by its form, and holds what has no value, such as a number beyond 1e308",
            do="mend what sends it; numbers of any size can be sent as text",
        ) from None
    key = None if known.key is None else known.key.decode("utf-8", "replace")
    user = read.user if type(read.user) is dict else {}
    data = {} if read.data is None else read.data
    return Event(known.name, data, known.given_id or known.id, known.ts_ms, key, user, read.v)


def event_json(event: Event | Mapping[str, Any], models: EventModels | None = None) -> tuple[bytes, bytes | None]:
    """Write an event as JSON, and give its record key (or None); `BadRequest` for what is no event.

    Takes an `Event` or a dict of the same shape. Data may hold dates, dataclasses and pydantic models. With `models`,
    data that does not fit its event's model is refused.
    """
    fields = _fields(event)
    if models:
        models.check(fields.get("name"), fields.get("data"))
    key = fields.pop("key", None)
    if key is not None and not isinstance(key, str):
        raise _bad("event_key_invalid", f"the event's key is {key!r}", "a record key is text", 'write key="…"')
    try:
        json = msgspec.json.encode(fields, enc_hook=plain_value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _bad(
            "event_unserialisable",
            f"the event {fields.get('name')!r} cannot be written as JSON: {error}",
            "an event is JSON on its topic",
            "put plain data, dates, dataclasses or pydantic models into data",
        ) from None
    try:
        read_event(json)
    except BadRecord as error:
        raise _bad(error.code, error.what, error.why, error.do) from None
    return json, None if key is None else key.encode()


def sent_events(
    events: Event | Mapping[str, Any] | Sequence[Event | Mapping[str, Any]], middleware: Sequence[Middleware]
) -> list[Event | Mapping[str, Any]]:
    """List what is to be sent, after the middleware has seen it; for that, dicts become `Event`s."""
    several = [events] if isinstance(events, Event | Mapping) else list(events)
    if not overrides(middleware, "before_send"):
        return several
    seen = [one if isinstance(one, Event) else Event(**_fields(one)) for one in several]
    for one in middleware:
        if one.before_send(seen) is not None:
            raise _bad(
                "before_send_gives_something",
                f"{type(one).__name__}.before_send gave something",
                "it changes the events that it is given in place, and is not async: a step cannot wait for it",
                "change events[n].data, or append to events",
            )
    return list(seen)


def _fields(event: Event | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(event, Event):
        fields: dict[str, Any] = {name: getattr(event, name) for name in FIELDS}
    elif isinstance(event, Mapping):
        for name in event:
            if name not in FIELDS:
                meant = nearest(str(name), FIELDS)
                raise _bad(
                    "event_field_unknown",
                    f"the event has a field {name!r}",
                    f"an event has: {', '.join(FIELDS)}",
                    f"did you mean {meant!r}?" if meant else "put it into data",
                )
        fields = dict(event)
    else:
        raise _bad(
            "event_not_an_event",
            f"an event is {event!r} ({type(event).__name__})",
            'an event is an Event or a dict {"name": …, "data": {…}}',
            'write Event("order/created", {"orderId": "7"})',
        )
    return {name: value for name, value in fields.items() if not _absent(name, value)}


def _absent(name: str, value: Any) -> bool:
    if value is None:
        return name != "name"
    return (name == "id" and value == "") or (name == "ts" and value == 0) or (name == "user" and value == {})


def plain_value(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # a pydantic model; the library need not be loaded to tell
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _bad(code: str, what: str, why: str, do: str) -> BadRequest:
    return BadRequest(code, what, why=why, do=do)
