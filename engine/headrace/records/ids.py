"""Ids derived from causes, and the partition of a key.

A ULID is 48 bits of milliseconds and 80 bits, as 26 characters of Crockford's base 32 (github.com/ulid/spec). Ours take
the 80 bits from a hash of the cause, so the same cause can only ever make the same id.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Ten bits at a time: eight look-ups make the sixteen characters of 80 bits.
_PAIRS = [a + b for a in _CROCKFORD for b in _CROCKFORD]
_TIME_MS_MAX = (1 << 48) - 1
_ENTROPY_MASK = (1 << 80) - 1
_HALF_MASK = (1 << 40) - 1
_SPREAD = 0x9E3779B97F4A7C15F39D  # odd; the first 80 bits of the golden ratio's fraction, as hashes use it


@lru_cache(maxsize=1024)  # events come in bursts of the same millisecond
def ulid_time(time_ms: int) -> str:
    """Return the ten characters of a ULID that stand for its time."""
    t = min(max(time_ms, 0), _TIME_MS_MAX)
    p = _PAIRS
    return p[t >> 40] + p[(t >> 30) & 1023] + p[(t >> 20) & 1023] + p[(t >> 10) & 1023] + p[t & 1023]


def entropy(cause: bytes) -> int:
    """Hash a cause to the 80 bits of a ULID."""
    return int.from_bytes(blake2b(cause, digest_size=10).digest())


def position_entropy(seed: int, offset: int) -> int:
    """Spread an offset over 80 bits: `seed` is the entropy of its topic and partition.

    Multiplying by an odd number is one-to-one modulo 2**80, so two offsets of a partition never share a value; it costs
    a tenth of a hash, on the way of every event.
    """
    return (seed + offset * _SPREAD) & _ENTROPY_MASK


def ulid_tail(n: int) -> str:
    """Return the sixteen characters of a ULID that stand for its 80 bits."""
    p = _PAIRS
    high, low = n >> 40, n & _HALF_MASK  # halves fit into the machine's words, and one format beats seven additions
    return (
        f"{p[high >> 30]}{p[high >> 20 & 1023]}{p[high >> 10 & 1023]}{p[high & 1023]}"
        f"{p[low >> 30]}{p[low >> 20 & 1023]}{p[low >> 10 & 1023]}{p[low & 1023]}"
    )


def derive_ulid(time_ms: int, cause: bytes) -> str:
    """Make the ULID of a cause: the same time and cause give the same id, on every node, for ever."""
    return ulid_time(time_ms) + ulid_tail(entropy(cause))


def ulid_ms(ulid: str) -> int:
    """Read the milliseconds out of a ULID; `ValueError` for a character outside the alphabet."""
    n = 0
    for character in ulid[:10].upper():
        n = n * 32 + _CROCKFORD.index(character)
    return n


def is_ulid(text: str) -> bool:
    """Tell whether the text has the form of a ULID."""
    return len(text) == 26 and text[0] <= "7" and all(c in _CROCKFORD for c in text)


_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Hash a key as Kafka's producers do (`org.apache.kafka.common.utils.Utils.murmur2`), made positive."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    whole = length - (length & 3)
    for i in range(0, whole, 4):
        k = (int.from_bytes(data[i : i + 4], "little") * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    rest = length & 3
    if rest:
        h ^= int.from_bytes(data[whole:], "little")
        h = (h * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return (h ^ (h >> 15)) & 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition where the work of a key lives; equal to librdkafka's `murmur2_random` and Java's."""
    return murmur2(key) % partitions
