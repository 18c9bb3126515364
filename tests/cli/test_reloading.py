"""Watching the user's files. Goal: every change is noticed once, when it is complete."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from headrace.cli.reloading import FileWatch

DEADLINE_S = 10.0


async def seen(changes: asyncio.Queue[frozenset[Path]]) -> frozenset[Path]:
    """Wait for the next change."""
    return await asyncio.wait_for(changes.get(), DEADLINE_S)


def played(play: Callable[[FileWatch, asyncio.Queue[frozenset[Path]]], object], *files: Path) -> None:
    """Run a scene with a watch on some files."""

    async def scene() -> None:
        changes: asyncio.Queue[frozenset[Path]] = asyncio.Queue()
        watch = FileWatch(asyncio.get_running_loop(), files, changes.put_nowait, look_s=0.01)
        try:
            await play(watch, changes)  # type: ignore[misc]
        finally:
            watch.close()

    asyncio.run(scene())


def test_changes_are_noticed_whatever_they_are(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("1")

    async def play(watch: FileWatch, changes: asyncio.Queue[frozenset[Path]]) -> None:
        first.write_text("22")
        assert await seen(changes) == {first}
        second.write_text("new")
        assert await seen(changes) == {second}
        # The same size, only the time differs.
        status = first.stat()
        os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        assert await seen(changes) == {first}
        first.unlink()
        assert await seen(changes) == {first}
        assert changes.empty()

    played(play, first, second)


def test_files_that_are_added_are_watched_from_then_on(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("1")
    second.write_text("1")

    async def play(watch: FileWatch, changes: asyncio.Queue[frozenset[Path]]) -> None:
        watch.watch([first, second])
        second.write_text("22")
        assert await seen(changes) == {second}

    played(play, first)
