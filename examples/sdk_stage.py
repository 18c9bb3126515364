"""SdkStage: a real node without code of its own, and the apps of an SDK beside it as processes of their own."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.request import ProxyHandler, build_opener

from examples.stage import Stage
from headrace.adapters.embedded_kafka_process import free_port

_open = build_opener(ProxyHandler({})).open


class Program(NamedTuple):
    """A process that serves an app: what to run where, its port, and variables beside the stage's."""

    command: list[str]
    folder: Path
    port: int
    variables: Mapping[str, str] = {}

    @property
    def url(self) -> str:
        """Where the SDK answers."""
        return f"http://127.0.0.1:{self.port}/api/inngest"


class SdkStage(Stage):
    """One `headrace dev -u …`, and the programs that the example's scenario names."""

    def __init__(self, app: Path, folder: Path, bootstrap: str, prefix: str, variables: Mapping[str, str]) -> None:
        super().__init__(app, folder, bootstrap, prefix, variables)
        scenario = importlib.import_module(f"examples.{app.parent.name}.scenario")
        self._programs: list[Program] = scenario.programs(free_port)
        urls = [argument for program in self._programs for argument in ("-u", program.url)]
        served = ["dev", "--no-discovery", "--retry-interval", "1", "--poll-interval", "1", *urls]
        at = self._command.index("dev")
        self._command[at : at + 3] = served  # in the place of `dev APP --no-reload`
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for program in self._programs:
            self._open.callback(_killed, self._started(program))
        super().__enter__()
        for program in self._programs:
            self.wait(lambda url=program.url: _answers(url), f"the app at {program.url} answers")  # type: ignore[misc]
        self.wait(lambda: len(self.get("/v1/functions")["data"]) > 0, "the apps are known")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._open.close()

    def _started(self, program: Program) -> subprocess.Popen[bytes]:
        engine = {"INNGEST_DEV": f"http://127.0.0.1:{self.port}"}
        with (self.folder / f"app-{program.port}.log").open("ab") as log:
            return subprocess.Popen(
                program.command,
                cwd=program.folder,
                env={**self._variables, **engine, **program.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _answers(url: str) -> bool:
    with _open(url, timeout=5) as answer:
        return bool(answer.status == 200)


def _killed(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
