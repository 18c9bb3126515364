"""How a node ends and what keeps it from starting: signals, a directory in use, a full disk."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.cluster import Cluster, Load, until
from tests.kafka.cluster_checks import await_runs, check, history_of

MIB = 1024 * 1024
DRAIN_S = 30.0


@pytest.mark.slow
@pytest.mark.alone
def test_a_node_under_load_drains_and_another_goes_on(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        with Load(cluster, 60, work_ms=500) as load:
            until(lambda: history.ended_runs("flows-order") >= 50, "50 orders are through")
            took_s = node.stop()
            assert took_s < DRAIN_S
            until(lambda: not node.orphans(), "what it had started has ended with it", 5)
            # It has left the group: another one need not wait until its session ends.
            other = cluster.start("b")
            ready_s = until(lambda: len(other.partitions()) == 4, "the other has everything", 8)
        wanted = dict.fromkeys(("flows-order", "flows-bill", "flows-mail"), load.sent)
        await_runs(cluster, history, wanted)
        found = check(cluster, history)
        print(f"drained in {took_s:.1f} s, taken over in {ready_s:.1f} s;", found)
        assert not found.refused
        assert not found.repeated, "what was under way was given time to be recorded"


@pytest.mark.slow
@pytest.mark.alone
def test_a_second_signal_ends_it_at_once(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        for n in range(8):
            cluster.send("nap/wanted", {"n": n, "nap_ms": 100, "work_ms": 4_000}, key=f"k{n}")
        cluster.flush()
        folder = cluster.witness_folder
        until(
            lambda: sum(text.count('"step-start"') for text in map(Path.read_text, folder.glob("*"))) == 8, "all work"
        )
        node.terminate()
        until(lambda: "code=stopping" in node.log(), "it has heard the first signal")
        assert node.running
        began = time.monotonic()
        node.terminate()
        status = node.wait(5)
        took_s = time.monotonic() - began
        assert status == 128 + 15
        assert took_s < 1, f"it took {took_s:.1f} s"
        until(lambda: not node.orphans(), "what it had started has ended with it", 5)
        cluster.start("a")
        await_runs(cluster, history, {"flows-nap": 8}, 60)
        print(f"ended {took_s:.2f} s after the second signal;", check(cluster, history))


@pytest.mark.slow
def test_a_directory_in_use_names_its_holder(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster:
        holder = cluster.start("a")
        second = cluster.node("b")
        second.data_dir.parent.mkdir(parents=True)
        second.data_dir.symlink_to(holder.data_dir)
        second.start()
        assert second.wait(40) == 1
        said = second.log()
        assert "data_folder_in_use" in said
        assert f"process {holder.pid}" in said
        assert "--data-dir" in said
        assert holder.ready()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Leave so many bytes of the file system free."""
    ballast = folder / "ballast"
    with ballast.open("ab") as file:
        while True:
            found = os.statvfs(folder)
            more = found.f_bavail * found.f_frsize - left
            if more <= 0:
                return ballast
            file.write(b"\0" * min(more, 8 * MIB))
            file.flush()


@pytest.mark.slow
def test_a_full_disk_is_refused_at_the_start_and_said_when_it_happens(
    kafka_bootstrap: str, tmp_path: Path, small_disk: Path
) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        ballast = fill(small_disk, 100 * MIB)
        node = cluster.node("a")
        node.data_dir.parent.mkdir(parents=True)
        node.data_dir.symlink_to(small_disk / "data")
        (small_disk / "data").mkdir()
        node.start()
        assert node.wait() == 1
        assert "disk_nearly_full" in node.log()
        assert "--data-dir" in node.log()

        ballast.unlink()
        cluster.start("a")
        fill(small_disk, 4 * MIB)
        bulk = 120
        for n in range(bulk):
            cluster.send("bulk/arrived", {"n": n, "bytes": 1_000_000, "nap_ms": 8_000}, key=f"k{n}")
        cluster.flush()

        def said() -> bool:
            return not node.running or "code=store_disk_full" in node.log()

        until(said, "the node says that its disk is full", 60)
        until(lambda: not node.running or not node.ready(), "it does not claim to be ready", 30)
        print(node.log_end()[-3_000:])
        if node.running:
            node.kill()
        (small_disk / "ballast").unlink()
        cluster.start("a")
        await_runs(cluster, history, {"flows-bulk": bulk}, 90)
        check(cluster, history, trimmed=True)
