"""Several nodes under one parent. Goal: they live and die together, and nothing is restarted in silence."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from headrace.cli.processes import node_commands

DEADLINE_S = 30.0

# A stand-in for a node: says that it is up, stops on SIGTERM or SIGINT, and when the parent's pipe breaks.
NODE = """
import asyncio, os, signal, sys, pathlib
from headrace.cli.processes import stop_with_parent
async def main():
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    why = []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda number=number: (why.append(number.name), ended.set()))
    stop_with_parent(loop, lambda: (why.append("parent"), ended.set()))
    file = pathlib.Path(sys.argv[1])
    file.with_suffix(".tmp").write_text(str(os.getpid())); file.with_suffix(".tmp").rename(file)
    await ended.wait()
    file.with_suffix(".why").write_text(why[0])
asyncio.run(main())
"""
PARENT = """
import sys
from headrace.cli.processes import run_processes
node, *files = sys.argv[1:]
sys.exit(run_processes([[sys.executable, "-c", node, file] for file in files]))
"""


class Family:
    """A parent with two nodes, all of them up."""

    def __init__(self, folder: Path) -> None:
        self.files = [folder / "0", folder / "1"]
        command = [sys.executable, "-c", PARENT, NODE, *map(str, self.files)]
        self.parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + DEADLINE_S
        while not all(file.exists() for file in self.files):
            assert self.parent.poll() is None
            assert time.monotonic() < deadline, "the nodes did not come up"
            self._pause()
        self.nodes = [psutil.Process(int(file.read_text())) for file in self.files]

    def whys(self) -> list[str]:
        """Wait until all is over; why each node ended, "" where it could not say."""
        psutil.wait_procs(self.nodes, timeout=DEADLINE_S)
        self.parent.wait(DEADLINE_S)
        paths = [file.with_suffix(".why") for file in self.files]
        return [path.read_text() if path.exists() else "" for path in paths]

    def _pause(self) -> None:
        try:
            self.parent.wait(0.02)
        except subprocess.TimeoutExpired:
            return


@pytest.fixture
def family(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Give a parent with two nodes; nothing of it outlives the test."""
    running = Family(tmp_path)
    yield running
    for process in running.nodes:
        if process.is_running():
            process.kill()
    running.parent.kill()
    running.parent.wait()
    assert running.parent.stderr is not None
    running.parent.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_end_is_a_good_one(family: Family, number: signal.Signals) -> None:
    family.parent.send_signal(number)
    assert family.whys() == [number.name, number.name]
    assert family.parent.returncode == 0


def test_a_node_that_ends_by_itself_ends_them_all_and_is_named(family: Family) -> None:
    family.nodes[1].kill()
    assert family.whys() == ["SIGTERM", ""]
    assert family.parent.returncode == 1
    assert family.parent.stderr is not None
    said = family.parent.stderr.read()
    assert f"node 1 (process {family.nodes[1].pid}) ended by itself, status 137" in said


def test_the_nodes_stop_when_the_parent_is_killed(family: Family) -> None:
    family.parent.kill()
    assert family.whys() == ["parent", "parent"]


def test_each_node_has_a_folder_and_a_name_of_its_own_and_the_first_serves_http() -> None:
    first, second = node_commands(["shop:app"], Path("data"), 2, "blue")
    assert first[3:] == [
        "start",
        "shop:app",
        "--data-dir",
        "data/node-0",
        "--processes",
        "1",
        "--instance-id",
        "blue-0",
    ]
    assert second[3:] == [
        "start",
        "shop:app",
        "--data-dir",
        "data/node-1",
        "--processes",
        "1",
        "--instance-id",
        "blue-1",
        "--no-http",
    ]
    assert "--instance-id" not in node_commands([], Path("data"), 1, None)[0]
