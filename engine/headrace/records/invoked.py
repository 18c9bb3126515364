"""The event of a run that was invoked: `inngest/function.invoked`, as the SDK protocol has it (sections 1.4, 4.3)."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

import msgspec

from headrace.errors import BadRequest
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.rows import KnownEvent, split_step_name

INVOKED = "inngest/function.invoked"


def is_hash_name(step: bytes) -> bool:
    """Tell whether a step is named by its hash alone: "#", and what an SDK knows it by."""
    return step[:1] == b"#" and b"\0" not in step


def deferred_name(hashed: str) -> bytes:
    """Name what is to be run after the run, so that it is no step's name: those are no two words after the "#"."""
    return b"#deferred " + hashed.encode("utf-8", "replace")


def deferred_hash(name: bytes) -> str:
    """Give the hash that an SDK knows it by."""
    return name[len(b"#deferred ") :].decode("utf-8", "replace")


def step_hash(step: bytes) -> str:
    """Write a step's name as the protocol does: SHA-1 of its id, and of "id:n" for its n-th repeat."""
    if is_hash_name(step):
        return step[1:].decode("utf-8", "replace")
    step_id, occurrence = split_step_name(step)
    text = f"{step_id}:{occurrence}" if occurrence else step_id
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


def correlation_id(run_id: str, step: bytes) -> str:
    """Name the step of a run that waits for another run."""
    return f"{run_id}.{step_hash(step)}"


def invoked_event(event_id: str, data: bytes, route: dict[str, Any], now_ms: int, meta: bytes = b"null") -> KnownEvent:
    """Make the event of an invoked run: the data given (a JSON object, or null), and where it comes from.

    Raises BadRequest for other data, and for data that is too large.
    """
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw] | None) or {}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(
            "invoke_data_invalid",
            f"the data for an invoked function cannot be read: {error}",
            why="it becomes the data of an event, which is a JSON object",
            do='wrap it, as in {"value": …}',
        ) from None
    event: dict[str, Any] = {"name": INVOKED, "data": {**fields, "_inngest": route}}
    if meta != b"null":
        event["meta"] = msgspec.Raw(meta)
    body = msgspec.json.encode(event)
    if len(body) > EVENT_BYTES_MAX:
        raise BadRequest(
            "invoke_data_too_large",
            f"the data for an invoked function makes an event of {len(body)} bytes; {EVENT_BYTES_MAX} are allowed",
            why="it travels through several topics",
            do="put large data elsewhere and hand over a reference to it",
        )
    return KnownEvent(event_id, INVOKED, body, now_ms, now_ms)
