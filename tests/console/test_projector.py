"""The projection's process. Goal: it is alone at its file, quiet, and never outlives its node; no broker is needed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from headrace.adapters.kafka_settings import KafkaSettings
from headrace.console.archive import WriterLock
from headrace.console.lag_queries import read_lag
from headrace.console.projector import parse, retention_limits
from headrace.console.projector_process import ProjectorProcess
from headrace.console.retention import RetentionLimits
from tests.console.archives import open_for_reading
from tests.console.histories import TOPICS

T = TypeVar("T")
NOWHERE = "127.0.0.1:9"  # nothing listens there
ALL_TOPICS = {name: (f"id-{name}", 2) for name in (TOPICS.events, TOPICS.history, TOPICS.dead, TOPICS.functions)}
_PATIENCE_S = 30.0

# A node in small: it starts the projection, says its process id, and does nothing else until it is killed.
NODE = """
import asyncio, sys
from pathlib import Path
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.console.projector_process import ProjectorProcess
from tests.console.test_projector import ALL_TOPICS, NOWHERE

async def main():
    projector = ProjectorProcess(KafkaSettings(NOWHERE), "headrace", Path(sys.argv[1]), ALL_TOPICS)
    await projector.start()
    while projector.pid is None:
        await asyncio.sleep(0.01)
    print(projector.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def wait_for(what: Callable[[], T], truth: Callable[[T], object] = bool) -> T:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        value = what()
        if truth(value):
            return value
        assert time.monotonic() < deadline, f"still {value!r}"
        time.sleep(0.02)


async def until(what: Callable[[], T], truth: Callable[[T], object] = bool) -> T:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        value = what()
        if truth(value):
            return value
        assert time.monotonic() < deadline, f"still {value!r}"
        await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not waited for is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def runs(path: Path) -> bool:
    """Whether a projection has said that it lives."""
    if not path.exists():
        return False
    try:
        return read_lag(open_for_reading(path), time.time_ns() // 1_000_000).running
    except Exception:  # the tables are being made
        return False


def projector(path: Path, *options: str) -> ProjectorProcess:
    return ProjectorProcess(KafkaSettings(NOWHERE), "headrace", path, ALL_TOPICS, options=options)


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_node_however_that_ends(tmp_path: Path, way: signal.Signals) -> None:
    path = tmp_path / "a.db"
    with subprocess.Popen([sys.executable, "-c", NODE, str(path)], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        wait_for(lambda: runs(path))
        assert lives(pid)
        os.kill(node.pid, way)
        node.wait()
        wait_for(lambda: not lives(pid))


# One that is told to stop, and drains for a while before it ends its projection.
DRAINING = NODE.replace(
    "    await asyncio.Event().wait()",
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await asyncio.sleep(0.5)
    print("drained", projector.starts, projector.pid, flush=True)
    await projector.stop()
""",
).replace("import asyncio, sys", "import asyncio, logging, signal, sys\nlogging.basicConfig(level=logging.INFO)")


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_is_for_the_node_alone(tmp_path: Path, way: signal.Signals) -> None:
    path = tmp_path / "a.db"
    node = subprocess.Popen(
        [sys.executable, "-c", DRAINING, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert node.stdout is not None
    pid = int(node.stdout.readline())
    wait_for(lambda: runs(path))
    os.killpg(node.pid, way)
    told, said = node.communicate(timeout=_PATIENCE_S)
    assert told.split() == ["drained", "1", str(pid)], "the pages work while the node drains"
    assert "ended" not in said
    assert "again" not in said
    wait_for(lambda: not lives(pid))


def test_one_that_is_stopped_from_outside_is_no_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.db"
    caplog.set_level("INFO", "headrace.console")

    async def play() -> None:
        process = projector(path)
        await process.start()
        first = await until(lambda: process.pid)
        assert first is not None
        await until(lambda: runs(path))
        os.kill(first, signal.SIGTERM)
        await until(lambda: process.starts, lambda starts: starts == 2)
        await process.stop()

    asyncio.run(play())
    told = [record for record in caplog.records if "projection: " not in record.getMessage()]
    assert [record.levelname for record in told] == ["INFO"]


def test_it_is_quiet_and_starts_again_when_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def play() -> None:
        process = projector(path)
        await process.start()
        first = await until(lambda: process.pid)
        assert first is not None
        await until(lambda: runs(path))
        assert os.getpriority(os.PRIO_PROCESS, first) == 19
        assert path.stat().st_mode & 0o777 == 0o600
        os.kill(first, signal.SIGKILL)
        second = await until(lambda: process.pid, lambda pid: pid not in (None, first))
        assert process.starts == 2
        await process.stop()
        assert second is not None
        await until(lambda: not lives(second))
        assert process.pid is None

    asyncio.run(play())


def test_only_one_writes_to_a_file_and_the_next_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    lock = WriterLock(path)
    assert lock.take()
    other = WriterLock(path)
    assert not other.take()

    async def play() -> None:
        process = projector(path)
        await process.start()
        await until(lambda: process.pid)
        assert not runs(path)
        lock.close()
        await until(lambda: runs(path))
        await process.stop()

    asyncio.run(play())
    assert other.take()
    other.close()


def test_secrets_travel_in_the_environment_and_not_on_the_command_line(tmp_path: Path) -> None:
    settings = KafkaSettings(NOWHERE, {"sasl.username": "who", "sasl.password": "p4ssw0rd", "log_level": "3"})

    async def play() -> tuple[list[str], dict[str, str]]:
        process = ProjectorProcess(settings, "headrace", tmp_path / "a.db", ALL_TOPICS)
        await process.start()
        there = psutil.Process(await until(lambda: process.pid))
        seen = there.cmdline(), there.environ()
        await process.stop()
        return seen

    command, environment = asyncio.run(play())
    assert "p4ssw0rd" not in " ".join(command)
    assert environment["HEADRACE_KAFKA_SASL_PASSWORD"] == "p4ssw0rd"


def test_how_much_is_kept_can_be_chosen() -> None:
    words = ["--kafka", "k", "--db", "x", "--topics", "{}"]
    assert retention_limits(parse(words)) == RetentionLimits()
    chosen = retention_limits(parse([*words, "--runs-hours", "0.5", "--events-max", "7", "--size-bytes-max", "9"]))
    assert (chosen.runs_age_ms, chosen.events_max, chosen.size_bytes_max) == (1_800_000, 7, 9)
