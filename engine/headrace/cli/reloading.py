"""Notices that the user's files have changed, on a thread of its own; `headrace dev` loads them again then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from headrace.adapters.kafka_loop import ThreadsafeLoop, post

_LOOK_S = 0.25

Mark = tuple[int, int]


class FileWatch:
    """Calls `changed(paths)` on the loop when files have changed and are quiet again (an editor writes in steps)."""

    def __init__(
        self,
        loop: ThreadsafeLoop,
        files: Iterable[Path],
        changed: Callable[[frozenset[Path]], None],
        *,
        look_s: float = _LOOK_S,
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._look_s = look_s
        self._marks = {path: mark(path) for path in files}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="file-watch", daemon=True)
        self._thread.start()

    def watch(self, files: Iterable[Path]) -> None:
        """Watch these files from now on; those that were watched before keep their marks."""
        with self._lock:
            self._marks = {path: self._marks.get(path) or mark(path) for path in files}

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        moving: set[Path] = set()
        while not self._ended.wait(self._look_s):
            now = self._look()
            moving |= now
            if moving and not now:
                changed, moving = frozenset(moving), set()
                if not post(self._loop, self._changed, changed):
                    return

    def _look(self) -> set[Path]:
        with self._lock:
            changed = {path for path, before in self._marks.items() if mark(path) != before}
            for path in changed:
                self._marks[path] = mark(path)
            return changed


def mark(path: Path) -> Mark:
    """Tell a file's state apart from any other: its time of change and its size; (0, 0) for a file that is gone."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
