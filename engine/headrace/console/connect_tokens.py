"""Tokens that let a worker connect: given when it asks where to, shown when it introduces itself.

A token is of one connection, and holds for some minutes: `<ends, ms>.<HMAC-SHA256 of that and the connection's id>`.
The key is the signing key, so every node of a cluster knows the tokens of the others.
"""

from __future__ import annotations

import hmac

from headrace.adapters.seams import Clock
from headrace.execution.connect.messages import WorkerConnect
from headrace.intake.access import KeyRing

_LASTS_MS = 300_000


class ConnectTokens:
    """Gives tokens and tells whether one is good. `keys` must not be empty; the first one is signed with."""

    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def issue(self, connection_id: str) -> str:
        """Make the token of a connection."""
        ends_ms = self._clock.wall_ms() + _LASTS_MS
        return f"{ends_ms}.{self._keys.sign(_signed(connection_id, str(ends_ms)))[0]}"

    def admit(self, hello: WorkerConnect) -> bool:
        """Tell whether a worker that introduces itself has asked for its connection, and not long ago."""
        ends, _, signature = hello.auth_data.session_token.partition(".")
        if not (ends.isascii() and ends.isdigit() and len(ends) <= 16 and signature.isascii()):
            return False
        good = False
        for expected in self._keys.sign(_signed(hello.connection_id, ends)):
            good |= hmac.compare_digest(expected, signature)
        return good and self._clock.wall_ms() < int(ends)


def _signed(connection_id: str, ends: str) -> str:
    return f"connect\0{connection_id}\0{ends}"
