"""Names of traces and spans, as W3C trace contexts have them. A run is shown under them, and calls for it name them."""

from __future__ import annotations

from hashlib import sha1


def trace_id(run_id: str) -> str:
    """Name the trace of a run: 32 hexadecimal digits."""
    return sha1(run_id.encode(), usedforsecurity=False).hexdigest()[:32]


def span_of(run_id: str, *place: object) -> str:
    """Name a span of it, 16 hexadecimal digits: that of the whole run, or of what stands at a place in it."""
    return sha1(repr((run_id, *place)).encode(), usedforsecurity=False).hexdigest()[:16]


def traceparent(run_id: str) -> str:
    """Write the header that makes spans of a callee a part of the run's."""
    return f"00-{trace_id(run_id)}-{span_of(run_id)}-01"
