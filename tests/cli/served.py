"""A `headrace` process that serves, watched from outside by HTTP alone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

DEADLINE_S = 60.0
T = TypeVar("T")

_open = build_opener(ProxyHandler({})).open


class Served:
    """A `headrace dev` or `start` in a folder of its own; `arguments` as a user would type them."""

    def __init__(self, folder: Path, *arguments: str, port: int = 0, **variables: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"log-{self.port}"
        command = [sys.executable, "-m", "headrace.cli", *arguments, "--port", str(self.port)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        cache = {name: os.environ[name] for name in ("HEADRACE_CACHE_DIR",) if name in os.environ}
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**clean, **cache, **variables, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def printed(self) -> str:
        """Give what it has printed so far."""
        return self._log.read_text("utf-8", "replace")

    def get(self, path: str, **query: str) -> Any:
        """Ask for a path; the decoded answer."""
        with _open(f"{self.url}{path}{'?' if query else ''}{urlencode(query)}", timeout=10) as answer:
            return json.loads(answer.read())

    def metric(self, name: str) -> float:
        """Read one number of /metrics."""
        with _open(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))

    def send(self, name: str, /, **data: Any) -> str:
        """Send an event over HTTP; its id."""
        body = json.dumps({"name": name, "data": data}).encode()
        with _open(Request(f"{self.url}/e/test", body, method="POST"), timeout=10) as answer:
            ids: list[str] = json.loads(answer.read())["ids"]
        return ids[0]

    def wait(self, condition: Callable[[], T | None], what: str) -> T:
        """Look again and again until a condition gives something; the test fails when it never does."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except (HTTPError, URLError, ConnectionError, TimeoutError) as problem:
                if isinstance(problem, HTTPError):
                    problem.close()
            # The pause between two looks ends at once when the process does.
            try:
                status = self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"it ended with {status} before {what}\n{self.printed[-6000:]}")
        pytest.fail(f"waited {DEADLINE_S:.0f} s for {what}\n{self.printed[-6000:]}")

    def until_ready(self) -> Served:
        """Wait until /ready answers 200."""
        self.wait(lambda: self.get("/ready")["ready"], "/ready")
        return self

    def until_printed(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed something."""
        return self.wait(lambda: re.search(pattern, self.printed), f"{pattern!r} to be printed")

    def run_of(self, event_id: str, *, phase: str = "", status: str = "") -> dict[str, Any]:
        """Wait until the event's run is in a phase, or has a status; its row."""

        def there() -> dict[str, Any] | None:
            rows: list[dict[str, Any]] = self.get("/v1/runs", event_id=event_id)["data"]
            assert len(rows) <= 1, rows
            right = rows and (rows[0]["phase"] == phase if phase else rows[0]["status"] == status)
            return rows[0] if right else None

        return self.wait(there, f"the run of {event_id} to be {phase or status}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end; the exit status."""
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {DEADLINE_S:.0f} s\n{self.printed[-6000:]}")


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
