"""Sessions of people in browsers: an API key, given once, becomes a cookie that expires."""

from __future__ import annotations

import hmac

from starlette.responses import Response

from headrace.adapters.seams import Clock
from headrace.intake.access import KeyRing

SESSION_COOKIE = "headrace-session"
_HOURS = 12


class Sessions:
    """Gives and checks session cookies: the time at which one ends, signed with an API key.

    Nothing is stored: a cookie holds on every node, and no longer than its key does.
    """

    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def open(self, key: str, answer: Response, *, secure: bool, path: str = "/") -> bool:
        """Put a session into an answer if the key is right; tells whether it was."""
        if not self._keys.holds(key):
            return False
        ends_ms = self._clock.wall_ms() + _HOURS * 3_600_000
        (signature,) = KeyRing([key]).sign(_signed(ends_ms))
        answer.set_cookie(
            SESSION_COOKIE,
            f"{ends_ms}.{signature}",
            max_age=_HOURS * 3600,
            path=path,
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return True

    def holds(self, cookie: str) -> bool:
        """Tell whether a cookie is a session that has not ended."""
        ends, _, signature = cookie.partition(".")
        if not (ends.isascii() and ends.isdigit() and len(ends) <= 15) or not signature.isascii():
            return False
        good = False
        for expected in self._keys.sign(_signed(int(ends))):
            good |= hmac.compare_digest(expected, signature)
        return good and int(ends) > self._clock.wall_ms()


def _signed(ends_ms: int) -> str:
    return f"headrace session until {ends_ms}"
