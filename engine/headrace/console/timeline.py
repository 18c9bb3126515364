"""Where the moments of a run stand on its timeline. Pure.

A run that computes for 200 ms and sleeps for three days shows nothing on an even scale. So long times in which no code
runs are drawn shorter than they are, marked as such; `even=True` draws every millisecond alike.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from headrace.console.steps import RunTold

_IDLE_PHASES = frozenset({"queued", "sleeping", "waiting", "backing_off", "parked", "no_code"})
_GAP_SHARE = 0.12  # of the width, for each time that is drawn shorter
_GAPS_SHARE_MAX = 0.6
_TICKS = 6
_STEPS_MS = tuple(
    factor * unit
    for unit, factors in (
        (1, (1, 2, 5, 10, 20, 50, 100, 200, 500)),
        (1_000, (1, 2, 5, 10, 15, 30)),
        (60_000, (1, 2, 5, 10, 15, 30)),
        (3_600_000, (1, 2, 3, 6, 12)),
        (86_400_000, (1, 2, 5, 10, 30, 90, 365)),
    )
    for factor in factors
)


class Gap(NamedTuple):
    """A time that is drawn shorter than it is."""

    begin_ms: int
    end_ms: int


class Tick(NamedTuple):
    """A mark on the axis: where (per cent) and how long after the beginning."""

    place: float
    after_ms: int


class Part(NamedTuple):
    """A part of the axis (per cent), and how long it is; a `cut` one is drawn shorter than it is."""

    begin: float
    end: float
    length_ms: int
    cut: bool


class Timeline:
    """From moments to places in per cent of the width."""

    def __init__(self, begin_ms: int, end_ms: int, gaps: Sequence[Gap]) -> None:
        self.begin_ms = begin_ms
        self.end_ms = max(end_ms, begin_ms + 1)
        active_ms = self.end_ms - begin_ms - sum(gap.end_ms - gap.begin_ms for gap in gaps)
        gaps = gaps if active_ms > 0 else []  # where nothing but waits is, none of them has to make room
        self.gaps = list(gaps)
        share = min(_GAP_SHARE, _GAPS_SHARE_MAX / len(gaps)) if gaps else 0.0
        per_ms = (1 - share * len(gaps)) / active_ms if gaps else 0.0
        self._moments = [begin_ms]
        self._places = [0.0]
        for gap in gaps:
            before = self._places[-1] + (gap.begin_ms - self._moments[-1]) * per_ms
            self._moments += [gap.begin_ms, gap.end_ms]
            self._places += [before, before + share]
        self._moments.append(self.end_ms)
        self._places.append(1.0)

    def place(self, moment_ms: int) -> float:
        """Tell where a moment stands, from 0 to 100; what is outside stands at the edge."""
        moment_ms = min(max(moment_ms, self.begin_ms), self.end_ms)
        right = min(bisect_right(self._moments, moment_ms), len(self._moments) - 1)
        from_ms, to_ms = self._moments[right - 1], self._moments[right]
        part = (moment_ms - from_ms) / (to_ms - from_ms) if to_ms > from_ms else 0.0
        return 100 * (self._places[right - 1] + part * (self._places[right] - self._places[right - 1]))

    def ticks(self) -> list[Tick]:
        """Give marks at round times after the beginning; they make sense on an even scale only."""
        length_ms = self.end_ms - self.begin_ms
        step_ms = next((step for step in _STEPS_MS if length_ms / step <= _TICKS), _STEPS_MS[-1])
        return [
            Tick(self.place(self.begin_ms + after_ms), after_ms)
            for after_ms in range(0, length_ms + 1, step_ms)
            if after_ms <= length_ms * 0.96
        ]

    def parts(self) -> list[Part]:
        """Give the times that are drawn shorter, and those between them."""
        edges = [(gap.begin_ms, gap.end_ms) for gap in self.gaps]
        found: list[Part] = []
        reached_ms = self.begin_ms
        for begin_ms, end_ms in [*edges, (self.end_ms, self.end_ms)]:
            for from_ms, to_ms, cut in ((reached_ms, begin_ms, False), (begin_ms, end_ms, True)):
                if to_ms > from_ms:
                    found.append(Part(self.place(from_ms), self.place(to_ms), to_ms - from_ms, cut))
            reached_ms = end_ms
        return found


def draw_timeline(told: RunTold, begin_ms: int, end_ms: int, *, even: bool = False) -> Timeline:
    """Choose the scale for a run that began and ended (or is now) at these moments."""
    if even:
        return Timeline(begin_ms, end_ms, [])
    busy = sorted(
        [
            (attempt.started_ms, attempt.ended_ms)
            for step in told.steps
            if step.op != "sleep"
            for attempt in step.attempts
        ]
        + [(part.begin_ms, part.end_ms) for part in told.stretches if part.phase not in _IDLE_PHASES]
    )
    idle: list[Gap] = []
    reached_ms = begin_ms
    for from_ms, to_ms in [*busy, (end_ms, end_ms)]:
        if from_ms > reached_ms:
            idle.append(Gap(reached_ms, min(from_ms, end_ms)))
        reached_ms = max(reached_ms, to_ms)
    length_ms = max(end_ms - begin_ms, 1)
    active_ms = length_ms - sum(gap.end_ms - gap.begin_ms for gap in idle)
    # Shortened is what would leave what happened less than a third of the width.
    long = [gap for gap in idle if gap.end_ms - gap.begin_ms > max(length_ms / 8, active_ms)]
    left_ms = length_ms - sum(gap.end_ms - gap.begin_ms for gap in long)
    return Timeline(begin_ms, end_ms, long if long and left_ms < length_ms / 3 and left_ms > 0 else [])
