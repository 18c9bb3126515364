"""Sources that cannot be read on: tried again and shown while it lasts, or stopped for the operator to decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.adapters.seams import ReadFailure
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.errors import StateCorrupted
from headrace.records.rows import Positions
from headrace.worker.layout import Topics
from headrace.worker.source_trouble import SourceTrouble, may_skip


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


class Sources:
    def __init__(self) -> None:
        self.again: list[tuple[str, int]] = []
        self.skipped: list[tuple[str, int, int]] = []

    def read_again(self, topic: str, partition: int) -> None:
        self.again.append((topic, partition))

    def skip_to(self, topic: str, partition: int, offset: int) -> None:
        self.skipped.append((topic, partition, offset))


class Machine:
    def __init__(self) -> None:
        self.sources = Sources()
        self.positions = Positions(commands=5, events={0: 20})


class Scene:
    """A partition whose source fails, on a virtual loop; it is its own `Keep`."""

    def __init__(self, loop: VirtualLoop, bounds: tuple[int, int] | None = None, skip_expired: bool = False) -> None:
        self.loop = loop
        self.machine: Any = Machine()
        self.skip_expired = skip_expired
        self.partitions: Any = self
        self.told: list[str] = []
        self.shown: list[StateCorrupted | None] = []
        self._bounds = bounds
        self.trouble = SourceTrouble(self, self.loop, Topics("t"), lambda: self.machine, self.shown.append)

    def bounds(self, topic: str, partition: int, told: Any) -> None:
        told(self._bounds, None if self._bounds else "nobody answers")

    def tell(self, code: str, sentence: str) -> None:
        self.told.append(code)

    def fail(self, failure: ReadFailure = ReadFailure.REFUSED, topic: str = "t.events") -> None:
        self.trouble.take(topic, 0, failure, "not authorised")


def test_a_refused_source_is_read_again_and_told_once(loop: VirtualLoop) -> None:
    scene = Scene(loop)
    scene.fail()
    for _ in range(3):
        scene.loop.advance(5.5)
        scene.fail()
    assert scene.machine.sources.again == [("t.events", 0)] * 3
    assert scene.told == ["source_unreadable"]
    shown = scene.shown[-1]
    assert shown is not None
    assert "not authorised" in shown.what
    scene.loop.advance(25.0)
    assert scene.told == ["source_unreadable", "source_reads_again"]
    assert scene.shown[-1] is None


def test_a_machine_that_has_ended_reads_nothing_again(loop: VirtualLoop) -> None:
    scene = Scene(loop)
    sources = scene.machine.sources
    scene.fail()
    scene.trouble.forget()
    scene.loop.advance(30)
    assert sources.again == []
    scene.fail()
    scene.machine = None
    scene.loop.advance(30)
    assert sources.again == []


@pytest.mark.parametrize(("topic", "skip"), [("t.events", False), ("t.commands", False), ("t.commands", True)])
def test_records_that_are_gone_stop_it_loudly(topic: str, skip: bool, loop: VirtualLoop) -> None:
    scene = Scene(loop, bounds=(30, 40), skip_expired=skip)
    scene.fail(ReadFailure.OUT_OF_RANGE, topic)
    scene.loop.advance(60)
    assert scene.told == ["source_stopped"]
    assert scene.trouble.records_gone == (10 if topic == "t.events" else 25)
    assert (scene.machine.sources.again, scene.machine.sources.skipped) == ([], [])


def test_gone_events_are_skipped_if_the_operator_said_so(loop: VirtualLoop) -> None:
    scene = Scene(loop, bounds=(30, 40), skip_expired=True)
    scene.fail(ReadFailure.OUT_OF_RANGE)
    assert scene.machine.sources.skipped == [("t.events", 0, 30)]
    assert scene.told == ["records_skipped"]
    assert scene.trouble.records_gone == 10


def test_bounds_that_nobody_tells_are_asked_for_again(loop: VirtualLoop) -> None:
    scene = Scene(loop)
    scene.fail(ReadFailure.OUT_OF_RANGE)
    scene.loop.advance(6)
    assert scene.machine.sources.again == [("t.events", 0)]


def test_what_was_never_read_is_owed_to_nobody() -> None:
    assert may_skip(0, (7, 9), skip_expired=False)
    assert not may_skip(5, (7, 9), skip_expired=False)
    assert may_skip(5, (7, 9), skip_expired=True)
    assert not may_skip(9, (0, 7), skip_expired=True)
