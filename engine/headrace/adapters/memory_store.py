"""In-memory stores: sorted rows with point-in-time reads, and the ways in which a disk lets a node down.

The twin of `rocksdb_store`. What is stored outlives a node: give the `MemoryStores` of a crashed node to its successor.
A crash may take back the last batches of each store, never part of one, as RocksDB does without a write-ahead log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator

from headrace.errors import StateCorrupted

# A scan of at most this many rows is made at once; a longer one is walked lazily and pins its version of the rows.
_COPIED_AT_ONCE = 32


class MemoryStores:
    """Open the stores of one node, kept in memory. Implements `Stores`.

    `unflushed_max` is how many of the last batches of a store a crash can take back; 0 keeps no record of them.
    `struck` counts what happened: "store_writes_lost", "store_lost", "store_stale", "store_damaged".
    """

    def __init__(self, unflushed_max: int = 0, struck: Counter[str] | None = None) -> None:
        self.struck: Counter[str] = Counter() if struck is None else struck
        self._unflushed_max = unflushed_max
        self._disks: dict[int, _Disk] = {}
        self._open: dict[int, MemoryStore] = {}

    def open(self, partition: int) -> MemoryStore:
        """Open, or make, a partition's store; raises StateCorrupted after `damage`, until it is wiped."""
        assert partition not in self._open, f"the store of partition {partition} is open already"
        disk = self._disks.setdefault(partition, _Disk(self._unflushed_max))
        if disk.damaged:
            raise StateCorrupted(
                "store_damaged",
                f"the in-memory store of partition {partition} cannot be read",
                why="It was damaged on purpose.",
                do="Nothing: it is wiped and restored from the log.",
            )
        store = MemoryStore(disk, lambda: self._open.pop(partition, None))
        self._open[partition] = store
        return store

    def wipe(self, partition: int) -> None:
        """Delete what is stored for a partition; its store must be closed."""
        assert partition not in self._open, f"the store of partition {partition} is open"
        self._disks.pop(partition, None)

    def close(self) -> None:
        """Close every store that is still open."""
        for store in list(self._open.values()):
            store.close()

    def crash(self, lose: Callable[[int, int], int]) -> None:
        """End all stores without a flush.

        `lose(partition, unflushed)` says how many of the last `unflushed` batches are gone from a store.
        """
        for partition, store in list(self._open.items()):
            disk = self._disks[partition]
            lost = lose(partition, len(disk.undo))
            assert 0 <= lost <= len(disk.undo), f"{lost} of {len(disk.undo)} unflushed batches cannot be lost"
            if lost:
                self.struck["store_writes_lost"] += 1
            disk.take_back(lost)
            store.close()

    def lose(self, partition: int) -> None:
        """Lose the disk of a partition; its store must be closed."""
        self.wipe(partition)
        self.struck["store_lost"] += 1

    def damage(self, partition: int) -> None:
        """Make the next `open` raise StateCorrupted; the store must be closed."""
        assert partition not in self._open, f"the store of partition {partition} is open"
        self._disks.setdefault(partition, _Disk(self._unflushed_max)).damaged = True
        self.struck["store_damaged"] += 1

    def save(self, partition: int) -> dict[bytes, bytes]:
        """Copy a partition's rows as they stand now, as an image for `revert`."""
        disk = self._disks.get(partition)
        return dict(disk.rows.rows) if disk else {}

    def revert(self, partition: int, image: dict[bytes, bytes]) -> None:
        """Put an older image in place of what is stored: a stale disk. The store must be closed."""
        self.wipe(partition)
        disk = self._disks[partition] = _Disk(self._unflushed_max)
        disk.rows = _Rows(dict(image), sorted(image))
        self.struck["store_stale"] += 1


class MemoryStore:
    """One partition's rows in memory. Implements `Store`."""

    def __init__(self, disk: _Disk, closed: Callable[[], object]) -> None:
        self._disk = disk
        self._closed = closed

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        return self._disk.rows.rows.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Walk over the rows with start <= key < end, ascending, as they stand now."""
        return self._disk.rows.scan(start, end)

    def write(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put (or delete, for None) all the rows, all or none."""
        self._disk.write(dict(rows))

    def snapshot(self) -> MemorySnapshot:
        """Keep the store as it stands now; the first write after it copies the rows."""
        return MemorySnapshot(self._disk.rows)

    def close(self) -> None:
        """Flush and close. May be called twice."""
        if self._disk is not _CLOSED:
            self._disk.undo.clear()
            self._disk = _CLOSED
            self._closed()


class MemorySnapshot:
    """The rows as they stood at one moment. Implements `Snapshot`."""

    def __init__(self, rows: _Rows) -> None:
        rows.pins += 1
        self._rows = rows

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        return self._rows.rows.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Walk over the rows with start <= key < end, ascending."""
        return self._rows.scan(start, end)

    def close(self) -> None:
        """Let go of the rows. May be called twice."""
        if self._rows is not _CLOSED_ROWS:
            self._rows.pins -= 1
            self._rows = _CLOSED_ROWS


class _Rows:
    """One version of a store's rows: a dict, and its keys in order.

    A key that came or went is put into its place in `keys` by the next scan: by bisection, which moves 8 bytes for each
    key behind it, or by sorting afresh if there are many. A tree would be slower at every size that fits into a test.
    While `pins` is not 0 somebody reads this version, and a writer has to go on with a copy.
    """

    __slots__ = ("keys", "pins", "rows", "touched")

    def __init__(self, rows: dict[bytes, bytes], keys: list[bytes]) -> None:
        self.rows = rows
        self.keys = keys
        self.touched: set[bytes] = set()
        self.pins = 0

    def copy(self) -> _Rows:
        copy = _Rows(self.rows.copy(), self.keys.copy())
        copy.touched = self.touched.copy()
        return copy

    def put(self, batch: dict[bytes, bytes | None]) -> None:
        rows = self.rows
        touched = self.touched
        for key, value in batch.items():
            if value is None:
                if rows.pop(key, None) is not None:
                    touched.add(key)
            else:
                if key not in rows:
                    touched.add(key)
                rows[key] = value

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self.touched:
            self._sort()
        keys = self.keys
        first = bisect_left(keys, start)
        last = bisect_left(keys, end, first)
        if last - first <= _COPIED_AT_ONCE:
            rows = self.rows
            return iter([(key, rows[key]) for key in keys[first:last]])
        walk = self._walk(first, last)
        next(walk)  # it pins from here on, not from its first row
        return walk

    def _walk(self, first: int, last: int) -> Generator[tuple[bytes, bytes], None, None]:
        self.pins += 1
        try:
            yield b"", b""
            rows, keys = self.rows, self.keys
            for place in range(first, last):
                yield keys[place], rows[keys[place]]
        finally:
            self.pins -= 1

    def _sort(self) -> None:
        rows, keys, touched = self.rows, self.keys, self.touched
        if len(touched) * 16 > len(keys):
            self.keys = sorted(rows)
        else:
            for key in touched:
                place = bisect_left(keys, key)
                stands = place < len(keys) and keys[place] == key
                if key in rows:
                    if not stands:
                        keys.insert(place, key)
                elif stands:
                    del keys[place]
        touched.clear()


class _Disk:
    """What is stored for one partition, with the way back over its last batches."""

    def __init__(self, unflushed_max: int) -> None:
        self.rows = _Rows({}, [])
        self.undo: deque[dict[bytes, bytes | None]] = deque(maxlen=unflushed_max)
        self.damaged = False
        self._remembers = unflushed_max > 0

    def write(self, batch: dict[bytes, bytes | None]) -> None:
        rows = self.rows
        if rows.pins:
            rows = self.rows = rows.copy()
        if self._remembers:
            get = rows.rows.get
            self.undo.append({key: get(key) for key in batch})
        rows.put(batch)

    def take_back(self, count: int) -> None:
        undo = self.undo
        for _ in range(count):
            batch = undo.pop()
            if self.rows.pins:
                self.rows = self.rows.copy()
            self.rows.put(batch)
        undo.clear()


class _ClosedRows(_Rows):
    """Stand where the rows were, so that using a closed store says so and costs an open one nothing."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("this store or snapshot is closed")

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise RuntimeError("this store or snapshot is closed")


class _ClosedDisk(_Disk):
    def __init__(self) -> None:
        self.rows = _CLOSED_ROWS

    def write(self, batch: dict[bytes, bytes | None]) -> None:
        raise RuntimeError("this store is closed")


_CLOSED_ROWS = _ClosedRows()
_CLOSED = _ClosedDisk()
