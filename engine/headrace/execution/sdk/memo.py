"""Memos: what is recorded of a run's steps, as SDKs are told. Source: the SDK protocol page, sections 3.3, 3.5, 4.

An SDK takes a memo for what it is only if it has exactly the keys of its kind, so nothing is ever added to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.execution.sdk.names import hash_of
from headrace.records.invoked import deferred_hash
from headrace.records.rows import Failure, KnownEvent, Step, StepOp, StepState
from headrace.records.values import unpack_value

_ENCODE = msgspec.json.Encoder().encode
_DECODE_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_EVENT_FIELDS = ("name", "data", "user", "id", "ts", "v", "meta")
_NULL = b"null"
AS_SENT = b"s"  # marks a result, JSON, that is the memo itself: that of the op "Step"


def raw_json(packed: bytes | None) -> bytes:
    """Write a recorded value as JSON; what came from an SDK is given back as it came."""
    if packed is None:
        return _NULL
    if packed[:1] in (b"j", AS_SENT):
        return packed[1:]
    return _ENCODE(unpack_value(packed))


def memo(row: Step) -> bytes:
    """Write the memo of a step that is done or has failed."""
    if row.failure is not None:
        return b'{"error":%s}' % _ENCODE(error_fields(row.failure))
    if row.op == StepOp.SLEEP:
        return _NULL
    if row.op == StepOp.WAIT:
        found = unpack_value(row.output) if row.output else None
        return _NULL if found is None else _ENCODE(_waited(found["event"]))
    if row.op == StepOp.SIGNAL and unpack_value(row.output or b"m\xc0") is None:
        return _NULL
    if row.output is not None and row.output[:1] == AS_SENT:
        return row.output[1:]
    return b'{"data":%s}' % raw_json(row.output)


def _waited(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in _EVENT_FIELDS if name in event}


def error_fields(failure: Failure) -> dict[str, Any]:
    """Give an error as SDKs rebuild it: `name` and `message` are always there."""
    name, message = failure.name or "Error", failure.message
    if name == "InvokeTimeout":
        name, message = "InngestInvokeTimeoutError", "Timed out waiting for invoked function to complete"
    elif name == "FunctionNotFound":
        function_id = msgspec.json.decode(_DECODE_OBJECT(failure.more)["function_id"])
        return {"name": "Error", "message": f"could not find function with ID: {function_id}"}
    fields: dict[str, Any] = {"name": name, "message": message}
    if failure.stack:
        fields["stack"] = failure.stack
    if failure.more:
        known = _DECODE_OBJECT(failure.more)
        fields.update({k: v for k, v in known.items() if k not in fields and bytes(v) != _NULL})
    return fields


def has_ended(row: Step) -> bool:
    """Tell whether it is a step that has its result."""
    return row.state != StepState.PENDING and row.op != StepOp.DEFER


def ended_in_order(steps: Mapping[bytes, Step]) -> list[tuple[bytes, Step]]:
    """List the steps that have ended, in the order in which they did."""
    ended = [(name, row) for name, row in steps.items() if has_ended(row)]
    ended.sort(key=lambda entry: entry[1].order)
    return ended


def stack_of(ended: list[tuple[bytes, Step]]) -> list[str]:
    """List the hashes of steps."""
    return [hash_of(name) for name, _ in ended]


def memos(ended: list[tuple[bytes, Step]]) -> bytes:
    """Write the map from hashes to memos, in the given order: an SDK may go by it."""
    return b"{%s}" % b",".join(b'"%s":%s' % (hash_of(name).encode(), memo(row)) for name, row in ended)


def defers(steps: Mapping[bytes, Step]) -> bytes:
    """Write what is to be run after the run, by hash: an SDK does not say again what is known."""
    found = {
        deferred_hash(name): {"abortable": row.state != StepState.FAILED}
        for name, row in steps.items()
        if row.op == StepOp.DEFER
    }
    return _ENCODE(found)


def event_json(event: KnownEvent) -> bytes:
    """Write an event as functions of SDKs get it: `user` is an object, `ts` a whole number, `id` as users know it."""
    fields = _DECODE_OBJECT(event.json)
    shown: dict[str, Any] = {
        "name": event.name,
        "data": _object(fields.get("data")),
        "user": _object(fields.get("user")),
        "id": event.given_id or event.id,
        "ts": event.ts_ms,
    }
    for name in ("v", "meta"):
        if name in fields:
            shown[name] = fields[name]
    return _ENCODE(shown)


def _object(value: msgspec.Raw | None) -> Any:
    return {} if value is None or bytes(value) == _NULL else value
