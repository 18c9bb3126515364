"""Which partitions run on this node, and take commands from each other without the log (`arrivals.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headrace.adapters.seams import BatchReport, Outgoing


class Handed:
    """Commands that were handed over together, until the commit that has applied the last of them is honoured."""

    __slots__ = ("left", "report")

    def __init__(self, left: int, report: BatchReport) -> None:
        self.left = left
        self.report = report


class Intake(Protocol):
    """What takes commands for a partition."""

    def take(self, source: int, batch: Sequence[Outgoing], report: BatchReport) -> None: ...


class Neighbours:
    """The machines of one node, by their partitions."""

    def __init__(self) -> None:
        self._arrivals: dict[int, Intake] = {}

    def open(self, partition: int, arrivals: Intake) -> None:
        """Let what is for a partition be handed to its machine from now on."""
        self._arrivals[partition] = arrivals

    def close(self, partition: int, arrivals: Intake) -> None:
        """Let it go over the log again."""
        if self._arrivals.get(partition) is arrivals:
            del self._arrivals[partition]

    def at(self, partition: int) -> Intake | None:
        """Find what takes commands for a partition; None where it does not run on this node."""
        return self._arrivals.get(partition)
