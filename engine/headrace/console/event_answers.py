"""Events, verdicts and functions as the API shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.console.answers import json_value
from headrace.console.event_queries import FoundDeadLetter, FoundEvent, FoundVerdict
from headrace.console.function_queries import Counts, FoundFunction
from headrace.console.moments import iso
from headrace.console.run_answers import ACCOUNT_ID, ENVIRONMENT_ID
from headrace.console.why import Reason


def event_fields(event: FoundEvent) -> dict[str, Any]:
    """Show an event: what its sender wrote, and where it stands."""
    try:
        written = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        written = {}
    return {
        "internal_id": event.event_id,
        "id": event.given_id or event.event_id,
        "name": event.name,
        "data": _field(written, "data"),
        "user": _field(written, "user"),
        "v": _field(written, "v"),
        "ts": event.ts_ms,
        "received_at": iso(event.received_ms),
        "account_id": ACCOUNT_ID,
        "environment_id": ENVIRONMENT_ID,
        "source": "kafka",
        "source_id": None,
        "key": key_text(event.key),
        "partition": event.partition,
        "offset": event.offset,
    }


def _field(written: dict[str, msgspec.Raw], name: str) -> Any:
    raw = written.get(name)
    value = None if raw is None else json_value(bytes(raw))
    return {} if value is None and name in ("data", "user") else value


def key_text(key: bytes | None) -> str | None:
    """Show a record's key as text, its other bytes as escapes."""
    return None if key is None else key.decode("utf-8", "backslashreplace")


def verdict_fields(verdict: FoundVerdict) -> dict[str, Any]:
    """Show why an event did not start a function."""
    return {
        "event_id": verdict.event_id,
        "function_id": verdict.function_id,
        "at": iso(verdict.at_ms),
        "status": verdict.status,
        "code": verdict.code or None,
        "explanation": verdict.explanation or None,
        "action": verdict.action or None,
    }


def reason_fields(reason: Reason) -> dict[str, Any]:
    """Show what became of an event for one function."""
    return {
        "function_id": reason.function_id,
        "outcome": reason.outcome,
        "code": reason.code,
        "explanation": reason.explanation,
        "action": reason.action or None,
        "run_id": reason.run_id or None,
    }


def dead_letter_fields(letter: FoundDeadLetter) -> dict[str, Any]:
    """Show a record that nobody could use."""
    return {
        "at": iso(letter.at_ms),
        "code": letter.code,
        "reason": letter.reason,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": key_text(letter.key),
        "value": letter.body.decode("utf-8", "backslashreplace"),
        "value_bytes": letter.body_bytes,
    }


def function_fields(found: FoundFunction) -> dict[str, Any]:
    """Show a function and how it went in the last 24 hours."""
    definition = found.definition
    return {
        "id": found.function_id,
        "app": definition.app if definition else None,
        "name": definition.name if definition else found.function_id,
        "kind": definition.kind if definition else None,
        "declared": definition is not None,
        "triggers": [
            {"event": trigger.event, "expression": trigger.expression or None} for trigger in definition.triggers
        ]
        if definition
        else [],
        "retries": definition.retries if definition else None,
        "backoff": msgspec.to_builtins(msgspec.structs.asdict(definition.backoff)) if definition else None,
        "changed_at": iso(found.changed_ms),
        "last_24_hours": counts_fields(found.counts),
        "live": found.live,
    }


def counts_fields(counts: Counts) -> dict[str, Any]:
    """Show counts of runs."""
    return {**counts._asdict(), "failure_rate": counts.failure_rate}
