"""A real Apache Kafka for development and tests: one broker in a process of its own, no Docker, no system Java.

    with EmbeddedKafka(Path(".headrace/kafka")) as kafka:
        Producer({"bootstrap.servers": kafka.bootstrap})

The broker keeps its data in the folder that it is given, listens on 127.0.0.1 only, and dies with the process that
started it. The parts: `_artifacts` and `_pins` (jars, Java), `_settings`, `_folder`, `_process` and `_supervisor`,
`_archive` (faster starts).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace.adapters.embedded_kafka_archive import ClassArchive
from headrace.adapters.embedded_kafka_artifacts import OTHER_BROKER, Fetch, cache_folder, find_java, resolve_classpath
from headrace.adapters.embedded_kafka_folder import BrokerFolder
from headrace.adapters.embedded_kafka_process import SupervisedProcess, free_port, serves_cluster, wait_until_free
from headrace.adapters.embedded_kafka_settings import CONFIG, CONSOLE, LOG, java_environment, java_options
from headrace.errors import NotReady

_STOP_S = 20.0
_ASK_EVERY_S = 0.02
_ANSWER_S = 1.0
_LAUNCHES_MAX = 3
_PORT_S = 0.5  # the folder's last broker lets go of its lock a moment before it lets go of its port
_CRASHES = (128 + 6, 128 + 7, 128 + 11)  # SIGABRT, SIGBUS, SIGSEGV


class EmbeddedKafka:
    """One Kafka broker on `data_dir`, which it has to itself; start it, use `bootstrap`, stop it.

    `port` None takes the one that the folder's last broker had, or at first `first_port`, or else a free one. A port
    that is named must be free. `ready_timeout_s` bounds the wait until the broker may be used, `handover_timeout_s` the
    wait until an earlier broker lets go of the folder; `told` hears of that wait at once, in a sentence.
    `settings` are further broker settings, `java` further options of Java. `cache` stands for the user's cache folder,
    `fetch` for jgo. `fast_start` lets it make and use an archive of classes.

    Every method blocks: call them from a thread where that matters. What stands in the way is raised as NotReady.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        first_port: int | None = None,
        told: Callable[[str], None] | None = None,
        ready_timeout_s: float = 60.0,
        handover_timeout_s: float = 20.0,
        settings: Mapping[str, str | int] | None = None,
        java: Sequence[str] = (),
        cache: Path | None = None,
        fetch: Fetch | None = None,
        fast_start: bool = True,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self._port = port
        self._first_port = first_port
        self._told = told
        self._ready_timeout_s = ready_timeout_s
        self._handover_timeout_s = handover_timeout_s
        self._settings = dict(settings or {})
        self._java = tuple(java)
        self._cache = cache or cache_folder()
        self._fetch = fetch
        self._fast_start = fast_start
        self._folder: BrokerFolder | None = None
        self._process: SupervisedProcess | None = None
        self._archive: ClassArchive | None = None

    @property
    def bootstrap(self) -> str:
        """Give the address for `bootstrap.servers`; it is known once the broker has been started."""
        if self._port is None:
            raise NotReady(
                "kafka_not_started",
                f"the embedded Kafka on {self.data_dir} has no address yet",
                why="its port is chosen when it starts",
                do="call start() first, or name a port",
            )
        return f"127.0.0.1:{self._port}"

    @property
    def log_path(self) -> Path:
        """Name the file into which the broker writes its warnings and errors."""
        return self.data_dir / LOG

    @property
    def running(self) -> bool:
        """Say whether the broker's process is there."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """Give the process id of the broker's Java, None if it does not run."""
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self) -> None:
        """Start the broker and wait until it may be used; nothing happens if it runs already."""
        if self.running:
            return
        self.kill()  # what is left of one that ended by itself
        if sys.platform == "win32":
            raise NotReady(
                "embedded_kafka_unsupported",
                "the embedded Kafka runs on Linux and macOS only",
                why="Kafka itself is not supported on Windows",
                do=OTHER_BROKER,
            )
        runtime = find_java()
        classpath = resolve_classpath(folder=self._cache, fetch=self._fetch)
        options = [*java_options(runtime.release), *self._java]
        folder = BrokerFolder(self.data_dir, wait_s=self._handover_timeout_s, told=self._told)
        try:
            self._refuse_taken_port()
            archive = ClassArchive(self._cache / "archives", runtime.executable, options, classpath)
            java = [str(runtime.executable), *options, "-cp", os.pathsep.join(map(str, classpath))]
            if (cluster_id := folder.cluster_id()) is None:
                reading = archive.options() if self._fast_start and archive.path.exists() else []
                cluster_id = folder.format([java[0], *reading, *java[1:]], free_port())
            self._launch(folder, archive, java, cluster_id)
        finally:
            # From here on the lock is the broker's own: it inherited it, and it is gone when the broker is.
            folder.lock.close()
        self._folder = folder

    def stop(self) -> None:
        """Let the broker close its files and end; killed if that takes more than 20 s. Harmless if it does not run."""
        if self._archive is not None:
            self._archive.stop()
        if self._process is not None:
            self._process.terminate(_STOP_S)
        self._process = self._archive = None

    def kill(self) -> None:
        """End the broker like a power cut (SIGKILL) and wait until it is gone; what it acknowledged stays on disk."""
        if self._process is not None:
            self._process.kill()
        if self._archive is not None:
            self._archive.stop()
        self._process = self._archive = None

    def raise_if_dead(self) -> None:
        """Raise NotReady with the end of its log if a broker that was started, and not stopped, has ended."""
        if self._process is not None and self._folder is not None and not self._process.running:
            status = self._process.exit_status
            self._folder.fail("kafka_died", f"the embedded Kafka on {self.data_dir} ended, exit status {status}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, folder: BrokerFolder, archive: ClassArchive, java: Sequence[str], cluster_id: str) -> None:
        for launch in range(1, _LAUNCHES_MAX + 1):
            port = self._port or self._wanted_port(folder, launch)
            controller_port = free_port(taken=[port])
            folder.configure(port, controller_port, self._settings)
            sharing = archive.options() if self._fast_start else []
            process = SupervisedProcess(
                [java[0], *sharing, *java[1:], "kafka.Kafka", str(CONFIG)],
                folder=self.data_dir,
                output=self.data_dir / CONSOLE,
                environment=java_environment(),
                held=[folder.lock.descriptor],
            )
            try:
                folder.lock.name_holder(
                    f"Kafka (process {process.pid}) on 127.0.0.1:{port}, started by process {os.getpid()}"
                )
                if self._becomes_ready(folder, process, port, cluster_id):
                    folder.keep_port(port)
                    self._port, self._process, self._archive = port, process, archive
                    if self._fast_start:
                        archive.make_in_background(self.data_dir)
                    return
                if launch == _LAUNCHES_MAX or not self._worth_again(folder, process, archive):
                    folder.fail(
                        "kafka_died",
                        f"the embedded Kafka on {self.data_dir} ended before it was ready, "
                        f"exit status {process.exit_status}",
                    )
            except BaseException:
                process.kill()
                raise
            process.kill()

    def _wanted_port(self, folder: BrokerFolder, launch: int) -> int:
        """Choose a port where none is named; somebody else took the first choice if there is a second launch."""
        wanted = folder.kept_port() or self._first_port
        return wanted if wanted and launch == 1 and wait_until_free(wanted, _PORT_S) else free_port()

    def _refuse_taken_port(self) -> None:
        if self._port is not None and not wait_until_free(self._port, _PORT_S):
            raise NotReady(
                "kafka_port_taken",
                f"127.0.0.1:{self._port} is in use",
                why="something else listens there, perhaps another Kafka",
                do="stop it, or name another port: headrace dev --kafka-port, headrace kafka --port",
            )

    def _becomes_ready(self, folder: BrokerFolder, process: SupervisedProcess, port: int, cluster_id: str) -> bool:
        deadline = time.monotonic() + self._ready_timeout_s
        while process.running:
            if serves_cluster(port, cluster_id, _ANSWER_S):
                return True
            if time.monotonic() >= deadline:
                folder.fail(
                    "kafka_not_ready",
                    f"the embedded Kafka did not answer on 127.0.0.1:{port} within {self._ready_timeout_s:.0f} s",
                )
            time.sleep(_ASK_EVERY_S)
        return False

    def _worth_again(self, folder: BrokerFolder, process: SupervisedProcess, archive: ClassArchive) -> bool:
        """Say whether another launch may do better than the one that just died."""
        if process.exit_status in _CRASHES and self._fast_start and archive.drop():
            return True
        # Somebody else took a port between our choice and Kafka's bind; one that was named stays as it is.
        return "Address already in use" in folder.last_lines()
