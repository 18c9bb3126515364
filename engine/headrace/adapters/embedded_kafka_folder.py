"""The data folder of an embedded Kafka: whose it is, what is in it, and what its log says last."""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from headrace.adapters.embedded_kafka_lock import FileLock, LockHeld, open_private
from headrace.adapters.embedded_kafka_settings import (
    AFTER_A_KILL,
    CONFIG,
    CONSOLE,
    LOG,
    LOG_CONFIG,
    PORT,
    SCRATCH,
    TOPICS,
    broker_settings,
    java_environment,
    log_settings,
)
from headrace.errors import NotReady

_FORMAT_S = 60.0
_SHORT_LIVED = "-XX:TieredStopAtLevel=1"  # the tool is done before optimised code would pay
_NEW_TOPICS = Path("topics.new")
_TAIL_LINES = 12
_TAIL_BYTES = 16_384
_LITTLE_ROOM_BYTES = 64 * 1024 * 1024


class BrokerFolder:
    """A data folder, locked for one broker; every file in it is for its owner's eyes only.

    Waits up to `wait_s` for an earlier broker to let go, and tells `told` so at once, in a sentence. Raises NotReady if
    it does not, or if the folder is unusable.
    """

    def __init__(self, path: Path, *, wait_s: float, told: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._log_from = 0
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            self.lock = FileLock(
                path / "kafka.lock",
                wait_s=wait_s,
                waiting=lambda holder: told and told(f"{path} is in use by {holder}; waiting for it, {wait_s:.0f} s"),
            )
            self.lock.name_holder(f"process {os.getpid()}, which is starting Kafka")
            shutil.rmtree(path / SCRATCH, ignore_errors=True)
            for part in (SCRATCH, LOG.parent):
                (path / part).mkdir(mode=0o700, exist_ok=True)
        except LockHeld as held:
            raise NotReady(
                "kafka_folder_in_use",
                f"{path} is in use by {held.holder}; waited {wait_s:.0f} s",
                why="two brokers on one folder would destroy each other's data",
                do="stop that one, or name another folder with --data-dir",
            ) from held
        except OSError as error:
            raise self._unusable(error) from error

    def cluster_id(self) -> str | None:
        """Read which cluster's data the folder holds; None if it holds none yet."""
        try:
            lines = (self.path / TOPICS / "meta.properties").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return None
        return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), None)

    def format(self, java: Sequence[str], controller_port: int) -> str:
        """Lay out an empty folder for a new cluster, with Kafka's own tool; the id of the cluster.

        It happens beside its place and is renamed at the end, so a process that is killed half-way leaves nothing.
        """
        # Base64 of a UUID is how Kafka writes them; a leading "-" would read as an option.
        cluster_id = "-"
        while cluster_id.startswith("-"):
            cluster_id = urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        try:
            shutil.rmtree(self.path / _NEW_TOPICS, ignore_errors=True)
            settings = broker_settings(controller_port + 1, controller_port, {"log.dirs": str(_NEW_TOPICS)})
            self._write(CONFIG, settings)
            self._write(LOG_CONFIG, log_settings())
            tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id, "-c", str(CONFIG)]
            done = subprocess.run(
                [*java, _SHORT_LIVED, *tool],
                cwd=self.path,
                env=java_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_FORMAT_S,
                umask=0o077,
                # It keeps the folder locked if this process is killed meanwhile.
                pass_fds=[self.lock.descriptor],
            )
            if done.returncode != 0:
                with open_private(self.path / CONSOLE) as console:
                    console.write(done.stdout)
                self.fail("kafka_not_formatted", f"Kafka could not lay out {self.path}: exit status {done.returncode}")
            os.rename(self.path / _NEW_TOPICS, self.path / TOPICS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._unusable(error) from error
        return cluster_id

    def configure(self, port: int, controller_port: int, overrides: Mapping[str, str | int]) -> None:
        """Write the settings for one start, and remember where its log begins."""
        try:
            settings = {**(AFTER_A_KILL if self._was_killed() else {}), **overrides}
            self._write(CONFIG, broker_settings(port, controller_port, settings))
            self._write(LOG_CONFIG, log_settings())
        except OSError as error:
            raise self._unusable(error) from error
        log = self.path / LOG
        self._log_from = log.stat().st_size if log.exists() else 0

    def kept_port(self) -> int | None:
        """Read the port on which a broker of this folder was last ready; None if there was none."""
        try:
            port = int((self.path / PORT).read_text("ascii"))
        except (OSError, ValueError):
            return None
        return port if 0 < port < 65_536 else None

    def keep_port(self, port: int) -> None:
        """Note the port for the next start: whoever sends to it has written it down somewhere."""
        with suppress(OSError):  # without the note everything works, on another port next time
            self._write(PORT, f"{port}\n")

    def last_lines(self) -> str:
        """Read the end of what Kafka and its Java have written since `configure`."""
        log = self.path / LOG
        # Smaller than it was: it has been rolled over since.
        start = self._log_from if log.exists() and log.stat().st_size >= self._log_from else 0
        lines = _tail(log, start) + _tail(self.path / CONSOLE, 0)
        return "\n".join(lines[-_TAIL_LINES:])

    def fail(self, code: str, what: str) -> NoReturn:
        """Raise NotReady with the last lines of the log, and with the lack of room if that may be the cause."""
        why = ["its last lines were:", *(f"  {line}" for line in self.last_lines().splitlines())]
        if len(why) == 1:
            why = ["it wrote nothing into its log"]
        free = shutil.disk_usage(self.path).free
        if free < _LITTLE_ROOM_BYTES:
            why.append(f"the disk of {self.path} is as good as full: {free / 1e6:.0f} MB are free")
        raise NotReady(
            code, what, why="\n         ".join(why), do=f"mend the cause; the whole log is {self.path / LOG}"
        )

    def _was_killed(self) -> bool:
        # Kafka writes the first as soon as it runs, and leaves the second when it ends in good order.
        ran = (self.path / TOPICS / "__cluster_metadata-0" / "quorum-state").exists()
        return ran and not (self.path / TOPICS / ".kafka_cleanshutdown").exists()

    def _write(self, name: Path, text: str) -> None:
        with open_private(self.path / name) as file:
            file.write(text.encode())

    def _unusable(self, error: Exception) -> NotReady:
        return NotReady(
            "kafka_folder_unusable",
            f"Kafka cannot keep its data in {self.path}: {error}",
            why="its data, settings and log live in that folder",
            do="make room or give this user the right to write there, or name another folder with --data-dir",
        )


def _tail(path: Path, start: int) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    # Where in Kafka's code it happened helps nobody here, and would push the cause out of sight.
    return [line for line in lines if line.strip() and not line.startswith("\t")]
