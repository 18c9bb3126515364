"""What every store does, on the memory twin and on RocksDB. Goal: an engine that passes on one passes on the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.adapters.memory_store import MemoryStores
from headrace.adapters.rocksdb_store import RocksStores, StoreSettings
from headrace.adapters.seams import Store, StoreView

Row = tuple[bytes, bytes]
LAST = b"\xff" * 8


class MemoryDisk:
    """A disk in memory; `restart` closes everything and starts the next process on it."""

    def __init__(self, folder: Path) -> None:
        self.stores = MemoryStores(unflushed_max=8)

    def restart(self) -> None:
        self.stores.close()


class RocksDisk:
    """A disk that is one."""

    settings = StoreSettings()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.stores = RocksStores(folder, self.settings)

    def restart(self) -> None:
        self.stores.close()
        self.stores = RocksStores(self._folder, self.settings)


class RocksDiskWithGaps(RocksDisk):
    """One that remembers the gap before every scan, and is flushed all the time."""

    settings = StoreSettings(slow_seek_us=0, write_buffer_bytes=64 * 1024)


Disk = MemoryDisk | RocksDisk


@pytest.fixture(params=[MemoryDisk, RocksDisk, RocksDiskWithGaps])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    disk: Disk = request.param(tmp_path / "stores")
    yield disk
    disk.stores.close()


@pytest.fixture
def store(disk: Disk) -> Store:
    return disk.stores.open(0)


def all_rows(view: StoreView) -> list[Row]:
    return list(view.scan(b"", LAST))


def numbered(count: int, value: bytes = b"v") -> list[Row]:
    return [(b"%06d" % number, value) for number in range(count)]


def test_a_row_that_was_never_written_is_none_and_an_empty_value_is_not(store: Store) -> None:
    store.write([(b"empty", b"")])
    assert store.get(b"empty") == b""
    assert store.get(b"never") is None
    assert all_rows(store) == [(b"empty", b"")]


def test_rows_come_in_byte_order_from_start_to_before_end(store: Store) -> None:
    keys = [b"", b"\x00", b"\x00\x00", b"a", b"a\x00", b"a\xff", b"ab", b"b", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]
    store.write([(key, key) for key in reversed(keys)])
    assert [key for key, _ in store.scan(b"", LAST)] == sorted(keys)
    assert [key for key, _ in store.scan(b"a", b"b")] == [b"a", b"a\x00", b"ab", b"a\xff"]
    assert [key for key, _ in store.scan(b"a\x00", b"ab")] == [b"a\x00"]
    assert [key for key, _ in store.scan(b"aa", b"b")] == [b"ab", b"a\xff"]


@pytest.mark.parametrize(("start", "end"), [(b"b", b"b"), (b"c", b"b"), (b"b", b""), (b"bb", b"c")])
def test_a_range_that_holds_nothing_is_empty(store: Store, start: bytes, end: bytes) -> None:
    store.write([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    assert list(store.scan(start, end)) == []


def test_within_a_batch_the_last_word_on_a_row_stands(store: Store) -> None:
    store.write([(b"a", b"1"), (b"b", b"1"), (b"c", None)])
    store.write([(b"a", None), (b"a", b"2"), (b"b", b"2"), (b"b", None), (b"d", b"1"), (b"d", None)])
    assert all_rows(store) == [(b"a", b"2")]


def test_a_batch_that_breaks_off_writes_nothing(store: Store) -> None:
    def broken() -> Iterator[tuple[bytes, bytes | None]]:
        yield b"a", b"2"
        yield b"b", b"2"
        raise ValueError("broken")

    store.write([(b"a", b"1")])
    with pytest.raises(ValueError, match="broken"):
        store.write(broken())
    assert all_rows(store) == [(b"a", b"1")]


def test_deleting_what_is_not_there_does_nothing(store: Store) -> None:
    store.write([(b"a", b"1")])
    store.write([(b"b", None)])
    store.write([])
    assert all_rows(store) == [(b"a", b"1")]


@pytest.mark.parametrize("count", [3, 1000])
def test_a_scan_shows_the_rows_as_they_stood_when_it_was_asked_for(store: Store, count: int) -> None:
    before = numbered(count)
    store.write(before)
    untouched = store.scan(b"", LAST)
    walked = store.scan(b"", LAST)
    seen = [next(walked)]
    store.write([(key, None) for key, _ in before[::2]])
    store.write([(key, b"changed") for key, _ in before[1::2]] + [(b"zzz", b"new")])
    seen.append(next(walked))
    store.write([(b"zzzz", b"newer")])
    assert seen + list(walked) == before
    assert list(untouched) == before
    after = [(key, b"changed") for key, _ in before[1::2]] + [(b"zzz", b"new"), (b"zzzz", b"newer")]
    assert all_rows(store) == after


@pytest.mark.parametrize("count", [3, 1000])
def test_a_snapshot_stays_as_the_store_stood(store: Store, count: int) -> None:
    before = numbered(count)
    store.write(before)
    first = store.snapshot()
    store.write([(before[0][0], None), (before[1][0], b"changed"), (b"zzz", b"new")])
    second = store.snapshot()
    store.write([(b"zzz", None), (before[2][0], b"changed")])

    assert all_rows(first) == before
    assert first.get(before[0][0]) == b"v"
    assert first.get(before[1][0]) == b"v"
    assert first.get(b"zzz") is None
    assert all_rows(second) == [(before[1][0], b"changed"), *before[2:], (b"zzz", b"new")]
    assert second.get(before[0][0]) is None
    assert second.get(b"zzz") == b"new"
    first.close()
    assert second.get(before[2][0]) == b"v"
    second.close()
    assert store.get(before[2][0]) == b"changed"


def test_reads_of_one_snapshot_do_not_disturb_each_other(store: Store) -> None:
    before = numbered(200)
    store.write(before)
    snapshot = store.snapshot()
    one, two = snapshot.scan(b"", LAST), snapshot.scan(b"000100", LAST)
    seen: list[Row] = []
    for row in one:
        seen.append(row)
        assert snapshot.get(b"000150") == b"v"
        assert snapshot.get(b"000150x") is None
        later = next(two, None)
        assert later is None or later == before[len(seen) + 99]
    assert seen == before
    snapshot.close()


def test_a_snapshot_that_is_read_slowly_misses_nothing(store: Store) -> None:
    before = numbered(500)
    store.write(before)
    snapshot = store.snapshot()
    seen = []
    for number, row in enumerate(snapshot.scan(b"", LAST)):
        seen.append(row)
        store.write([(b"%06d" % (number + 1), None), (b"%06dx" % number, b"new"), (row[0], b"changed")])
    assert seen == before
    snapshot.close()


def test_what_was_written_is_there_after_a_restart(disk: Disk) -> None:
    store = disk.stores.open(3)
    store.write(numbered(1000))
    store.write([(b"000005", None)])
    disk.restart()
    again = disk.stores.open(3)
    assert all_rows(again) == [row for row in numbered(1000) if row[0] != b"000005"]


def test_scans_and_snapshots_left_open_do_not_keep_a_store_open(disk: Disk) -> None:
    store = disk.stores.open(0)
    store.write(numbered(1000))
    snapshot = store.snapshot()
    left_open: list[Any] = [store.scan(b"", LAST), snapshot, snapshot.scan(b"", LAST), store.scan(b"", b"000001")]
    next(left_open[0])
    next(left_open[2])
    disk.restart()
    again = disk.stores.open(0)
    assert len(all_rows(again)) == 1000
    assert len(left_open) == 4


def test_partitions_do_not_see_each_other(disk: Disk) -> None:
    one, two = disk.stores.open(1), disk.stores.open(2)
    one.write([(b"a", b"one")])
    two.write([(b"a", b"two")])
    one.close()
    disk.stores.wipe(1)
    assert two.get(b"a") == b"two"
    assert all_rows(disk.stores.open(1)) == []


def test_wiping_what_was_never_opened_is_fine(disk: Disk) -> None:
    disk.stores.wipe(7)
    assert all_rows(disk.stores.open(7)) == []


def test_one_partition_is_open_once(disk: Disk) -> None:
    store = disk.stores.open(0)
    with pytest.raises(AssertionError, match="open"):
        disk.stores.open(0)
    with pytest.raises(AssertionError, match="open"):
        disk.stores.wipe(0)
    store.close()
    disk.stores.open(0)


def test_a_closed_store_and_a_closed_snapshot_say_so(disk: Disk) -> None:
    store = disk.stores.open(0)
    store.write([(b"a", b"1")])
    snapshot = store.snapshot()
    snapshot.close()
    snapshot.close()
    uses: list[Callable[[], object]] = [lambda: snapshot.get(b"a"), lambda: list(snapshot.scan(b"", LAST))]
    store.close()
    store.close()
    uses += [lambda: store.get(b"a"), lambda: list(store.scan(b"", LAST)), lambda: store.write([(b"a", b"2")])]
    uses += [store.snapshot]
    for use in uses:
        with pytest.raises(RuntimeError, match="closed"):
            use()


@pytest.mark.parametrize("seed", range(6))
def test_a_long_random_life_agrees_with_a_plain_dict(disk: Disk, seed: int) -> None:
    """Method: draw batches, scans, snapshots and restarts; compare every read with a sorted dict."""
    draw = random.Random(seed)
    width = draw.choice([10, 300, 3000])
    model: dict[bytes, bytes] = {}
    store = disk.stores.open(0)
    kept: list[tuple[Any, dict[bytes, bytes]]] = []

    def key() -> bytes:
        return draw.randrange(width).to_bytes(2, "big") * draw.choice([1, 1, 2])

    def expect(view: StoreView, rows: dict[bytes, bytes]) -> None:
        start, end = sorted([key(), draw.choice([key(), LAST])])
        assert list(view.scan(start, end)) == sorted(row for row in rows.items() if start <= row[0] < end)
        wanted = key()
        assert view.get(wanted) == rows.get(wanted)

    for _ in range(250):
        size = draw.choice([1, 5, 100])
        batch: Iterable[tuple[bytes, bytes | None]] = [
            (key(), None if draw.random() < 0.4 else draw.randbytes(draw.randrange(20))) for _ in range(size)
        ]
        store.write(batch)
        for name, value in batch:
            if value is None:
                model.pop(name, None)
            else:
                model[name] = value
        expect(store, model)
        if draw.random() < 0.1:
            kept.append((store.snapshot(), dict(model)))
        for snapshot, rows in kept:
            expect(snapshot, rows)
        if len(kept) > 3:
            kept.pop(draw.randrange(len(kept)))[0].close()
        if draw.random() < 0.02:
            kept.clear()
            disk.restart()
            store = disk.stores.open(0)
    assert all_rows(store) == sorted(model.items())
