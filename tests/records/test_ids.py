"""Ids and the partition of a key. Goal: a cause makes one id, and keys land where Kafka's own would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.records.ids import (
    derive_ulid,
    entropy,
    is_ulid,
    murmur2,
    partition_of,
    position_entropy,
    ulid_ms,
    ulid_tail,
    ulid_time,
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [  # of org.apache.kafka.common.utils.UtilsTest, which gives signed numbers
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0x7FFFFFFF


@given(st.binary(max_size=70), st.integers(1, 1000))
def test_a_key_has_one_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(bytes(key), partitions)


@given(st.integers(0, (1 << 48) - 1), st.binary(max_size=40))
def test_an_id_tells_its_time_and_sorts_by_it(time_ms: int, cause: bytes) -> None:
    made = derive_ulid(time_ms, cause)
    assert is_ulid(made)
    assert ulid_ms(made) == time_ms
    assert made == derive_ulid(time_ms, cause)
    assert ulid_time(time_ms) <= ulid_time(min(time_ms + 1, (1 << 48) - 1))


@given(st.integers(0, (1 << 80) - 1))
def test_the_tail_holds_all_eighty_bits(n: int) -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    read = 0
    for character in ulid_tail(n):
        read = read * 32 + alphabet.index(character)
    assert read == n


def test_no_two_offsets_share_an_entropy() -> None:
    seed = entropy(b"topic\x000")
    assert len({position_entropy(seed, offset) for offset in range(100_000)}) == 100_000


@pytest.mark.parametrize(
    "text", ["", "01J8Z3K4M5N6P7Q8R9S0T1V2W", "81J8Z3K4M5N6P7Q8R9S0T1V2W3", "01J8Z3K4M5N6P7Q8R9S0T1V2WI"]
)
def test_what_is_no_id(text: str) -> None:
    assert not is_ulid(text)
