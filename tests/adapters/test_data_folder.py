"""The data directory. Goal: one process at a time, known by name, and a clear word when it cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from headrace.adapters.data_folder import DataFolder, partition_folder
from headrace.errors import NotReady

HOLDER = """
import sys
from pathlib import Path
from headrace.adapters.data_folder import DataFolder

folder = DataFolder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the folder until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(path), "the-command"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_everything_in_it_is_closed_to_others(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "deep" / "data")
    assert data.path.stat().st_mode & 0o777 == 0o700
    assert data.stores.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in data.path.iterdir() if path.is_file()} == {0o600}
    data.close()


def test_a_folder_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    DataFolder(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_node_keeps_its_name(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.close()
    again = DataFolder(tmp_path)
    again.close()
    assert str(uuid.UUID(first.node_id)) == again.node_id
    other = DataFolder(tmp_path / "other")
    other.close()
    assert other.node_id != first.node_id


def test_a_damaged_name_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    DataFolder(tmp_path).close()
    (tmp_path / "node.id").write_text("not a uuid")
    with pytest.raises(NotReady) as raised:
        DataFolder(tmp_path)
    assert raised.value.code == "node_id_unreadable"
    assert str(tmp_path / "node.id") in raised.value.do
    (tmp_path / "node.id").unlink()
    DataFolder(tmp_path).close()


def test_partitions_have_folders_of_their_own(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    assert data.store(3) == partition_folder(data.stores, 3)
    assert data.store(3) != data.store(30)
    assert data.store(3).parent == data.stores
    data.close()


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        with pytest.raises(NotReady) as raised:
            DataFolder(tmp_path)
        holder.communicate("")
    assert raised.value.code == "data_folder_in_use"
    assert str(tmp_path) in raised.value.what
    assert f"process {holder.pid}" in raised.value.what
    assert "the-command" in raised.value.what
    assert raised.value.why
    assert raised.value.do
    DataFolder(tmp_path).close()


def test_a_killed_process_holds_it_no_more(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        holder.kill()
        holder.communicate()
    data = DataFolder(tmp_path)
    assert (tmp_path / "node.lock").read_text().splitlines()[0] == str(os.getpid())
    data.close()


def test_a_bounded_wait_takes_it_as_soon_as_it_is_free_and_gives_up_in_the_end(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        with pytest.raises(NotReady, match=r"also after 0\.1 s"):
            DataFolder(tmp_path, wait_s=0.1)
        ending = threading.Timer(0.1, holder.communicate, [""])
        ending.start()
        data = DataFolder(tmp_path, wait_s=60)
        ending.join()
    data.close()


def test_too_little_room_is_refused_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(NotReady) as raised:
        DataFolder(tmp_path, free_bytes_min=1 << 60)
    assert raised.value.code == "disk_nearly_full"
    assert f"{(1 << 60) // (1 << 20)} MiB" in raised.value.what
    data = DataFolder(tmp_path)  # the refused one has let it go
    assert data.free_bytes() > 0
    data.close()
    data.close()


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("")
    with pytest.raises(NotReady) as raised:
        DataFolder(path)
    assert raised.value.code == "data_folder_unusable"
    assert str(path) in raised.value.what
