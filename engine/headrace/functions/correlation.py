"""Correlation: by which value the events that a run waits for are found.

From a wait's condition an equality between what started the run and the event that comes is taken. Both sides are
brought to a *digest* of event name, path and value, so that a waiter and its event meet at one partition by one
look-up. A condition without such an equality has one digest for its event name: each event of the name is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from headrace.expressions import Expression, compile_expression, match_expression
from headrace.records.waits import DIGEST_BYTES, SHAPE_KEY_BYTES

_SIGNAL = "\0signal"  # no event has such a name
_JSON = msgspec.json.Encoder(order="sorted")


class Criteria(NamedTuple):
    """A condition taken apart. `path` is "" where there is no equality, `expression` where equal values are enough."""

    path: str  # of the arriving event: "async.data.orderId"
    stored: Expression | None  # reads the path of the stored one: "event.data.orderId"
    expression: str


@lru_cache(maxsize=4096)  # functions have few, and their runs ask for the same ones again and again
def criteria_of(match: str, expression: str) -> Criteria:
    """Take the condition of a wait or a cancellation apart; `BadDeclaration` for one that does not compile."""
    if match:
        found = compile_expression(match_expression(match), option="match").equality()
        assert found is not None, match
        return Criteria(found[1], compile_expression(found[0]), "")
    if not expression:
        return Criteria("", None, "")
    found = compile_expression(expression, option="if_").equality()
    if found is None:
        return Criteria("", None, expression)
    return Criteria(found[1], compile_expression(found[0]), expression)


def shape_key(event: str, path: str) -> bytes:
    """Name a shape."""
    return blake2b(event.encode() + b"\0" + path.encode(), digest_size=SHAPE_KEY_BYTES).digest()


def path_reader(path: str) -> Expression | None:
    """Compile the path of a shape; None for a shape without one."""
    return compile_expression(path) if path else None


def digest_at(event: str, path: str, reader: Expression, bindings: Mapping[str, Any]) -> bytes | None:
    """Give the digest for the value that `reader` finds; None where there is none: it never matches."""
    there, value = reader.find(bindings)
    return digest_of(event, path, _value_bytes(value)) if there else None


def digest_of(event: str, path: str, value: bytes) -> bytes:
    """Hash a name, a path and a value."""
    return blake2b(b"%s\0%s\0%s" % (event.encode(), path.encode(), value), digest_size=DIGEST_BYTES).digest()


def no_digest(event: str, path: str, run_id: str) -> bytes:
    """Give the digest of a waiter that no event can match; it is there for its time-out."""
    return digest_of(event, path, b"\xff" + run_id.encode())  # no JSON begins so


def signal_digest(signal: str) -> bytes:
    """Give the digest of a signal's name."""
    return digest_of(_SIGNAL, "", signal.encode())


def partition_of_digest(digest: bytes, partitions: int) -> int:
    """Tell where what has this digest (or shape key) is decided."""
    return int.from_bytes(digest[:8], "big") % partitions


def _value_bytes(value: object) -> bytes:
    # Equal values have equal bytes: 1 and 1.0 are equal (JSON does not tell them apart), objects have no order.
    return _JSON.encode(_even(value))


def _even(value: object) -> object:
    if type(value) is float and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _even(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_even(member) for member in value]
    return value
