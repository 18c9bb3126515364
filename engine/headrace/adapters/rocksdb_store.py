"""A partition's local rows in RocksDB.

The store is a cache of the log, and its settings follow from that:

- No write-ahead log. What was not flushed at a crash is read from the changelog again. RocksDB flushes memtables in the
  order in which they were filled and never splits a batch over two, so with one column family a crash leaves some
  prefix of the batches: the position row and the rows that it stands for are there together or not at all.
- A clean close flushes, because a restart then has nothing to replay; the memtables are small enough for that not to
  stall anybody. If that flush fails the rows are in the changelog all the same.
- The blocks, and the memtables of all stores of the node together, are bounded by one number each. Index and filter
  blocks stay outside the cache (1 to 2 bytes a row): in it, they are larger than one of its shards and thrash.

Four habits of rocksdict (0.3.29) are met here. Options given for an existing store apply to the database alone: those
of its column family, the cache among them, come from the file unless they are given too. `Snapshot.items()` shows what
was written after the snapshot, so a snapshot is an iterator made at that moment, which RocksDB pins. `items()` ends
silently at a damaged block, so scans go through the bare iterator and ask for its status at the end. An iterator's
upper bound is a bare pointer into the bytes that were given, so a scan holds on to these: without that it ends where
whatever took their place in memory says, and one run is shown another run's steps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from weakref import WeakSet

import rocksdict

from headrace.adapters.data_folder import make_private, partition_folder
from headrace.adapters.rocksdb_errors import check_walked, fail
from headrace.adapters.rocksdb_gaps import Gaps

MIB = 1024 * 1024


@dataclass(frozen=True)
class StoreSettings:
    """Bound the memory of all stores of one node together."""

    block_cache_bytes: int = 64 * MIB
    write_buffers_bytes: int = 32 * MIB
    write_buffer_bytes: int = 8 * MIB  # of one store; what a clean close has to flush at most
    background_threads: int = 2
    open_files_max: int = 128  # of one store
    slow_seek_us: int = 30  # a scan that took longer to find its first row remembers the gap before it


class RocksStores:
    """Open the stores of one node, each in a folder of its own under `folder`. Implements `Stores`."""

    def __init__(self, folder: Path, settings: StoreSettings | None = None) -> None:
        self._folder = folder
        self._settings = settings or StoreSettings()
        self._cache = rocksdict.Cache(self._settings.block_cache_bytes)
        self._buffers = rocksdict.WriteBufferManager(self._settings.write_buffers_bytes, False)
        self._open: dict[int, RocksStore] = {}
        make_private(folder)

    def open(self, partition: int) -> RocksStore:
        """Open, or make, a partition's store.

        Raises StateCorrupted if its files are damaged (wipe and restore), NotReady if the surroundings are in the way.
        """
        assert partition not in self._open, f"the store of partition {partition} is open already"
        folder = partition_folder(self._folder, partition)
        make_private(folder)
        options = self._options()
        try:
            # Named although it is the only one: see the module's docstring.
            rows = rocksdict.Rdict(str(folder), options, column_families={"default": options})
        except Exception as error:
            fail(error, folder)
        writing: Any = rocksdict.WriteOptions()  # its stub takes the attribute for a method
        writing.disable_wal = True
        rows.set_write_options(writing)
        _restrict(folder)
        store = RocksStore(rows, folder, self._settings.slow_seek_us, lambda: self._open.pop(partition, None))
        self._open[partition] = store
        return store

    def wipe(self, partition: int) -> None:
        """Delete what is stored for a partition; its store must be closed."""
        assert partition not in self._open, f"the store of partition {partition} is open"
        folder = partition_folder(self._folder, partition)
        # Renamed first: a crash in the middle must not leave half a store under the name of a whole one.
        doomed = folder.with_name(folder.name + ".wiped")
        try:
            if doomed.exists():
                shutil.rmtree(doomed)
            if folder.exists():
                folder.rename(doomed)
                shutil.rmtree(doomed)
        except OSError as error:
            fail(error, folder)

    def close(self) -> None:
        """Close every store that is still open."""
        for store in list(self._open.values()):
            store.close()

    def cache_bytes(self) -> int:
        """Measure what the block cache holds, for the metrics page."""
        return int(self._cache.get_usage())

    def _options(self) -> Any:
        settings = self._settings
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_block_size(8 * 1024)
        table.set_bloom_filter(10, False)
        table.set_format_version(5)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        options.set_write_buffer_manager(self._buffers)
        options.set_write_buffer_size(settings.write_buffer_bytes)
        options.set_max_write_buffer_number(4)
        options.set_arena_block_size(64 * 1024)  # the default of 1 MiB is touched by every store with a single row
        options.set_max_background_jobs(settings.background_threads)
        options.set_max_open_files(settings.open_files_max)
        options.set_level_compaction_dynamic_level_bytes(True)
        # Writes come on the node's loop thread: let files pile up a while rather than stall it.
        options.set_level_zero_slowdown_writes_trigger(40)
        options.set_level_zero_stop_writes_trigger(60)
        # Queues and timers leave runs of tombstones that a scan would walk over: compact such files early.
        options.add_compact_on_deletion_collector_factory(4096, 1024, 0.3)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(MIB)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        return options


class RocksStore:
    """One partition's rows. Implements `Store`; raises StateCorrupted at a damaged block, NotReady on a full disk."""

    def __init__(self, rows: Any, folder: Path, slow_seek_us: int, closed: Callable[[], object]) -> None:
        self._rows = rows
        self._get = rows.get
        self._folder = folder
        self._closed = closed
        self._gaps = Gaps()
        self._slow_seek_ns = slow_seek_us * 1000
        # Every iterator keeps RocksDB open behind our back, so all of them are known.
        self._walks: WeakSet[Generator[tuple[bytes, bytes], None, None]] = WeakSet()
        self._snapshots: WeakSet[RocksSnapshot] = WeakSet()

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        try:
            return self._get(key)  # type: ignore[no-any-return]
        except Exception as error:
            fail(error, self._folder)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Walk over the rows with start <= key < end, ascending, as they stand now."""
        first = self._gaps.skip(start) if self._gaps else start
        if first >= end:
            return iter(())
        try:
            bounds = rocksdict.ReadOptions()
            bounds.set_iterate_upper_bound(end)  # also spares walking over the tombstones that lie behind the range
            iterator = self._rows.iter(bounds)
            started = perf_counter_ns()
            iterator.seek(first)
            if perf_counter_ns() - started >= self._slow_seek_ns:
                self._remember_gap(iterator, start, end)
        except Exception as error:
            fail(error, self._folder)
        walk = _walk(iterator, end, self._folder)
        self._walks.add(walk)
        return walk

    def write(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put (or delete, for None) all the rows, all or none."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        delete = batch.delete
        rows = list(rows)
        for key, value in rows:
            if value is None:
                delete(key)
            else:
                put(key, value)
        if self._gaps:
            for key, value in rows:
                if value is not None:
                    self._gaps.fill(key)
        try:
            self._rows.write(batch)
        except Exception as error:
            fail(error, self._folder)

    def snapshot(self) -> RocksSnapshot:
        """Keep the store as it stands now; close it soon, as it holds on to what compaction would free."""
        try:
            snapshot = RocksSnapshot(self._rows.iter(), self._folder)
        except Exception as error:
            fail(error, self._folder)
        self._snapshots.add(snapshot)
        return snapshot

    def close(self) -> None:
        """Flush and close, with every scan and snapshot of it. May be called twice."""
        if self._rows is _CLOSED:
            return
        for walk in list(self._walks):
            walk.close()
        for snapshot in list(self._snapshots):
            snapshot.close()
        rows, self._rows = self._rows, _CLOSED
        self._get = _refuse
        self._closed()
        with suppress(Exception):  # a flush that fails (a full disk) loses nothing: the changelog holds the rows
            rows.close()
        _restrict(self._folder)

    def _remember_gap(self, iterator: Any, start: bytes, end: bytes) -> None:
        if iterator.valid():
            end = iterator.key()
        else:
            iterator.status()  # not the end of the range, if it has met a damaged block
        if start < end:
            self._gaps.add(start, end)


class RocksSnapshot:
    """The store as it stood at one moment: an iterator that RocksDB pins. Implements `Snapshot`."""

    def __init__(self, iterator: Any, folder: Path) -> None:
        self._iterator = iterator
        self._folder = folder
        self._moves = 0  # counts who has moved the iterator

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        self._moves += 1
        iterator = self._iterator
        iterator.seek(key)
        if iterator.valid():
            return iterator.value() if iterator.key() == key else None
        check_walked(iterator, self._folder)
        return None

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Walk over the rows with start <= key < end, ascending."""
        self._moves += 1
        moves = self._moves
        # Never held in a local over a yield: a scan left lying about must not keep RocksDB open after `close()`.
        self._iterator.seek(start)
        while self._iterator.valid():
            key = self._iterator.key()
            if key >= end:
                return
            yield key, self._iterator.value()
            if moves != self._moves:
                self._moves += 1
                moves = self._moves
                self._iterator.seek(key)
            self._iterator.next()
        check_walked(self._iterator, self._folder)

    def close(self) -> None:
        """Let go of what is pinned. May be called twice."""
        self._iterator = _CLOSED


def _walk(iterator: Any, end: bytes, folder: Path) -> Generator[tuple[bytes, bytes], None, None]:
    """Give row after row; `end` is asked for only to be kept alive, as RocksDB reads the bound out of it."""
    valid, key, value, advance = iterator.valid, iterator.key, iterator.value, iterator.next
    while valid():
        yield key(), value()
        advance()
    check_walked(iterator, folder)


def _restrict(folder: Path) -> None:
    """Close the files to others (RocksDB makes them 0644); between times the folder's 0700 keeps others out."""
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # RocksDB deletes files in the background
            os.chmod(entry.path, 0o600)


def _refuse(key: bytes) -> bytes | None:
    raise RuntimeError("this store is closed")


class _Closed:
    """Stands where RocksDB was, so that using a closed store says so and costs an open one nothing."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("this store or snapshot is closed")


_CLOSED = _Closed()
