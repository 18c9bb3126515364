"""The shapes of the API's answers: envelope, errors, values. Source: the SDK protocol page, section 6.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from headrace.console.lag_queries import Lag
from headrace.console.moments import iso
from headrace.errors import BadRequest, HeadraceError

_encoder = msgspec.json.Encoder()


def json_answer(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(_encoder.encode(content), status, headers, media_type="application/json")


def enveloped(data: Any, now_ms: int, *, lag: Lag | None = None, **more: Any) -> Response:
    """Answer 200 with data in the envelope; `more` are fields beside it, such as the cursor."""
    metadata: dict[str, Any] = {"fetched_at": iso(now_ms)}
    if lag is not None:
        metadata["projection"] = lag_fields(lag)
    return json_answer(200, {"data": data, **more, "metadata": metadata})


def lag_fields(lag: Lag) -> dict[str, Any]:
    """Say how far behind an answer may be, and whether it can be complete."""
    fields: dict[str, Any] = {
        "running": lag.running,
        "records_behind": lag.records_behind,
        "seconds_behind": round(lag.seconds_behind, 3),
    }
    if lag.missed:
        fields["records_missed"] = lag.missed
    if lag.unreadable:
        fields["records_unreadable"] = lag.unreadable
    if lag.events_seen:
        fields["events_sampled"] = {"seen": lag.events_seen, "kept": lag.events_kept, "within": "1h"}
    return fields


def refusal(error: HeadraceError) -> Response:
    """Answer with an error: what a request got wrong with its own status, anything else with 503."""
    status = error.status if isinstance(error, BadRequest) else 503
    fields = {
        "error": error.what,
        "status": status,
        "code": error.code,
        "explanation": error.why,
        "action": error.do,
    }
    return json_answer(status, fields, {"retry-after": "1"} if status == 503 else None)


def not_found(what: str, why: str = "") -> BadRequest:
    """Make the error for something that is not there."""
    return BadRequest("not_found", what, status=404, why=why, do="check the id; lists show what is there")


def json_value(text: str | bytes) -> Any:
    """Decode JSON from a record; what cannot be decoded is given as text, so that an answer is always valid JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text if isinstance(text, str) else text.decode("utf-8", "replace")
