"""Signed tokens: JSON Web Tokens with HMAC-SHA256, the only kind that is made or taken here.

A token of another algorithm ("none" among them) is refused whatever it says, and so is one that has ended, or that does
not say when it ends. Source: RFC 7515, RFC 7519.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_HEADER = {"alg": "HS256", "typ": "JWT"}
_PART = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_CHARS_MAX = 64 << 10
_CLOCKS_APART_MS = 60_000  # a token of another node may be from the near future


class TokenKeys:
    """Signs tokens with the first of its secrets, and takes those that any of them has signed."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or not all(secrets):
            raise ValueError("a token needs a secret")
        self._secrets = tuple(secrets)

    @classmethod
    def derive(cls, keys: Sequence[str], purpose: str) -> TokenKeys:
        """Make the secrets of a purpose from other keys, so that a token tells nothing of those."""
        return cls([hmac.new(key.encode(), f"headrace {purpose}".encode(), hashlib.sha256).digest() for key in keys])

    def __repr__(self) -> str:
        return f"TokenKeys({len(self._secrets)})"

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make a token that carries claims."""
        signed = f"{_encode(msgspec.json.encode(_HEADER))}.{_encode(msgspec.json.encode(claims))}"
        return f"{signed}.{_encode(_signature(self._secrets[0], signed))}"

    def read(self, token: str, issuer: str, now_ms: int) -> dict[str, Any] | None:
        """Give the claims of a token of an issuer; None for one that is not valid now."""
        if len(token) > _TOKEN_CHARS_MAX:
            return None
        parts = token.split(".")
        if len(parts) != 3:
            return None
        header, claims, signature = (_decode(part) for part in parts)
        if header is None or claims is None or signature is None:
            return None
        good = False
        for secret in self._secrets:
            good |= hmac.compare_digest(_signature(secret, f"{parts[0]}.{parts[1]}"), signature)
        if not good:
            return None
        told, read = _object(header), _object(claims)
        if told is None or told.get("alg") != _HEADER["alg"] or read is None or read.get("iss") != issuer:
            return None
        ends_ms, made_ms = _ms(read.get("exp")), _ms(read.get("iat", 0))
        if ends_ms is None or made_ms is None:
            return None
        return read if made_ms <= now_ms + _CLOCKS_APART_MS and now_ms < ends_ms else None


def _signature(secret: bytes, signed: str) -> bytes:
    return hmac.new(secret, signed.encode(), hashlib.sha256).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(part: str) -> bytes | None:
    if _PART.fullmatch(part) is None:
        return None
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return None


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        read = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _ms(seconds: Any) -> float | None:
    """Read a moment, in seconds since 1970; None for anything else."""
    return seconds * 1000 if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None
