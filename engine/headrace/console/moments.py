"""Times as the API writes and reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headrace.errors import BadDeclaration, BadRequest
from headrace.expressions.durations import parse_duration_ms
from headrace.expressions.timestamps import parse_iso_ns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MAX = 253_402_300_799_999  # the last millisecond of the year 9999
_UNITS = re.compile(r"[a-zµμ]")


def iso(time_ms: int) -> str | None:
    """Write a time as ISO 8601 in UTC with milliseconds; None for 0, which stands for "not yet"."""
    if time_ms <= 0:
        return None
    return (_EPOCH + timedelta(milliseconds=min(time_ms, _MS_MAX))).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def parse_since(text: str, now_ms: int, *, name: str = "since") -> int:
    """Read a moment of the past: ISO 8601, milliseconds since 1970, or how long ago ("15m", "2h", "7d").

    Raises BadRequest for anything else.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,15}", text):
        return int(text)
    moment = parse_iso_ns(text)
    if moment is not None:
        return moment[0] // 1_000_000
    try:
        if _UNITS.search(text):
            return max(0, now_ms - parse_duration_ms(text, option=name))
    except BadDeclaration:
        pass
    raise BadRequest(
        "parameter_invalid",
        f"{name} is {text[:60]!r}",
        why=f"{name} is a moment",
        do=f"write {name}=2026-01-31T12:00:00Z, {name}=1769860800000 (milliseconds), or {name}=15m for how long ago",
    )
