"""Shows how far the restore of this node's partitions is: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from headrace.cli.logs import tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from headrace.adapters.seams import Clock, Handle, Loop
    from headrace.worker.ownership import Ownership

_LOOK_S = 0.25
_PATIENCE_MS = 1_000  # a restore that is over by then is nobody's concern
_SAY_EVERY_MS = 5_000


class Standing(NamedTuple):
    """How far all restores of a node are together, in records."""

    partitions: tuple[int, ...]
    done: int
    total: int


def standing_of(owned: Mapping[int, Ownership]) -> Standing:
    """Add up the restores that are under way."""
    partitions, done, total = [], 0, 0
    for partition, ownership in sorted(owned.items()):
        if ownership.state.value != "restoring" or ownership.restore is None:
            continue
        progress = ownership.restore.progress
        partitions.append(partition)
        done += max(0, progress.position - progress.first)
        total += max(0, progress.end - progress.first)
    return Standing(tuple(partitions), done, total)


class RestoreWatch:
    """Looks at the node's restores every so often, until it is closed."""

    def __init__(self, loop: Loop, clock: Clock, look: Callable[[], Standing]) -> None:
        self._loop = loop
        self._clock = clock
        self._look = look
        self._since_ms = -1
        self._said_ms = 0
        self._most = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._timer: Handle | None = loop.call_later(_LOOK_S, self._tick)

    def close(self) -> None:
        """Stop looking, take the bar away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._remove_bar()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_LOOK_S, self._tick)
        now_ms = self._clock.monotonic_ms()
        standing = self._look()
        if not standing.partitions:
            self._finish(now_ms)
            return
        if self._since_ms < 0:
            self._since_ms, self._said_ms = now_ms, now_ms
        self._most = max(self._most, len(standing.partitions))
        if now_ms - self._since_ms < _PATIENCE_MS:
            return
        if sys.stderr.isatty():
            self._draw(standing)
        elif now_ms - self._said_ms >= _SAY_EVERY_MS:
            self._said_ms = now_ms
            tell(
                "restoring",
                f"{len(standing.partitions)} partitions are restored: {standing.done} of {standing.total} records",
            )

    def _finish(self, now_ms: int) -> None:
        if self._since_ms < 0:
            return
        took_ms = now_ms - self._since_ms
        self._remove_bar()
        if took_ms >= _PATIENCE_MS:
            tell("restored", f"{self._most} partitions are restored, in {took_ms / 1000:.1f} s")
        self._since_ms, self._most = -1, 0

    def _draw(self, standing: Standing) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._task = self._bar.add_task("")
            self._bar.start()
        assert self._task is not None
        what = f"Restoring {len(standing.partitions)} of {self._most} partitions"
        self._bar.update(self._task, description=what, completed=standing.done, total=max(1, standing.total))

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
