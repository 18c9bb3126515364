"""Young runs. Goal: those that live on are announced once, and nothing is asked of a store that is closed."""

from __future__ import annotations

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.memory_store import MemoryStores
from headrace.execution import InProcess
from headrace.records.commands import AnnounceRuns, AnyCommand
from headrace.records.rows import Run
from headrace.testing import World
from headrace.worker.counters import Counters
from headrace.worker.layout import Limits, Topics
from headrace.worker.overlay import Overlay
from headrace.worker.surroundings import Surroundings
from headrace.worker.young import YoungRuns
from tests.worker.hand import HandAppender, HandLoop

A, B, C = (letter * 26 for letter in "ABC")


class Watching:
    """Young runs over an overlay in memory."""

    def __init__(self) -> None:
        self.loop = HandLoop()
        self.store = MemoryStores().open(0)
        self.overlay = Overlay(self.store)
        self.submitted: list[AnyCommand] = []
        clock = ManualClock(lambda: self.loop.now_s)
        with World() as world:
            reader, execution = world.cluster.node("n").reader(), InProcess({}, world.loop, clock)
            log = world.cluster.node("n").partitions()
        appender = HandAppender()
        limits = Limits(announce_after_ms=200)
        around = Surroundings(
            "n", 1, Topics(), limits, self.loop, clock, appender, appender, reader, execution, log, Counters()
        )
        self.young = YoungRuns(around, self.overlay, self.submitted.append)

    def start(self, *run_ids: str) -> None:
        for run_id in run_ids:
            self.overlay.runs.put(run_id.encode(), Run("f", 1, []))
            self.overlay.steps.open_group(run_id.encode())
        self.young.add(list(run_ids))


def test_what_lives_on_is_announced_once_and_together() -> None:
    watching = Watching()
    watching.start(A, B)
    watching.loop.advance(0.05)
    watching.start(C)
    watching.overlay.runs.delete(B.encode())
    watching.loop.advance(1)
    assert watching.submitted == [AnnounceRuns([A, C])]


def test_what_is_announced_already_is_not_announced_again() -> None:
    watching = Watching()
    watching.overlay.runs.put(A.encode(), Run("f", 1, [], announced=True))
    watching.overlay.steps.open_group(A.encode())
    watching.young.add([A])
    watching.loop.advance(1)
    assert watching.submitted == []


def test_after_the_close_nothing_is_asked_of_the_store() -> None:
    watching = Watching()
    watching.start(A)
    watching.overlay.runs.active.cached.clear()
    watching.young.close()
    watching.store.close()
    watching.young.add([])
    watching.loop.advance(1)
    assert watching.submitted == []
