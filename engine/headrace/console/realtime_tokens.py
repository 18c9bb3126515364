"""Who may publish messages and who may hear them: short-lived tokens for browsers. SDK protocol page, section 4.5."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headrace.adapters.seams import Clock
from headrace.console.realtime_messages import ENVIRONMENT, Topic
from headrace.console.web_tokens import TokenKeys
from headrace.records.ids import derive_ulid

ISSUER = "rt.inngest.com"
ACCOUNT = "00000000-0000-4000-a000-000000000000"  # the only one
EXPIRY_S = 60  # within which a subscriber has to come; it may stay longer


class Grant(NamedTuple):
    """What a token allows."""

    topics: tuple[Topic, ...]
    publish: bool


class RealtimeTokens:
    """Makes the tokens of subscribers, and reads those and the ones of publishers, which whoever has the keys makes."""

    def __init__(self, keys: TokenKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def for_subscriber(self, topics: Iterable[Topic], expiry_s: int = EXPIRY_S) -> str:
        """Make the token of somebody who may hear these topics."""
        now_ms = self._clock.wall_ms()
        claims = {
            "iss": ISSUER,
            "sub": ACCOUNT,
            "iat": now_ms // 1000,
            "exp": now_ms // 1000 + expiry_s,
            "jti": derive_ulid(now_ms, uuid.uuid4().bytes),
            "env": ENVIRONMENT,
            "topics": [
                {"kind": topic.kind, "env_id": ENVIRONMENT, "channel": topic.channel, "name": topic.name}
                for topic in topics
            ],
            "publish": False,
        }
        return self._keys.sign(claims)

    def read(self, token: str) -> Grant | None:
        """Tell what a token allows; None for one that is not valid now."""
        if not token:
            return None
        claims = self._keys.read(token, ISSUER, self._clock.wall_ms())
        if claims is None:
            return None
        topics = read_topics(claims.get("topics") or [])
        return None if topics is None else Grant(tuple(topics), claims.get("publish") is True)


def read_topics(told: Any) -> list[Topic] | None:
    """Read a list of topics as the protocol has it, `[{"channel", "name", "kind"}]`; None for anything else."""
    if not isinstance(told, Sequence) or isinstance(told, str | bytes):
        return None
    topics: list[Topic] = []
    for one in told:
        if not isinstance(one, dict):
            return None
        kind, channel, name = one.get("kind") or "run", one.get("channel") or "", one.get("name") or ""
        if not (isinstance(kind, str) and isinstance(channel, str) and isinstance(name, str)):
            return None
        topics.append(Topic(channel, name, kind))
    return topics
