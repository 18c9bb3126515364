"""Bindings: an event as expressions and user code see it, and keys that are computed from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from headrace.errors import BadRecord
from headrace.expressions import compile_expression
from headrace.records.rows import KnownEvent


def event_bindings(event: KnownEvent) -> dict[str, Any]:
    """Decode an event to what expressions and user code see."""
    seen: dict[str, Any] = msgspec.json.decode(event.json)
    seen["id"] = event.given_id or event.id
    seen["ts"] = event.ts_ms
    if seen.get("data") is None:
        seen["data"] = {}
    if seen.get("user") is None:
        seen["user"] = {}
    return seen


_PLAIN_PATH = re.compile(r"event\.((?:data|user)(?:\.[A-Za-z_][A-Za-z_0-9]*)+)")


@lru_cache(maxsize=4096)  # all functions are compiled anew whenever one of them changes
def _text_reader(expression: str) -> Callable[[bytes], str] | None:
    """Make what reads the text at a plain path below `data` or `user` out of an event's JSON, and nothing else of it.

    It takes a third of the time of decoding the whole event. It raises `msgspec.MsgspecError` where there is no text;
    None for any other expression.
    """
    path = _PLAIN_PATH.fullmatch(expression.strip())
    if path is None:
        return None
    kind: Any = str
    names = path[1].split(".")
    for name in reversed(names):
        kind = msgspec.defstruct("AtPath", [("found", kind)], rename={"found": name}, gc=False)
    decode = msgspec.json.Decoder(kind).decode

    def read(json: bytes) -> str:
        found: Any = decode(json)
        for _ in names:
            found = found.found
        return str(found)

    return read


class Key:
    """The key of a limit: CEL over `event`, compiled; "" is the one key that all events share."""

    __slots__ = ("_expression", "_text")

    def __init__(self, expression: str) -> None:
        self._text = _text_reader(expression)
        self._expression = compile_expression(expression, variables=("event",), option="key") if expression else None

    def of(self, event: KnownEvent, now_ms: int) -> bytes:
        """Compute it: the bytes of a text as they are (so a record key and an equal text are one), others as JSON.

        What cannot be computed is null, and a missing field is false: all such events share that key.
        """
        if self._expression is None:
            return b""
        key = self.unless_false(event, now_ms)
        return b"false" if key is None else key

    def unless_false(self, event: KnownEvent, now_ms: int) -> bytes | None:
        """Compute it; None where it is false, as a missing field is: the limit does not concern such an event."""
        if self._expression is None:
            return b""
        if self._text is not None:
            try:
                return self._text(event.json).encode()
            except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
                pass  # no text is there: what else it may be is looked at below
        try:
            value = self._expression.evaluate({"event": event_bindings(event)}, now_ms)
            if value is False:
                return None
            return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        except (BadRecord, msgspec.MsgspecError, RecursionError, TypeError, ValueError):
            return b"null"
