"""Keys: where a stage decides about a start, and under which name its rows stand there."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from headrace.errors import BadDeclaration
from headrace.functions.bindings import Key
from headrace.records.rows import KnownEvent, Start

_DIGEST_BYTES = 16


def bucket_prefix(function_id: str, number: int) -> bytes:
    """Return what the buckets of one stage of a function begin with."""
    return function_id.encode() + b"\0" + bytes([number])


@lru_cache(maxsize=65_536)
def bucket_of(prefix: bytes, key: bytes) -> bytes:
    """Name the rows of one key of a stage.

    A digest of the key, so that all buckets of a stage have one length and a key of any size makes a short one.
    """
    return prefix + blake2b(key, digest_size=_DIGEST_BYTES).digest()


def function_of(bucket: bytes) -> str:
    """Read the function's id out of a bucket."""
    return bucket[: bucket.index(b"\0")].decode()


def read_key(expression: str) -> Key | None:
    """Compile a key; None for one that cannot be.

    Keys are checked where they are declared. One that got here all the same (from a newer version, say) must not stop
    the partition: its events share one key.
    """
    try:
        return Key(expression)
    except BadDeclaration:
        return None


class StageKey:
    """The key of one stage of a function."""

    __slots__ = ("_event", "_expression", "_home", "_key", "_prefix", "_value")

    def __init__(self, function_id: str, number: int, expression: str) -> None:
        self._home = function_id.encode()
        self._prefix = bucket_prefix(function_id, number)
        self._expression = expression
        self._key = read_key(expression)
        self._event: KnownEvent | None = None
        self._value: bytes | None = b""

    @property
    def is_shared(self) -> bool:
        """Whether all events have one key."""
        return not self._expression

    def of(self, start: Start) -> bytes | None:
        """Compute the key of a start: its first event's, b"" without an expression, None where it is false.

        Times in an expression are those at which the start was accepted, so that it has the same key on every
        partition that it comes to.
        """
        return self.of_event(start.events[0], start.accepted_ms)

    def of_event(self, event: KnownEvent, accepted_ms: int) -> bytes | None:
        """Compute the key of an event, as `of` does for what has become of it."""
        if event is not self._event:  # a start is asked for twice: where does it belong, and what is its bucket
            key = self._key
            self._value = b"null" if key is None else key.unless_false(event, accepted_ms)
            self._event = event
        return self._value

    def place(self, start: Start) -> bytes | None:
        """Say on which partition the stage decides: where the key's work lives, or the function's; None if no limit."""
        if not self._expression:
            return self._home
        return self.of(start)

    def bucket(self, start: Start) -> bytes | None:
        """Name the rows that decide about the start; None where the key is false: it is not limited."""
        key = self.of(start)
        return None if key is None else bucket_of(self._prefix, key)

    def shared_place(self, start: Start) -> bytes:
        """Say where a stage decides that concerns every start: those whose key is false share it."""
        key = self.place(start)
        return b"false" if key is None else key

    def shared_bucket(self, start: Start) -> bytes:
        """Name the rows of a stage that concerns every start."""
        key = self.of(start)
        return bucket_of(self._prefix, b"false" if key is None else key)

    def shared_place_of(self, event: KnownEvent, accepted_ms: int) -> bytes:
        """Say the same of an event that has no start yet."""
        if not self._expression:
            return self._home
        key = self.of_event(event, accepted_ms)
        return b"false" if key is None else key

    def shared_bucket_of(self, event: KnownEvent, accepted_ms: int) -> bytes:
        """Name the rows for an event that has no start yet."""
        key = self.of_event(event, accepted_ms)
        return bucket_of(self._prefix, b"false" if key is None else key)

    def shown(self, start: Start) -> str:
        """Write the key for people: " for key 'x'", or nothing without one."""
        if not self._expression:
            return ""
        text = (self.of(start) or b"false").decode("utf-8", "backslashreplace")
        return f" for the key {text[:100]!r}"
