"""Apps of the SDKs, as their users run them: a process of its own for each, which answers on a port."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from examples.npm import installed, node
from tests.cli.served import free_port

ROOM = Path(__file__).parent
DEADLINE_S = 60.0
SDKS = ("python", "typescript3", "typescript4")
# Version 3 of the TypeScript SDK calls every error of a step or a function "Error".
ONLY_ERROR = "typescript3"
T = TypeVar("T")
Test = TypeVar("Test", bound=Callable[..., None])
open_url = build_opener(ProxyHandler({})).open


def await_that(condition: Callable[[], T | None], what: Callable[[], str] | str, within_s: float = DEADLINE_S) -> T:
    """Look again and again until a condition gives something; the test fails when it never does."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (HTTPError, URLError, ConnectionError, TimeoutError) as problem:
            if isinstance(problem, HTTPError):
                problem.close()
        time.sleep(0.05)
    pytest.fail(f"waited {within_s:.0f} s for {what if isinstance(what, str) else what()}")


def ask(url: str, body: Any = None, method: str = "", **headers: str) -> Any:
    """Ask an address; the decoded answer. A status of 400 and above is an HTTPError."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, {"content-type": "application/json", **headers}, method=method or None)
    with open_url(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def only(*kinds: str) -> Callable[[Test], Test]:
    """Say which SDKs a test is about, where it is not about all of them."""

    def named(test: Test) -> Test:
        test.sdks = kinds  # type: ignore[attr-defined]
        return test

    return named


class Program:
    """One process of an app, with the file in which it notes what it did. `kind` is one of SDKS."""

    def __init__(self, kind: str, name: str, engine: str, folder: Path, entry: str = "main", port: int = 0) -> None:
        self.kind, self.name, self.engine, self.entry = kind, name, engine, entry
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/inngest"
        self.ledger = self.folder / "ledger.jsonl"
        self.ledger.touch()
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, **variables: str) -> Program:
        """Start the process; it may not answer yet."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._home(),
                env={**self._environment(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def register(self) -> None:
        """Wait until it answers, and have it register itself with the engine."""
        await_that(lambda: self.put(self.url) is not None, lambda: f"{self.name} to register\n{self.printed[-4000:]}")

    def put(self, url: str) -> Any:
        """Ask an app to register itself, as `curl -X PUT` does."""
        return ask(url, {"url": url}, "PUT")

    def kill(self) -> None:
        """Kill it (kill -9), if it runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """Ask it to end (SIGTERM), and wait for that; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(DEADLINE_S)

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", "replace")

    def lines(self, case: str, run: str | None = None, what: str | None = None) -> list[dict[str, Any]]:
        """Read what it noted of a case, all of it or of one run or callable."""
        noted = [json.loads(line) for line in self.ledger.read_text().splitlines()]
        return [
            line
            for line in noted
            if line["case"] == case and run in (None, line["run"]) and what in (None, line["what"])
        ]

    def _home(self) -> Path:
        """Give the folder to run in; one of TypeScript has its packages beside its files."""
        if self.kind == "python":
            return ROOM / "apps" / "python"
        home = self.folder / "app"
        if not home.exists():
            shutil.copytree(ROOM / "apps" / "typescript", home)
            (home / "node_modules").symlink_to(installed(ROOM / "npm"), target_is_directory=True)
        return home

    def _command(self) -> list[str]:
        if self.kind != "python":
            return [str(node()), f"{self.entry}.mjs"]
        if self.entry.startswith("connected"):
            return [sys.executable, f"{self.entry}.py"]
        serving = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"]
        return [sys.executable, "-m", "uvicorn", f"{self.entry}:app", *serving]

    def _environment(self) -> Mapping[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "INNGEST_"))}
        return {
            **clean,
            "APP_ID": self.name,
            "INNGEST_DEV": self.engine,
            "LEDGER": str(self.ledger),
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            "SDK": self.kind.replace("typescript", "inngest"),
        }
