"""RocksDB as the local store. Goal: crashes leave whole batches, damage is noticed, refusals name the way out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.adapters.data_folder import partition_folder
from headrace.adapters.rocksdb_store import RocksStore, RocksStores, StoreSettings
from headrace.errors import NotReady, StateCorrupted

LAST = b"\xff" * 8

# Writes numbered batches for ever: ten rows each, and the position row that stands for them. Says which was written.
WRITER = """
import os, sys
from pathlib import Path
from headrace.adapters.rocksdb_store import RocksStores, StoreSettings

stores = RocksStores(Path(sys.argv[1]), StoreSettings(write_buffer_bytes=int(sys.argv[2])))
store = stores.open(0)
number = int(store.get(b"position") or b"0")
print("ready", flush=True)
while True:
    number += 1
    rows = [(b"row:%08d:%d" % (number, index), os.urandom(100)) for index in range(10)]
    if number > 50:
        rows += [(b"row:%08d:%d" % (number - 50, index), None) for index in range(10)]
    store.write([*rows, (b"position", b"%d" % number)])
    os.write(1, b"%d\\n" % number)
    if number == int(sys.argv[3]):
        os._exit(9)
"""

# Writes until the disk takes no more; files may not grow beyond the size given.
FILLER = """
import os, resource, signal, sys
from pathlib import Path
from headrace.adapters.rocksdb_store import RocksStores, StoreSettings
from headrace.errors import NotReady

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
stores = RocksStores(Path(sys.argv[1]), StoreSettings(write_buffer_bytes=1 << 20))
store = stores.open(0)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, unlimited[1]))
try:
    for number in range(100_000):
        rows = [(b"%08d:%d" % (number, index), os.urandom(100)) for index in range(10)]
        store.write([*rows, (b"position", b"%d" % number)])
except NotReady as error:
    print(error)
store.close()
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
store = stores.open(0)
position = int(store.get(b"position") or b"-1")
assert len(list(store.scan(b"0", b"9"))) == (position + 1) * 10
print("position", position)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stores"


@pytest.fixture
def stores(folder: Path) -> Iterator[RocksStores]:
    stores = RocksStores(folder)
    yield stores
    stores.close()


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(partition_folder(folder, 0).glob(pattern))


def fill(stores: RocksStores) -> None:
    """Leave a closed store with 5000 rows in table files."""
    store = stores.open(0)
    for batch in range(50):
        store.write([(b"%06d" % (batch * 100 + index), os.urandom(100)) for index in range(100)])
    store.close()


def assert_whole(store: RocksStore) -> int:
    """Every row up to the position, except those deleted by then, and none behind it; the position."""
    position = int(store.get(b"position") or b"0")
    expected = [b"row:%08d:%d" % (n, index) for n in range(max(1, position - 49), position + 1) for index in range(10)]
    assert [key for key, _ in store.scan(b"row:", b"row;")] == expected
    return position


@pytest.mark.parametrize("written_bytes", [64 * 1024, 8 * 1024 * 1024])
def test_a_crash_leaves_the_batches_up_to_some_position_whole(folder: Path, written_bytes: int) -> None:
    """Method: kill -9 a process in the middle of writing, several times; small memtables are flushed all the time."""
    positions = []
    for batches in (300, 1200, 700):
        command = [sys.executable, "-c", WRITER, str(folder), str(written_bytes), "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            last = [int(writer.stdout.readline()) for _ in range(batches)][-1]
            writer.kill()
            last = int(([b"%d" % last, *writer.stdout.read().split()])[-1])
        stores = RocksStores(folder)
        positions.append(assert_whole(stores.open(0)))
        assert positions[-1] <= last
        stores.close()
    if written_bytes == 64 * 1024:
        assert positions == sorted(positions)
        assert positions[-1] > 0
    else:
        assert positions == [0, 0, 0]  # nothing was flushed: all of it comes from the log


def test_a_process_that_ends_without_closing_loses_only_its_last_batches(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder), str(64 * 1024), "2000"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert ended.returncode == 9
    stores = RocksStores(folder)
    assert 0 < assert_whole(stores.open(0)) <= 2000
    stores.close()


def test_nothing_is_written_to_a_write_ahead_log(stores: RocksStores, folder: Path) -> None:
    store = stores.open(0)
    store.write([(b"%06d" % number, os.urandom(100)) for number in range(1000)])
    assert sum(log.stat().st_size for log in files(folder, "*.log")) == 0


def test_closing_64_stores_is_quick(stores: RocksStores) -> None:
    opened = [stores.open(partition) for partition in range(64)]
    for store in opened:
        store.write([(b"%06d" % number, os.urandom(100)) for number in range(200)])
    started = time.perf_counter()
    for store in opened:
        store.close()
    assert time.perf_counter() - started < 3.0  # 0.15 s on a laptop


def test_all_stores_of_a_node_share_one_cache_also_after_a_restart(folder: Path) -> None:
    small = 256 * 1024
    settings = StoreSettings(block_cache_bytes=small, write_buffers_bytes=4 * small)
    first = RocksStores(folder, settings)
    for partition in range(4):
        store = first.open(partition)
        store.write([(b"%06d" % number, os.urandom(200)) for number in range(5000)])
    first.close()
    again = RocksStores(folder, settings)
    opened = [again.open(partition) for partition in range(4)]
    before = again.cache_bytes()
    for store in opened:
        assert sum(1 for _ in store.scan(b"", LAST)) == 5000
    assert again.cache_bytes() > before  # the blocks of reopened stores land in it
    assert again.cache_bytes() <= 3 * small  # 1 MB of rows each, and none of them a cache of its own
    again.close()


def test_folders_and_files_are_closed_to_others(stores: RocksStores, folder: Path) -> None:
    fill(stores)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert partition_folder(folder, 0).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files(folder, "*")} == {0o600}
    assert files(folder, "*.sst")


def test_a_folder_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    RocksStores(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


DAMAGES = {
    "manifest overwritten": ("MANIFEST*", b"garbage " * 10, None),
    "manifest gone": ("MANIFEST*", None, None),
    "current overwritten": ("CURRENT", b"garbage", None),
    "table gone": ("*.sst", None, None),
    "table cut": ("*.sst", b"", 1000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_noticed_when_the_store_is_opened(stores: RocksStores, folder: Path, damage: str) -> None:
    fill(stores)
    pattern, written, size = DAMAGES[damage]
    path = files(folder, pattern)[0]
    if written is None:
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.write(written)
            file.truncate(size)
    with pytest.raises(StateCorrupted) as raised:
        stores.open(0)
    assert raised.value.code == "store_damaged"
    assert str(folder) in raised.value.what
    stores.wipe(0)
    store = stores.open(0)
    store.write([(b"a", b"1")])
    assert list(store.scan(b"", LAST)) == [(b"a", b"1")]


def test_a_damaged_block_is_noticed_when_it_is_read_and_never_taken_for_the_end(
    stores: RocksStores, folder: Path
) -> None:
    fill(stores)
    with files(folder, "*.sst")[0].open("r+b") as file:
        file.seek(200_000)
        file.write(b"garbage " * 100)
    store = stores.open(0)
    with pytest.raises(StateCorrupted):
        for _ in store.scan(b"", LAST):
            pass
    snapshot = store.snapshot()
    with pytest.raises(StateCorrupted):
        for _ in snapshot.scan(b"", LAST):
            pass
    for view in (snapshot, store):
        with pytest.raises(StateCorrupted):
            [view.get(b"%06d" % number) for number in range(5000)]


def test_a_store_that_another_process_has_open_is_refused_by_name(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder), "65536", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with pytest.raises(NotReady) as raised:
            RocksStores(folder).open(0)
        writer.kill()
        writer.stdout.read()
    assert raised.value.code == "store_in_use"
    assert str(partition_folder(folder, 0)) in raised.value.what
    assert raised.value.why
    assert raised.value.do


def test_a_full_disk_is_said_in_four_parts_and_leaves_the_store_whole(folder: Path) -> None:
    """Method: a limit on the size of files makes RocksDB's flush fail as a full disk does."""
    run = subprocess.run([sys.executable, "-c", FILLER, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("[store_disk_full] the store in ")
    assert "why:" in run.stdout
    assert "do:" in run.stdout
    assert "position" in run.stdout


def test_a_wipe_that_was_interrupted_is_finished_by_the_next(stores: RocksStores, folder: Path) -> None:
    fill(stores)
    path = partition_folder(folder, 0)
    path.rename(path.with_name(path.name + ".wiped"))
    store = stores.open(0)
    assert list(store.scan(b"", LAST)) == []
    store.close()
    stores.wipe(0)
    assert list(folder.iterdir()) == []


def test_a_scan_ends_where_it_was_told_to_also_when_its_caller_has_forgotten_where(stores: RocksStores) -> None:
    store = stores.open(0)
    rows = [(b"%06d:%d" % (number, index), b"") for number in range(100) for index in range(5)]
    store.write(rows)
    for number in range(99):
        scan = store.scan(b"%06d" % number, b"%06d" % number + LAST * 8)
        # Bytes of the same length take the place of those that said where to end.
        others = [b"%070d" % place for place in range(200)]
        assert [key for key, _ in scan] == [key for key, _ in rows[number * 5 : number * 5 + 5]]
        del others


def test_a_queue_is_read_at_its_head_without_walking_over_what_was_taken(stores: RocksStores) -> None:
    """Method: 40 thousand rows pass through a queue; a look at its head would walk over up to as many tombstones."""
    store = stores.open(0)
    looking = 0.0
    for start in range(0, 40_000, 20):
        came = [(b"queue:%08d" % number, b"") for number in range(start, start + 20)]
        went = [(b"queue:%08d" % number, None) for number in range(start - 100, start - 80)]
        store.write([*came, *went])
        started = time.perf_counter()
        head = next(store.scan(b"queue:", b"queue;"))
        looking += time.perf_counter() - started
        assert head == (b"queue:%08d" % max(0, start - 80), b"")
    assert looking / 2000 < 0.0005  # 0.00002 s; walking took 0.002 s


def test_what_lies_behind_a_range_does_not_slow_down_its_scan(stores: RocksStores) -> None:
    store = stores.open(0)
    for start in range(0, 100_000, 1000):
        store.write([(b"queue:%08d" % number, b"") for number in range(start, start + 1000)])
        store.write([(b"queue:%08d" % number, None) for number in range(start, start + 1000)])
    store.write([(b"a", b""), (b"z", b"")])
    started = time.perf_counter()
    for _ in range(100):
        assert [key for key, _ in store.scan(b"a", b"b")] == [b"a"]
    assert time.perf_counter() - started < 0.5
