"""Signing: what proves to an app that a call is ours. Source: the SDK protocol page, section 5."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import msgspec
import rfc8785

SIGNATURE_HEADER = "x-inngest-signature"
_PREFIX = re.compile(r"^signkey-\w+-")


def canonical(body: bytes) -> bytes:
    """Write JSON in its canonical form (RFC 8785), in which alone signatures are the same on both sides."""
    return rfc8785.dumps(_within_floats(msgspec.json.decode(body)))


def sign(key: str, canonical_body: bytes, at_s: int) -> str:
    """Make the header's value for a body that is canonical already; an empty body is signed as nothing."""
    moment = str(at_s)
    digest = hmac.new(_PREFIX.sub("", key).encode(), canonical_body + moment.encode(), hashlib.sha256).hexdigest()
    return f"t={moment}&s={digest}"


def _within_floats(value: Any) -> Any:
    """Give whole numbers beyond 2^53 as what JavaScript reads in their place."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > (1 << 53) - 1:
        return float(value)
    if isinstance(value, list):
        return [_within_floats(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _within_floats(inner) for key, inner in value.items()}
    return value
