"""The shapes of what the doors answer. Source: the SDK protocol page, sections 1 and 6.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from headrace.errors import BadRequest, HeadraceError


def json_answer(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def refusal(error: HeadraceError, **more: Any) -> Response:
    """Answer with an error: what a request got wrong with its own status, anything else with 503."""
    status = error.status if isinstance(error, BadRequest) else 503
    fields = {
        **more,
        "error": error.what,
        "status": status,
        "code": error.code,
        "explanation": error.why,
        "action": error.do,
    }
    return json_answer(status, fields, {"retry-after": "1"} if status == 503 else None)
