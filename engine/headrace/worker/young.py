"""Young runs: those that were started a moment ago and are not to be seen in the history unless they live on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headrace.adapters.seams import Handle
from headrace.records.commands import AnnounceRuns, AnyCommand
from headrace.records.rows import Phase
from headrace.worker.overlay import Overlay
from headrace.worker.surroundings import Surroundings


class YoungRuns:
    """Has runs announced (`runs/announce.py`) that are alive after a moment; one machine's."""

    def __init__(self, around: Surroundings, overlay: Overlay, submit: Callable[[AnyCommand], None]) -> None:
        self._loop = around.loop
        self._clock = around.clock
        self._after_ms = around.limits.announce_after_ms
        self._overlay = overlay
        self._submit = submit
        self._started: deque[tuple[int, list[str], bool]] = deque()
        self._timer: Handle | None = None

    def add(self, run_ids: list[str], *, queued: bool = False) -> None:
        """Take note of runs whose code was started now, or that began to wait for a slot."""
        if not run_ids:
            return
        self._started.append((self._clock.monotonic_ms(), run_ids, queued))
        if self._timer is None:
            self._timer = self._loop.call_later(self._after_ms / 1000, self._look)

    def _look(self) -> None:
        self._timer = None
        before_ms = self._clock.monotonic_ms() - self._after_ms // 2
        overlay = self._overlay
        alive: list[str] = []
        while self._started and self._started[0][0] <= before_ms:
            _, run_ids, queued = self._started.popleft()
            for run_id in run_ids:
                key = run_id.encode()
                run = overlay.runs.get(key) if queued or overlay.steps.may_be_open(key) else None
                if run is not None and (run.phase == Phase.QUEUED if queued else not run.announced):
                    alive.append(run_id)
        if alive:
            self._submit(AnnounceRuns(alive))
        if self._started:
            self._timer = self._loop.call_later(self._after_ms / 1000, self._look)

    def close(self) -> None:
        """Announce nothing any more."""
        self._started.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
