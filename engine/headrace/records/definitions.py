"""A function's definition, as it stands on the functions topic: JSON, one record per full function id."""

from __future__ import annotations

import msgspec

from headrace.errors import BadRecord


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long to wait before the next attempt. `jitter` is a share of the delay (0.1: up to 10 % more)."""

    type: str = "exponential"  # exponential | linear | fixed
    base_ms: int = 1_000
    max_ms: int = 3_600_000
    jitter: float = 0.1


class EventTrigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event name, exact or ending in a wildcard after / or ., and an optional CEL expression."""

    event: str
    expression: str = ""


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What partitions know of a function: enough to route, to retry and to name it. Code is not part of it."""

    id: str  # full: app id, "-", function id
    app: str
    name: str
    triggers: list[EventTrigger]
    retries: int = 3  # further attempts after the first
    backoff: Backoff = Backoff()
    kind: str = "python"
    format: int = 1


_DECODER = msgspec.json.Decoder(Definition)


def encode_definition(definition: Definition) -> bytes:
    """Write a definition; equal definitions give equal bytes."""
    return msgspec.json.encode(definition)


def decode_definition(value: bytes) -> Definition:
    """Read a definition; `BadRecord` for anything else."""
    try:
        return _DECODER.decode(value)
    except msgspec.MsgspecError as error:
        raise BadRecord(
            "definition_unreadable",
            f"a record of the functions topic cannot be read: {error}",
            why="it was written by a newer version, or not by Headrace",
            do="upgrade this node, or remove the record",
        ) from None
