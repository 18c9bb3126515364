"""Gates: which slots a run needs before it executes, by the limits on concurrency of its function.

A gate is one limit for one value of its key. Limits of scope `app` or `account` that have the same key expression are
one limit for all functions that declare it, each with its own number. A gate gives out its slots on the partition of
its key's value; without a key on that of the function's, app's or account's name.

All runs ask their gates in one order: function scope (keyed first), then app, then account; within that by expression.
So no two runs wait for each other, and no wide slot is held by a run that queues at a narrow gate.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from headrace.functions.bindings import Key
from headrace.records.definitions import Definition
from headrace.records.ids import partition_of
from headrace.records.rows import Gate, KnownEvent

NO_LIMIT = 1 << 62
GATE_BYTES = 16
SHARE_BYTES = 8
NO_SHARE = bytes(SHARE_BYTES)
_BEGUN_BEFORE = 1 << 62
_ORDER_OFFSET = 1 << 61  # a priority may shift a time below zero
_SCOPES = ("function", "app", "account")


@lru_cache(maxsize=4096)
def limit_name(scope: str, key: str) -> str:
    """Name a limit among those of its function."""
    return f"{scope}:{key}"


@lru_cache(maxsize=4096)
def _key(expression: str) -> Key:
    return Key(expression)


class Limits:
    """The limits on concurrency of one function, compiled; their numbers are no part of it."""

    __slots__ = ("_function", "_in_order", "_place", "_place_expression", "names")

    def __init__(self, function_id: str, app: str, declared: tuple[tuple[str, str], ...]) -> None:
        self._function = function_id.encode()
        owners = (self._function, app.encode(), b"account")
        self._place_expression = next((expression for _, expression in declared if expression), "")
        self._place = _key(self._place_expression) if self._place_expression else None
        in_order = sorted(set(declared), key=lambda limit: (_SCOPES.index(limit[0]), not limit[1], limit[1]))
        self.names = [limit_name(*limit) for limit in in_order]
        self._in_order = []
        for number, (scope, expression) in enumerate(in_order):
            owner = owners[_SCOPES.index(scope)]
            seed = b"%s\0%s\0%s\0" % (scope.encode(), owner, expression.encode())
            # At its first gate all runs of a key are alike; further on they compete with those of other keys.
            shared = number > 0 or scope != "function"
            self._in_order.append((limit_name(scope, expression), expression, owner, seed, shared))

    def place(self, event: KnownEvent, now_ms: int) -> bytes | None:
        """Compute the key that was declared first: where the run lives. None when no limit has a key."""
        return None if self._place is None else self._place.of(event, now_ms)

    def gates(self, event: KnownEvent, place: bytes | None, now_ms: int, partitions: int, home: int = -1) -> list[Gate]:
        """List the gates of a run that this event starts, in the order in which it asks them.

        `home` is the partition of `place`, where that is known.
        """
        gates: list[Gate] = []
        for name, expression, owner, seed, shared in self._in_order:
            value = b""
            if not expression:
                at = partition_of(owner, partitions)
            elif place is not None and expression == self._place_expression:
                value = place
                at = partition_of(place, partitions) if home < 0 else home
            else:
                value = _key(expression).of(event, now_ms)
                at = partition_of(value, partitions)
            digest = blake2b(seed + value, digest_size=GATE_BYTES).digest()
            share = NO_SHARE
            if shared:
                share = blake2b(b"%s\0%s" % (self._function, place or b""), digest_size=SHARE_BYTES).digest()
            gates.append(Gate(digest, at, name, share))
        return gates


@lru_cache(maxsize=1024)
def _limits(function_id: str, app: str, declared: tuple[tuple[str, str], ...]) -> Limits:
    return Limits(function_id, app, declared)


def limits_of(definition: Definition) -> Limits:
    """Compile the limits of a function, once."""
    return _limits(definition.id, definition.app, tuple([(c.scope, c.key) for c in definition.concurrency]))


def queue_place(order_ms: int, arrival: int, *, begun: bool = False) -> bytes:
    """Make the 16 bytes that say a run's place in a queue: those that have begun, by time, by arrival."""
    order = order_ms + _ORDER_OFFSET + (0 if begun else _BEGUN_BEFORE)
    return order.to_bytes(8, "big") + arrival.to_bytes(8, "big")


def slots_at(definition: Definition | None, name: str) -> int:
    """Read how many slots a limit has now; one that is declared no longer limits nothing."""
    if definition is not None:
        for limit in definition.concurrency:
            if limit_name(limit.scope, limit.key) == name:
                return limit.limit
    return NO_LIMIT
