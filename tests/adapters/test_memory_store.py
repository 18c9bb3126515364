"""The stores in memory when disks let a node down. Goal: exactly what RocksDB may lose is lost, and nothing else."""

from __future__ import annotations

from random import Random

import pytest

from headrace.adapters.memory_store import MemoryStores
from headrace.adapters.seams import Store
from headrace.errors import StateCorrupted

LAST = b"\xff" * 4


def write_numbered(store: Store, first: int, last: int) -> None:
    """Write batches: each puts two rows, deletes those of three batches before, and moves the position row."""
    for number in range(first, last + 1):
        store.write(
            [
                (b"%04d:a" % number, b"%d" % number),
                (b"%04d:b" % number, b"%d" % number),
                (b"%04d:a" % (number - 3), None),
                (b"%04d:b" % (number - 3), None),
                (b"position", b"%d" % number),
            ]
        )


def check_whole(store: Store) -> int:
    """The position, after a check that exactly its rows are there."""
    position = int(store.get(b"position") or b"0")
    numbers = range(max(1, position - 2), position + 1)
    expected = [(b"%04d:%s" % (n, half), b"%d" % n) for n in numbers for half in (b"a", b"b")]
    assert list(store.scan(b"0", b":")) == expected
    return position


@pytest.mark.parametrize("lost", [0, 1, 7, 20])
def test_a_crash_takes_back_the_last_batches_whole(lost: int) -> None:
    stores = MemoryStores(unflushed_max=20)
    store = stores.open(0)
    write_numbered(store, 1, 50)
    stores.crash(lambda partition, unflushed: lost)
    again = stores.open(0)
    assert check_whole(again) == 50 - lost
    assert stores.struck["store_writes_lost"] == (lost > 0)
    write_numbered(again, 51 - lost, 60)
    assert check_whole(again) == 60


def test_a_crash_cannot_take_back_more_than_is_unflushed() -> None:
    stores = MemoryStores(unflushed_max=5)
    write_numbered(stores.open(0), 1, 50)
    asked: list[tuple[int, int]] = []

    def lose_all(partition: int, unflushed: int) -> int:
        asked.append((partition, unflushed))
        return unflushed

    stores.crash(lose_all)
    assert asked == [(0, 5)]
    assert check_whole(stores.open(0)) == 45


def test_what_was_closed_is_flushed() -> None:
    stores = MemoryStores(unflushed_max=20)
    store = stores.open(0)
    write_numbered(store, 1, 10)
    store.close()
    again = stores.open(0)
    write_numbered(again, 11, 12)
    stores.crash(lambda partition, unflushed: unflushed)
    assert check_whole(stores.open(0)) == 10


def test_a_crash_closes_every_store() -> None:
    stores = MemoryStores(unflushed_max=20)
    opened = [stores.open(partition) for partition in range(3)]
    stores.crash(lambda partition, unflushed: 0)
    for store in opened:
        with pytest.raises(RuntimeError, match="closed"):
            store.get(b"a")


def test_without_a_record_of_batches_nothing_can_be_taken_back() -> None:
    stores = MemoryStores()
    write_numbered(stores.open(0), 1, 10)
    stores.crash(lambda partition, unflushed: unflushed)
    assert check_whole(stores.open(0)) == 10


def test_a_snapshot_is_not_touched_by_a_crash() -> None:
    stores = MemoryStores(unflushed_max=20)
    store = stores.open(0)
    write_numbered(store, 1, 10)
    snapshot = store.snapshot()
    rows = list(snapshot.scan(b"", LAST))
    stores.crash(lambda partition, unflushed: 4)
    assert list(snapshot.scan(b"", LAST)) == rows
    assert check_whole(stores.open(0)) == 6


def test_a_lost_disk_is_empty() -> None:
    stores = MemoryStores()
    for partition in (0, 1):
        store = stores.open(partition)
        write_numbered(store, 1, 5)
        store.close()
    stores.lose(0)
    assert list(stores.open(0).scan(b"", LAST)) == []
    assert check_whole(stores.open(1)) == 5
    assert stores.struck == {"store_lost": 1}


def test_a_stale_disk_shows_what_was_there_before() -> None:
    stores = MemoryStores(unflushed_max=20)
    store = stores.open(0)
    write_numbered(store, 1, 5)
    image = stores.save(0)
    write_numbered(store, 6, 9)
    store.close()
    stores.revert(0, image)
    stale = stores.open(0)
    assert check_whole(stale) == 5
    write_numbered(stale, 6, 7)
    stale.close()
    stores.revert(0, image)
    assert check_whole(stores.open(0)) == 5
    assert stores.save(9) == {}
    assert stores.struck == {"store_stale": 2}


def test_a_damaged_disk_is_refused_until_it_is_wiped() -> None:
    stores = MemoryStores()
    stores.open(0).close()
    stores.damage(0)
    for _ in range(2):
        with pytest.raises(StateCorrupted):
            stores.open(0)
    stores.wipe(0)
    write_numbered(stores.open(0), 1, 1)
    assert stores.struck == {"store_damaged": 1}


@pytest.mark.parametrize("seed", range(5))
def test_crashes_at_any_time_leave_a_prefix_of_the_batches(seed: int) -> None:
    draw = Random(seed)
    stores = MemoryStores(unflushed_max=12)
    position = 0
    lost_at_all = 0
    for _ in range(60):
        store = stores.open(0)
        assert check_whole(store) == position
        more = draw.randrange(30)
        write_numbered(store, position + 1, position + more)
        if draw.random() < 0.3:
            snapshot = store.snapshot()
            list(store.scan(b"", LAST))
            if draw.random() < 0.5:
                snapshot.close()
        lost = 0

        def lose(partition: int, unflushed: int) -> int:
            nonlocal lost
            lost = draw.randint(0, unflushed)
            return lost

        if draw.random() < 0.2:
            stores.close()
        else:
            stores.crash(lose)
        position += more - lost
        lost_at_all += lost
    assert lost_at_all > 50
