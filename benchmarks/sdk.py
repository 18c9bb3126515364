"""`python -m benchmarks.sdk`: functions of Inngest's Python SDK on FastAPI, run by Headrace, and by a peer beside it.

    .venv/bin/python -m benchmarks.sdk --inngest /path/to/inngest

Server, app and sender share the machine's cores. With `--inngest` the same is measured with Inngest's own server (its
binary, built or downloaded by you), in turns: a figure of one is never older than the other's by more than one round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import RESULTS, facts
from benchmarks.measures import quantile
from benchmarks.node import free_port

Figures = dict[str, dict[str, list[float]]]  # by figure, then by server
_READY_S = 120
_DONE_S = 300
_AT_ONCE = 500  # events of one request
_RATE = 20  # events a second, for latency
_LATENCY_S = 10


class Server:
    """One server under measurement, with an app of its own."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self.app_port = free_port()
        self._folder = folder
        self._command = [part.format(port=self.port, app=self._app_url, folder=folder / "data") for part in command]

    @property
    def _app_url(self) -> str:
        return f"http://127.0.0.1:{self.app_port}/api/inngest"

    @contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """Start app and server, have the app register, and end both."""
        self._folder.mkdir(parents=True, exist_ok=True)
        variables = {**os.environ, "INNGEST_DEV": f"http://127.0.0.1:{self.port}", "HEADRACE_LOG_LEVEL": "warning"}
        serve = [sys.executable, "-m", "uvicorn", "benchmarks.sdk_app:app", "--port", str(self.app_port)]
        with (self._folder / "log").open("ab") as log:
            app = subprocess.Popen([*serve, "--log-level", "warning"], env=variables, stdout=log, stderr=log)
            server = subprocess.Popen(self._command, env=variables, stdout=log, stderr=log)
        try:
            _until(lambda: self.counted() is not None, _READY_S, f"the app of {self.name}")
            _until(self._registered, _READY_S, self.name)
            yield psutil.Process(server.pid)
        finally:
            for process in (server, app):
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _registered(self) -> bool:
        asked = urllib.request.Request(
            self._app_url,
            json.dumps({"url": self._app_url}).encode(),
            {"content-type": "application/json"},
            method="PUT",
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return bool(answer.status == 200) and self._runs_one()
        except OSError:
            return False

    def _runs_one(self) -> bool:
        self.send("bench/nothing", 1)
        for _ in range(50):
            told = self.counted()
            if told is not None and told["ended"]["nothing"]:
                return True
            time.sleep(0.1)
        return False

    def counted(self) -> Any:
        """Ask the app; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.app_port}/counted", timeout=30) as answer:
                return json.load(answer)
        except OSError:
            return None

    def send(self, name: str, count: int) -> None:
        """Send events by HTTP."""
        events = [{"name": name, "data": {"n": n, "at": time.time() * 1000}} for n in range(count)]
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/e/bench", json.dumps(events).encode(), {"content-type": "application/json"}
        )
        urllib.request.urlopen(asked, timeout=60).close()


def _until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not become ready within {seconds:g} s")
        time.sleep(0.2)


def throughput(server: Server, process: psutil.Process, kind: str, count: int) -> tuple[float, float]:
    """Send events as fast as they are taken, until their runs have ended; runs a second, CPU ms of the server a run."""
    used = _cpu_s(process)
    began = time.monotonic()
    done = sent = 0
    while done < count:
        if sent < count:
            server.send(f"bench/{kind}", min(_AT_ONCE, count - sent))
            sent += _AT_ONCE
        else:
            time.sleep(0.05)
        told = server.counted()
        done += 0 if told is None else told["ended"][kind]
        if time.monotonic() > began + _DONE_S:
            raise SystemExit(f"{server.name}: {done} of {count} runs had ended after {_DONE_S} s")
    return count / (time.monotonic() - began), (_cpu_s(process) - used) * 1000 / count


def latency(server: Server) -> list[float]:
    """Send events at a steady rate; milliseconds from sending to the function."""
    server.counted()
    found: list[float] = []
    began = time.monotonic()
    for number in range(_RATE * _LATENCY_S):
        time.sleep(max(0.0, began + number / _RATE - time.monotonic()))
        server.send("bench/nothing", 1)
    time.sleep(3)
    found += server.counted()["starts"]
    return sorted(found)


def _cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU of a server with what it has started, its broker and its projector too."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def measure(server: Server, less: int, three: int, figures: Figures) -> None:
    """Make one round with a server."""

    def note(figure: str, value: float) -> None:
        figures.setdefault(figure, {}).setdefault(server.name, []).append(value)

    with server.running() as process:
        throughput(server, process, "nothing", max(less // 10, 50))  # connections, code and caches are warm
        for kind, count, label in (("nothing", less, "step-less"), ("three", three, "three steps")):
            rate, cpu_ms = throughput(server, process, kind, count)
            note(f"{label}: runs/s", rate)
            note(f"{label}: CPU ms per run, server with all that it starts", cpu_ms)
        times = latency(server)
        note(f"event to start at {_RATE}/s: p50 ms", quantile(times, 0.5))
        note(f"event to start at {_RATE}/s: p99 ms", quantile(times, 0.99))


def show(figures: Figures, names: list[str], console: Console) -> None:
    """Print minimum, median and maximum of each figure, for each server."""
    table = Table(title="Functions of Inngest's Python SDK on FastAPI")
    table.add_column("figure")
    for name in names:
        table.add_column(name, justify="right")
    for figure, by_name in figures.items():
        cells = []
        for name in names:
            values = by_name[name]
            cells.append(f"{quantile(values, 0.5):,.1f} ({min(values):,.1f} – {max(values):,.1f})")
        table.add_row(figure, *cells)
    console.print(table)


def main() -> None:
    """Measure Headrace, and the peer if there is one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdk", description=__doc__)
    parser.add_argument("--inngest", type=Path, help="Inngest's server, to be measured beside")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual numbers of events (default 1.0)")
    options = parser.parse_args()
    console = Console()
    figures: Figures = {}
    own = [sys.executable, "-m", "headrace.cli", "dev", "--no-discovery", "--no-poll", "-u", "{app}"]
    commands = {"Headrace": [*own, "--port", "{port}", "--data-dir", "{folder}"]}
    if options.inngest is not None:
        peer = [str(options.inngest.resolve()), "dev", "--no-discovery", "--no-poll", "--port", "{port}"]
        commands["Inngest"] = [*peer, "-u", "{app}"]
    for round_ in range(options.repeats):
        for name, command in commands.items():
            console.print(f"round {round_ + 1} of {options.repeats}: {name}")
            less = 4_000 if name == "Headrace" else 1_000
            three = 1_000 if name == "Headrace" else 300
            with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
                server = Server(name, command, Path(folder))
                measure(server, max(int(less * options.scale), 50), max(int(three * options.scale), 20), figures)
    show(figures, list(commands), console)
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / f"sdk-{time.strftime('%Y%m%d-%H%M%S')}.json"
    place.write_text(json.dumps({"machine": facts(), "figures": figures}, indent=2) + "\n")
    console.print(f"written to {place}")


if __name__ == "__main__":
    main()
