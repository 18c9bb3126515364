"""Plan: the stages that a function declares, in the one order that all have.

    idempotency → rate limit → debounce → batch → singleton → pause → throttle → home

Each stage decides on the partition of its own key, so a `Start` travels from one to the next; those that decide on the
same partition are one visit. The last one is the home of the run: the partition of its first keyed concurrency limit,
which is where the run lives (its slots, its keyed state, its steps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Protocol

from headrace.records.definitions import Definition
from headrace.records.ids import partition_of
from headrace.records.rows import KnownEvent, Start
from headrace.state import Turn


class StageNumber(IntEnum):
    """The stages in their order. A `Start` carries the number of the last one that it has passed."""

    NONE = 0
    PRIORITY = 5
    IDEMPOTENCY = 10
    RATE_LIMIT = 20
    DEBOUNCE = 30
    BATCH = 40
    SINGLETON = 50
    PAUSE = 55
    THROTTLE = 60
    HOME = 70


class Stage(Protocol):
    """One gate on the way of a start. Made once for each definition; all state is the partition's."""

    @property
    def number(self) -> StageNumber: ...

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """What says on which partition this stage decides about it; None: wherever it is."""
        ...

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass now (True); or hold it in a row, or drop it with a verdict (False).

        The start carries this stage's number by now. One that was held goes on when the stage hands it to
        `turn.command` for its own partition.
        """
        ...


_known_partition = lru_cache(maxsize=16_384)(partition_of)


def place_partition(place: bytes, partitions: int) -> int:
    """Return the partition of a place; the hash takes longer than all else that a plan does."""
    return _known_partition(place, partitions) if len(place) <= 64 else partition_of(place, partitions)


class Plan:
    """The stages of one function."""

    __slots__ = ("forward", "gather", "stages")

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(sorted(stages, key=lambda stage: stage.number))
        first = self.stages[0] if self.stages else None
        # What a stage may have besides: `gather(turn, events)` takes in events of one name without starts, if nothing
        # else can become of them here, from the first on, and tells how many; `forward(turn, events)` sends all of them
        # to where they are gathered, if that is elsewhere, and tells whether it did; `know_later(stages)` tells it
        # which way its starts go from there.
        self.gather: Callable[[Turn, list[KnownEvent]], int] | None = getattr(first, "gather", None)
        self.forward: Callable[[Turn, list[KnownEvent]], bool] | None = getattr(first, "forward", None)
        for index, stage in enumerate(self.stages):
            know_later: Callable[[Sequence[Stage]], None] | None = getattr(stage, "know_later", None)
            if know_later is not None:
                know_later(self.stages[index + 1 :])

    def admit(self, turn: Turn, start: Start) -> bool:
        """Take a start as far as it gets here; True when it has passed everything, at its home."""
        for stage in self.stages:
            if stage.number <= start.stage:
                continue
            place = stage.place(turn, start)
            if place is not None:
                target = place_partition(place, turn.partitions)
                if target != turn.partition:
                    turn.command(target, start)
                    return False
            start.stage = stage.number
            if not stage.decide(turn, start):
                return False
        return True


# What makes each stage of a definition that declares it, and None for one that does not; filled by the package.
MAKERS: list[Callable[[Definition], Stage | None]] = []


def plan_of(definition: Definition, home: Stage | None = None) -> Plan | None:
    """Make the plan of a function, with its `home` stage; None for one that needs no stage, as most do not."""
    stages = [stage for stage in (make(definition) for make in MAKERS) if stage is not None]
    if home is not None:
        stages.append(home)
    return Plan(stages) if stages else None
