"""msgpack behind one format-version byte: how the engine writes what only the engine reads."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from headrace.errors import StateCorrupted

FORMAT_VERSION = 1
_PREFIX = bytes([FORMAT_VERSION])

T = TypeVar("T")


class Packed(Generic[T]):
    """A codec for one type (or a union of tagged structs); `what` names it in messages."""

    def __init__(self, what: str, kind: object) -> None:
        self._what = what
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def encode(self, value: T) -> bytes:
        """Write a value."""
        return _PREFIX + self._encoder.encode(value)

    def decode(self, packed: bytes) -> T:
        """Read a value; `StateCorrupted` for bytes of another version or of no sense."""
        if not packed or packed[0] != FORMAT_VERSION:
            raise newer_format(self._what, packed)
        try:
            return self._decoder.decode(memoryview(packed)[1:])
        except msgspec.MsgspecError as error:
            raise StateCorrupted(
                "record_unreadable",
                f"a {self._what} of {len(packed)} bytes cannot be read: {error}",
                why="the bytes are not what this version writes",
                do="check that nothing but Headrace writes to its internal topics",
            ) from error


def newer_format(what: str, packed: bytes) -> StateCorrupted:
    """Say that a record has a format version that this build does not know."""
    found = packed[0] if packed else "none"
    return StateCorrupted(
        "format_unknown",
        f"a {what} has format version {found}; this build knows {FORMAT_VERSION}",
        why="a newer version of Headrace has written it, or it is not Headrace's",
        do="upgrade this node, or start it with another prefix",
    )
