"""A node's data directory: who may read it, who has it now, whether there is room, and where things lie in it.

    <folder>/            0700
      node.lock          held with flock while a process uses the folder; holds that process's id and command
      node.id            a uuid, made once: the node's default group instance id
      stores/            0700, one folder for each partition's local store

Everything in `stores/` is a cache of the log. `node.id` is worth keeping: with it a restarted node takes its partitions
back without a rebalance.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import time
import uuid
from pathlib import Path

from headrace.errors import NotReady

MIB = 1024 * 1024
FREE_BYTES_MIN = 256 * MIB
_POLL_S = 0.05


def partition_folder(stores: Path, partition: int) -> Path:
    """Name the folder of one partition's store."""
    return stores / f"partition-{partition:05d}"


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can enter (0700), also where it existed with wider permissions.

    Raises NotReady where it cannot be made or used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o777 != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise NotReady(
            "data_folder_unusable",
            f"{folder} cannot be made or used as a folder: {error.strerror or error}",
            why="A node keeps its local stores and its name in this folder.",
            do="Give the node a folder that its user owns: --data-dir or HEADRACE_DATA_DIR.",
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a small file that only its owner can read (0600), whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class DataFolder:
    """Take a node's data directory for this process; hold it until `close()`.

    `wait_s` is how long to wait for another process to let it go (a restart overlaps its predecessor).
    Raises NotReady if it cannot be made, is held by another process, or less than `free_bytes_min` is free.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0, free_bytes_min: int = FREE_BYTES_MIN) -> None:
        self.path = path.absolute()
        self.stores = self.path / "stores"
        make_private(self.path)
        self._descriptor = self._lock(wait_s)
        try:
            make_private(self.stores)
            self.check_free(free_bytes_min)
            self.node_id = self._node_id()
        except BaseException:
            self.close()
            raise

    def store(self, partition: int) -> Path:
        """Name the folder of one partition's store."""
        return partition_folder(self.stores, partition)

    def free_bytes(self) -> int:
        """Measure what this user may still write on the folder's file system."""
        return shutil.disk_usage(self.path).free

    def check_free(self, free_bytes_min: int = FREE_BYTES_MIN) -> None:
        """Refuse to go on with less than `free_bytes_min` free; raises NotReady."""
        free = self.free_bytes()
        if free < free_bytes_min:
            raise NotReady(
                "disk_nearly_full",
                f"{free // MIB} MiB are free under {self.path}, at least {free_bytes_min // MIB} MiB are needed",
                why="The local stores are written all the time, and a store that runs out of room stops its node.",
                do="Free some space or choose another folder: --data-dir or HEADRACE_DATA_DIR.",
            )

    def close(self) -> None:
        """Let the folder go; another process can take it at once. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)  # closing releases the flock; the file stays, as unlinking it would race
            self._descriptor = -1

    def _lock(self, wait_s: float) -> int:
        path = self.path / "node.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotReady(
                "data_folder_unusable",
                f"{path} cannot be opened: {error.strerror}",
                why="A lock keeps two processes from writing the same stores.",
                do=f"Make {self.path} writable for this user, or choose another folder with --data-dir.",
            ) from error
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    os.close(descriptor)
                    raise NotReady(
                        "data_folder_unusable",
                        f"{path} cannot be locked: {error.strerror}",
                        why="A lock keeps two processes from writing the same stores; some network disks have none.",
                        do="Keep the data directory on a local disk: --data-dir or HEADRACE_DATA_DIR.",
                    ) from error
                if time.monotonic() >= deadline:
                    holder = _read_holder(descriptor)
                    os.close(descriptor)
                    raise self._held(holder, wait_s) from None
            time.sleep(_POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n{_command()}\n".encode(), 0)
        return descriptor

    def _held(self, holder: str, wait_s: float) -> NotReady:
        waited = f", also after {wait_s:g} s" if wait_s else ""
        return NotReady(
            "data_folder_in_use",
            f"{self.path} is in use by {holder}{waited}",
            why="One process at a time: two would write the same stores and join under the same name.",
            do="Stop that process, or give this one a folder of its own: --data-dir or HEADRACE_DATA_DIR.",
        )

    def _node_id(self) -> str:
        path = self.path / "node.id"
        try:
            return str(uuid.UUID(path.read_text(encoding="utf-8").strip()))
        except FileNotFoundError:
            pass
        except (ValueError, OSError) as error:
            raise NotReady(
                "node_id_unreadable",
                f"{path} does not hold a uuid: {error}",
                why="It is the name under which this node joins its group; a wrong one would take over another's.",
                do=f"Delete {path}; a new one is made at the next start. Or name the node with --instance-id.",
            ) from error
        name = str(uuid.uuid4())
        write_private(path, name + "\n")
        return name


def _command() -> str:
    """The command as the user typed it, short enough for an error message."""
    return " ".join(sys.argv)[:200] or sys.executable


def _read_holder(descriptor: int) -> str:
    """Who wrote the lock file, for people: "process 123 (headrace dev app.py)"."""
    lines = os.pread(descriptor, 1000, 0).decode(errors="replace").splitlines()
    if not lines:
        return "another process that has just taken it"
    command = f" ({lines[1]})" if len(lines) > 1 else ""
    return f"process {lines[0]}{command}"
