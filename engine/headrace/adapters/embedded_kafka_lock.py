"""Files of the embedded Kafka that are the owner's alone: private ones, and a lock that says who holds it.

The lock is the kernel's (`flock`): it belongs to the open file, so whoever inherited the descriptor keeps it, and it is
gone the moment the last of them has died, however they died. What is written in the file is for people only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_POLL_S = 0.05


def open_private(path: Path) -> FileIO:
    """Open a new or emptied file for writing that nobody but its owner may read, whatever the umask says."""
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


class LockHeld(Exception):
    """Somebody else held the lock for the whole time; `holder` is what the file says about it."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by {holder}")
        self.path = path
        self.holder = holder


class FileLock:
    """A lock that is held from construction to `close`, or until the last process that inherited it has died.

    Waits up to `wait_s` seconds for whoever holds it, and tells `waiting` whom it waits for, once; raises LockHeld
    after that, and OSError if the file cannot be opened. Pass `descriptor` to a child process to let it hold the lock
    too.
    """

    def __init__(self, path: Path, *, wait_s: float, waiting: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        try:
            while not self._taken():
                if time.monotonic() >= deadline:
                    raise LockHeld(path, self._holder())
                if waiting is not None:
                    waiting(self._holder())
                    waiting = None
                time.sleep(_POLL_S)
        except BaseException:
            os.close(self.descriptor)
            raise

    def name_holder(self, holder: str) -> None:
        """Write into the file who holds it, for the message that the next one in line gives."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{holder}\n".encode(), 0)

    def close(self) -> None:
        """Let go; the lock goes on while a child that inherited it lives. Closing twice is harmless."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _holder(self) -> str:
        return self.path.read_text("utf-8", "replace").strip() or "an unknown process"

    def _taken(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
