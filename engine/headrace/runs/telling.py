"""Telling: what lifecycle records say of errors, and of events that stand on no topic."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.records.events import RESERVED_PREFIX
from headrace.records.rows import Failure, KnownEvent

DEFERRED = f"{RESERVED_PREFIX}deferred.schedule"
LIFECYCLE_NAMES = frozenset(f"{RESERVED_PREFIX}function.{end}" for end in ("failed", "finished", "cancelled"))
EVENTS_BYTES_MAX = 512 << 10  # of a run's events in its first record; beyond that they are not told


def failure_fields(failure: Failure) -> dict[str, Any]:
    """Give the fields of a lifecycle record that tell an error."""
    told = {"error_name": failure.name, "error_message": failure.message, "error_stack": failure.stack}
    if failure.more:
        told["more"] = (b'{"error":%s}' % failure.more).decode("utf-8", "replace")
    return told


def with_events(more: dict[str, Any], events: list[KnownEvent]) -> None:
    """Name the events of a run in its first record; those that the engine made for it alone are told in full."""
    more["event_ids"] = [event.id for event in events]
    name = events[0].name
    if not name.startswith(RESERVED_PREFIX) or name in LIFECYCLE_NAMES or name == DEFERRED:
        return
    if sum(len(event.json) for event in events) > EVENTS_BYTES_MAX:
        return
    told = [
        {"internal_id": event.id, "ts": event.ts_ms, "at": event.at_ms, "event": msgspec.Raw(event.json)}
        for event in events
    ]
    said = {"events": told, **msgspec.json.decode(more.get("more") or b"{}", type=dict[str, msgspec.Raw])}
    more["more"] = msgspec.json.encode(said).decode("utf-8", "replace")
