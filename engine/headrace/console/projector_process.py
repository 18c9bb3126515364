"""The node's side of the projection: starts its process, starts it again when it ends, and tells what it says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.adapters.kafka_settings import KafkaSettings, environment_name

logger = logging.getLogger("headrace.console")

_AGAIN_S_MIN = 1.0
_AGAIN_S_MAX = 60.0
_STEADY_S = 60.0  # one that lived that long is started again at once
_STOP_S = 5.0


class ProjectorProcess:
    """Keep the projection of one node running, in a process of its own.

    `topics` gives for each topic Kafka's id of it and its number of partitions; `options` are further words of the
    projector's command line, such as ["--runs-max", "1000"].
    """

    def __init__(
        self,
        settings: KafkaSettings,
        prefix: str,
        path: Path,
        topics: Mapping[str, tuple[str, int]],
        *,
        options: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._command = [
            *(sys.executable, "-m", "headrace.console.projector"),
            *("--kafka", settings.bootstrap, "--prefix", prefix, "--db", str(path)),
            *("--topics", json.dumps({name: list(found) for name, found in topics.items()})),
            *("--parent", str(os.getpid())),
            *options,
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Tell the id of the process, None while there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it, and go on starting it whenever it ends."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="console-projector")

    async def stop(self) -> None:
        """End it in good order, at most 5 s later."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _keep(self) -> None:
        delay_s = _AGAIN_S_MIN
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._run_once()
            if loop.time() - began >= _STEADY_S:
                delay_s = _AGAIN_S_MIN
            if status:
                logger.warning("the console's projection ended (exit status %s), again in %.0f s", status, delay_s)
            await asyncio.sleep(delay_s)
            if not status:
                # It was told to: by whoever stops the node as well (all of a service's processes get SIGTERM), so
                # that is worth a word only if the node still wants it.
                logger.info("the console's projection was stopped from outside and is started again")
            delay_s = min(delay_s * 2, _AGAIN_S_MAX)

    async def _run_once(self) -> int:
        self.starts += 1
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,  # held open: its end tells the process that the node is gone
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            # A session of its own: what a terminal sends to the whole group (Ctrl-C) is for the node, which ends this
            # process when it has drained, and needs it until then.
            start_new_session=True,
        )
        assert process.stderr is not None
        while said := await process.stderr.read(65_536):
            for line in said.decode("utf-8", "replace").splitlines():
                logger.info("projection: %s", line)
        return await process.wait()

    def _environment(self) -> dict[str, str]:
        # Passwords travel here and not on the command line, which everybody on the machine can read.
        further = {environment_name(name): value for name, value in self._settings.passthrough.items()}
        return {**os.environ, **further}
