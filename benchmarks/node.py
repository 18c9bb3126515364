"""One Headrace node as anybody would start it, in a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

READY_S = 180


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class BenchNode:
    """A `headrace start` of the benchmark's app."""

    def __init__(self, bootstrap: str, prefix: str, partitions: int, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.folder = folder
        self.times = folder / "times.json"
        self.port = free_port()
        self._environment = {
            **os.environ,
            "HEADRACE_PREFIX": prefix,
            "HEADRACE_PARTITIONS": str(partitions),
            "HEADRACE_LOG_LEVEL": "warning",
            "BENCH_TIMES": str(self.times),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; return the seconds until it was ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "headrace.cli", "start", "benchmarks.app:app"]
        command += ["--kafka", self.bootstrap, "--port", str(self.port), "--data-dir", str(self.folder / "data")]
        start = time.monotonic()
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        while time.monotonic() < start + READY_S:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=2):
                    return time.monotonic() - start
            except OSError:
                time.sleep(0.02)
        last = (self.folder / "node.log").read_text(errors="replace").splitlines()[-20:]
        raise SystemExit("the node did not become ready; the end of its log:\n" + "\n".join(last))

    def metric(self, name: str) -> float:
        """Read one of its counters."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                head, _, value = line.rpartition(" ")
                if head in (f"headrace_{name}_total", f"headrace_{name}"):
                    return float(value)
        raise SystemExit(f"/metrics has no headrace_{name}")

    def settle(self) -> None:
        """Wait until it has committed nearly nothing for two seconds: the last of its runs is suspended."""
        settled, commits = time.monotonic(), self.metric("commits")
        while time.monotonic() < settled + 2:
            time.sleep(0.5)
            if self.metric("commits") > commits + 5:
                settled, commits = time.monotonic(), self.metric("commits")

    def json(self, path: str) -> dict[str, object]:
        """Ask its API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def cpu_s(self) -> float:
        """CPU seconds that the node itself has used; the projector is a process of its own."""
        assert self._process is not None
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)

    def rss_mb(self) -> float:
        """Resident memory of the node itself."""
        assert self._process is not None
        return float(psutil.Process(self._process.pid).memory_info().rss) / 1e6

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """Leave nothing running, whatever went wrong."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def lose_disk(self) -> None:
        """Delete its local state."""
        shutil.rmtree(self.folder / "data")

    def produce(self, name: str, count: int, rate: float = 0) -> subprocess.Popen[bytes]:
        """Have a process of its own send events."""
        command = [sys.executable, "-m", "benchmarks.producer", self.bootstrap, f"{self.prefix}.events", name]
        command += [str(count), str(rate)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def dump(self) -> dict[str, list[float]]:
        """Have the app write down the times that it has taken."""
        self.times.unlink(missing_ok=True)
        self.produce("bench/dump", 1).wait()
        deadline = time.monotonic() + 30
        while not self.times.exists():
            if time.monotonic() > deadline:
                raise SystemExit("the app did not write its times down")
            time.sleep(0.05)
        found: dict[str, list[float]] = json.loads(self.times.read_text())
        return found
