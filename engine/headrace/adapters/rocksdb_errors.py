"""What RocksDB says, turned into the error that names the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from headrace.errors import HeadraceError, NotReady, StateCorrupted


def fail(error: Exception, folder: Path) -> NoReturn:
    """Raise StateCorrupted or NotReady for what RocksDB reports about `folder`, any other error as it is."""
    if type(error) is Exception or isinstance(error, OSError):
        raise _explain(str(error), folder) from error
    raise error  # rocksdict raises bare Exceptions for what RocksDB reports; the rest is a mistake of ours


def check_walked(iterator: Any, folder: Path) -> None:
    """An iterator that is not valid is at its end, or has met a damaged block."""
    try:
        iterator.status()
    except Exception as error:
        fail(error, folder)


def _explain(text: str, folder: Path) -> HeadraceError:
    if "lock hold by current process" in text or "While lock file" in text:
        return NotReady(
            "store_in_use",
            f"the store in {folder} is locked: {text}",
            why="Another process, or an older node in this one, has it open.",
            do="Stop that process, or give this node a data directory of its own: --data-dir or HEADRACE_DATA_DIR.",
        )
    if any(sign in text for sign in ("No space left", "File too large", "quota exceeded")):
        return NotReady(
            "store_disk_full",
            f"the store in {folder} cannot be written: {text}",
            why="The disk, or this user's share of it, is full. Nothing is lost: the log holds every row.",
            do="Free some space there, or move the data directory with --data-dir, and start the node again.",
        )
    damaged = ("Corruption", "No such file", "Invalid argument", "Not implemented", "NotFound")
    if text.startswith(damaged) or "No such file or directory" in text:
        return StateCorrupted(
            "store_damaged",
            f"the store in {folder} cannot be read: {text}",
            why="Its files were damaged, removed in part, or written by a newer version.",
            do="Nothing: it is wiped and restored from the log. If it comes back, have the disk checked.",
        )
    return NotReady(
        "store_unusable",
        f"the store in {folder} cannot be used: {text}",
        why="The operating system refuses, so wiping and restoring would not help.",
        do=f"Check the disk, the limits on open files and the permissions of {folder}.",
    )
