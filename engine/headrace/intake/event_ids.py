"""Internal ids for the events of one request.

A client that may send a request again (every SDK does) adds the header `x-inngest-event-id-seed: <ms>,<base64 of ten
bytes>`, the same each time: so its events get the same ids again. The rule is the SDK protocol's.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from headrace.records.ids import ulid_tail, ulid_time

SEED_HEADER = "x-inngest-event-id-seed"
ENTROPY_BYTES = 10
_TIME_MS_MAX = (1 << 48) - 1


class Seed(NamedTuple):
    """What the ids of a request are made from: a time and ten bytes."""

    time_ms: int
    entropy: bytes


def parse_seed(header: str | None) -> Seed | None:
    """Read the seed of a request; one that is not as it should be is ignored, as the protocol has it."""
    if not header:
        return None
    time_ms, comma, encoded = header.partition(",")
    if not comma or not time_ms.isascii() or not time_ms.isdigit() or len(time_ms) > 15:
        return None
    try:
        entropy = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(entropy) != ENTROPY_BYTES or int(time_ms) > _TIME_MS_MAX:
        return None
    return Seed(int(time_ms), entropy)


def seeded_id(seed: Seed, number: int) -> str:
    """Make the id of the n-th event of a request, counted from 1: n is added to the last four bytes."""
    last = (int.from_bytes(seed.entropy[6:], "big") + number) & 0xFFFFFFFF
    return ulid_time(seed.time_ms) + ulid_tail(int.from_bytes(seed.entropy[:6], "big") << 32 | last)
