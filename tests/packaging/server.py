"""A `headrace dev` in a process of its own, watched from outside by HTTP alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import psutil
import pytest

from tests.packaging.archives import Environment, clean_variables

# The first start on a machine fetches the embedded Kafka (44 MB); any other is up in seconds.
READY_SECONDS_MAX = 240.0
RUN_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 60.0

T = TypeVar("T")

_open = build_opener(ProxyHandler({})).open


class Server:
    """The running server: its process, its address and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    def get(self, path: str) -> Any:
        """Ask for a path; the decoded JSON, or the error status as an `HTTPError`."""
        with _open(self.url + path, timeout=10) as response:
            return json.loads(response.read())

    def post(self, path: str, body: object) -> Any:
        """Send JSON to a path; the decoded answer."""
        headers = {"content-type": "application/json"}
        request = Request(self.url + path, json.dumps(body).encode(), headers, method="POST")
        with _open(request, timeout=30) as response:
            return json.loads(response.read())

    def wait_until_ready(self) -> None:
        """Wait until /ready answers 200."""

        def ready() -> bool:
            with _open(self.url + "/ready", timeout=10) as response:
                return bool(response.status == 200)

        self._wait(ready, READY_SECONDS_MAX, "/ready to answer 200")

    def wait_for_run(self, function_id: str, event_id: str) -> dict[str, Any]:
        """Wait until the one run that an event started has ended; its row."""
        path = "/v1/runs?" + urlencode({"function": function_id, "event_id": event_id})

        def ended() -> dict[str, Any] | None:
            rows = self.get(path)["data"]
            assert len(rows) <= 1, rows
            return rows[0] if rows and rows[0]["status"] not in {"Scheduled", "Running"} else None

        return self._wait(ended, RUN_SECONDS_MAX, f"a run of {function_id} to end")

    def stop(self) -> None:
        """Interrupt it: it must end by itself, with status 0, and leave no process behind."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running {STOP_SECONDS_MAX} s after SIGINT\n{self.printed()}")
        assert status == 0, self.printed()
        _, alive = psutil.wait_procs(children, timeout=STOP_SECONDS_MAX)
        assert alive == []

    def printed(self) -> str:
        """Give the last part of what the server has printed."""
        return self._log.read_text("utf-8", "replace")[-8000:]

    def _wait(self, condition: Callable[[], T | None], seconds: float, what: str) -> T:
        deadline = time.monotonic() + seconds
        last = "nothing"
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except HTTPError as error:
                last = f"{error.code} {error.read(400)!r}"
                error.close()
            except (URLError, ConnectionError, TimeoutError) as error:
                last = repr(error)
            # The pause between two looks ends at once when the server does.
            try:
                status = self.process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"the server ended with {status} before {what}\n{self.printed()}")
        pytest.fail(f"waited {seconds} s for {what}; last seen: {last}\n{self.printed()}")


@contextmanager
def serve(environment: Environment, folder: Path, *arguments: str) -> Iterator[Server]:
    """Run `headrace dev` in a folder, on a free port, with the embedded Kafka; nothing outlives the block."""
    port = free_port()
    log = folder / "server.log"
    where = ["--port", str(port), "--data-dir", str(folder / "data"), "--no-reload"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(environment.bin / "headrace"), "dev", *arguments, *where],
            cwd=folder,
            env=clean_variables(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, port, log)
    finally:
        # The group outlives its leader: a broker that a crashed server left behind goes too.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS_MAX)


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
