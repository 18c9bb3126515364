"""Events that stand on no topic, as the first record of their run tells them: of an invocation, of a cron line."""

from __future__ import annotations

import msgspec

from headrace.errors import BadRecord
from headrace.records.events import read_event
from headrace.records.rows import KnownEvent


class _Told(msgspec.Struct):
    internal_id: str
    ts: int
    at: int
    event: msgspec.Raw


class _More(msgspec.Struct):
    events: list[_Told] = []


_MORE = msgspec.json.Decoder(_More)


def told_events(more: str) -> list[KnownEvent]:
    """Read the events that a record tells in full; what cannot be read is left out."""
    try:
        told = _MORE.decode(more).events
        return [
            KnownEvent(
                one.internal_id, read_event(bytes(one.event), internal=True).name, bytes(one.event), one.ts, one.at
            )
            for one in told
        ]
    except (msgspec.MsgspecError, BadRecord, RecursionError):
        return []
