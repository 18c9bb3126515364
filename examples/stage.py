"""Stage: a real node with an example's app on a real Kafka, and what a scenario may do with it.

A scenario is the file `scenario.py` of an example: `SHORT` are environment variables that shorten its times, and
`play(stage)` sends its events, waits for the end, and checks what must have happened.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

from headrace.adapters.embedded_kafka_process import free_port

GIVE_UP_S = 60.0
_LOOK_S = 0.05
_open = build_opener(ProxyHandler({})).open
T = TypeVar("T")


class NotSo(Exception):
    """Something has not come, or is not as it must be."""


class Stage:
    """One `headrace dev` in a folder of its own, asked over HTTP as anybody would."""

    def __init__(self, app: Path, folder: Path, bootstrap: str, prefix: str, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.port = free_port()
        self.wrong: list[str] = []
        self.checked: list[str] = []
        self._log = folder / "node.log"
        self._command = [sys.executable, "-m", "headrace.cli", "dev", str(app), "--no-reload", "--port", str(self.port)]
        self._command += ["--kafka", bootstrap, "--prefix", prefix]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        self._variables = {**clean, **variables, "PYTHONUNBUFFERED": "1"}
        self._node: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._node is None or self._node.poll() is not None:
            return
        self._node.send_signal(signal.SIGTERM)
        try:
            self._node.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()

    # --- the node -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the node, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._node = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(lambda: self.get("/ready")["ready"], "the node is ready")

    def kill(self) -> None:
        """Kill the node with all its processes (kill -9)."""
        assert self._node is not None
        os.killpg(self._node.pid, signal.SIGKILL)
        self._node.wait()

    @property
    def printed(self) -> str:
        """What the node has printed."""
        return self._log.read_text("utf-8", "replace")

    # --- what happens -------------------------------------------------------------------------------------------

    def send(self, name: str, data: Mapping[str, Any], **fields: Any) -> str:
        """Send an event; its internal id. `fields`: id, ts."""
        return self.send_all([{"name": name, "data": data, **fields}])[0]

    def send_all(self, events: Sequence[Mapping[str, Any]]) -> list[str]:
        """Send several events with one request; their internal ids."""
        ids: list[str] = self.post("/e/dev", events)["ids"]
        return ids

    def get(self, path: str, **query: Any) -> Any:
        """Ask the node for something; the decoded answer."""
        return self._ask(f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: Any) -> Any:
        """Send JSON to the node; the decoded answer."""
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None) -> Any:
        request = Request(f"http://127.0.0.1:{self.port}{path}", body, {"content-type": "application/json"})
        with _open(request, timeout=20) as answer:
            return json.loads(answer.read())

    # --- what can be seen ---------------------------------------------------------------------------------------

    def runs(self, function: str, **query: Any) -> list[dict[str, Any]]:
        """List the runs of a function (full id), newest first."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            answer = self.get("/v1/runs", function=function, limit=1000, **query, **more)
            rows += answer["data"]
            cursor = answer["cursor"]
        return rows

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """List the steps of a run."""
        steps: list[dict[str, Any]] = self.get(f"/v1/runs/{quote(run_id)}")["data"]["steps"]
        return steps

    def await_runs(
        self, function: str, count: int, *, status: str = "Completed", phase: str = ""
    ) -> list[dict[str, Any]]:
        """Wait until so many runs of a function have a status (or are in a phase); more than that is wrong."""

        def there() -> list[dict[str, Any]] | None:
            rows = self.runs(function) if phase else self.runs(function, status=status)
            found = [row for row in rows if not phase or row["phase"] == phase]
            return found if len(found) >= count else None

        found = self.wait(there, f"{count} runs of {function} are {phase or status}")
        self.check(f"{count} runs of {function} are {phase or status}", len(found) == count)
        return found

    def wait(self, condition: Callable[[], T | None], what: str, within_s: float = GIVE_UP_S) -> T:
        """Look again and again until a condition gives something; raises NotSo when it never does."""
        assert self._node is not None
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except OSError as problem:
                if isinstance(problem, HTTPError):
                    problem.close()
            try:
                status = self._node.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            raise NotSo(f"the node ended with {status} before this: {what}\n{self.printed[-4000:]}")
        raise NotSo(f"not within {within_s:.0f} s: {what}\n{self.printed[-4000:]}")

    def check(self, what: str, holds: bool) -> None:
        """Note whether something is as it must be."""
        (self.checked if holds else self.wrong).append(what)
