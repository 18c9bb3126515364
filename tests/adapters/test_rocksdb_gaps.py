"""Known gaps between rows. Goal: what is taken for empty is empty, whatever is added and written in whatever order."""

from __future__ import annotations

import random

import pytest

from headrace.adapters.rocksdb_gaps import Gaps


def test_a_scan_that_starts_in_a_gap_goes_on_at_its_end() -> None:
    gaps = Gaps()
    assert not gaps
    gaps.add(b"b", b"d")
    assert gaps
    assert [gaps.skip(key) for key in (b"a", b"b", b"c", b"d", b"e")] == [b"a", b"d", b"d", b"d", b"e"]


def test_a_row_splits_the_gap_that_it_is_written_into() -> None:
    gaps = Gaps()
    gaps.add(b"b", b"d")
    gaps.fill(b"c")
    assert [gaps.skip(key) for key in (b"b", b"c", b"c\0", b"cc")] == [b"c", b"c", b"d", b"d"]
    gaps.fill(b"b")
    assert gaps.skip(b"b") == b"b"
    assert gaps.skip(b"b\0") == b"c"


def test_gaps_that_touch_become_one() -> None:
    gaps = Gaps()
    gaps.add(b"a", b"b")
    gaps.add(b"c", b"d")
    gaps.add(b"b", b"c")
    assert gaps.skip(b"a") == b"d"


@pytest.mark.parametrize("seed", range(5))
def test_gaps_agree_with_a_set_of_rows(seed: int) -> None:
    """Method: numbers for keys; look for the first row from a start, remember, write and delete at random."""
    draw = random.Random(seed)
    gaps = Gaps()
    rows: set[bytes] = set()
    skipped = 0

    def key() -> bytes:
        return b"%04d" % draw.randrange(2000)

    for _ in range(20_000):
        start, end = sorted([key(), key()])
        first = min((row for row in rows if start <= row < end), default=end)
        seen_from = gaps.skip(start)
        assert seen_from <= max(first, start) or first == end
        assert not any(start <= row < seen_from for row in rows)
        skipped += seen_from > start
        if start < first:
            gaps.add(start, first)
        for _ in range(draw.randrange(4)):
            row = key()
            if draw.random() < 0.5 and len(rows) < 50:
                rows.add(row)
                gaps.fill(row)
            else:
                rows.discard(row)
    assert skipped > 1000
