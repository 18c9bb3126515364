"""What becomes of a source that cannot be read on: records that are gone from the log, and refusals by Kafka.

Records that were lost unread stop it until the operator says that it may go on without them. Anything else is tried
again for as long as the partition is here, and shown as long as it lasts: rights are granted while nodes run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from headrace.adapters.seams import Loop, Partitions, ReadFailure
from headrace.errors import StateCorrupted
from headrace.worker.layout import Topics
from headrace.worker.machine import Machine

_AGAIN_S = 5.0
_WELL_S = 15.0  # without another failure; the reader itself waits 10 s for errors that may pass


class Keep(Protocol):
    """What is used of an ownership's surroundings."""

    @property
    def partitions(self) -> Partitions: ...

    @property
    def skip_expired(self) -> bool: ...

    @property
    def tell(self) -> Callable[[str, str], None]: ...


class SourceTrouble:
    """The sources of one partition's machine that do not read on."""

    def __init__(
        self,
        keep: Keep,
        loop: Loop,
        topics: Topics,
        machine: Callable[[], Machine | None],
        show: Callable[[StateCorrupted | None], None],
    ) -> None:
        self._keep = keep
        self._loop = loop
        self._topics = topics
        self._machine = machine
        self._show = show
        self._failures: dict[tuple[str, int], int] = {}  # of those that are tried again: how often each has failed
        self.records_gone = 0

    def take(self, topic: str, partition: int, failure: ReadFailure, text: str) -> None:
        """Take note that a source of the machine has stopped."""
        machine = self._machine()
        if failure is ReadFailure.OUT_OF_RANGE:
            self._keep.partitions.bounds(topic, partition, partial(self._bounded, machine, topic, partition))
        else:
            self._try_again(machine, topic, partition, f"it cannot be read: {text}")

    def _bounded(
        self,
        machine: Machine | None,
        topic: str,
        partition: int,
        bounds: tuple[int, int] | None,
        error: str | None,
    ) -> None:
        if machine is None or machine is not self._machine():  # the claim has changed hands meanwhile
            return
        at_commands = topic == self._topics.commands
        position = machine.positions.commands if at_commands else machine.positions.events.get(partition, 0)
        if bounds is None:
            self._try_again(machine, topic, partition, f"its bounds cannot be read: {error}")
            return
        gone = bounds[0] - position
        if at_commands or not may_skip(position, bounds, self._keep.skip_expired):
            self.records_gone += max(gone, 0)
            found = f"the next offset to read is {position}, the log holds {bounds[0]} to {bounds[1]}"
            self._tell(source_stopped(topic, partition, found, expired=gone > 0))
            return
        if position:
            self.records_gone += gone
            what = f"{topic}[{partition}]: {gone} records have expired unread and are skipped"
            self._keep.tell("records_skipped", what)
        machine.sources.skip_to(topic, partition, bounds[0])

    def _tell(self, error: StateCorrupted) -> None:
        self._show(error)
        self._keep.tell(error.code, str(error))

    def _try_again(self, machine: Machine | None, topic: str, partition: int, found: str) -> None:
        place = (topic, partition)
        failures = self._failures[place] = self._failures.get(place, 0) + 1
        if failures == 1:
            self._tell(source_unreadable(topic, partition, found))
        self._loop.call_later(_AGAIN_S, self._again, machine, place, failures)

    def _again(self, machine: Machine | None, place: tuple[str, int], failures: int) -> None:
        if machine is None or machine is not self._machine() or self._failures.get(place) != failures:
            return
        machine.sources.read_again(*place)
        self._loop.call_later(_WELL_S, self._look, machine, place, failures)

    def _look(self, machine: Machine, place: tuple[str, int], failures: int) -> None:
        if machine is not self._machine() or self._failures.get(place) != failures:
            return
        del self._failures[place]
        self._keep.tell("source_reads_again", f"{place[0]}[{place[1]}] is read again")
        if not self._failures:
            self._show(None)

    def forget(self) -> None:
        """Forget what concerned a machine that has ended."""
        if self._failures:
            self._failures.clear()
            self._show(None)


def may_skip(position: int, bounds: tuple[int, int], skip_expired: bool) -> bool:
    """Tell whether reading may go on at the log's start.

    Position 0 means that the partition has never read it: events from before Headrace was there are owed to nobody.
    Otherwise records were lost unread, and only the operator's setting permits to go on without them.
    """
    return bounds[0] > position and (skip_expired or position == 0)


def source_stopped(topic: str, partition: int, found: str, *, expired: bool) -> StateCorrupted:
    """Say that a source is not read any more."""
    if expired:
        why = "records were deleted before they were applied"
        do = "lengthen the topic's retention; to go on without them start the node with HEADRACE_SKIP_EXPIRED=1"
    else:
        why = "the topic is shorter than what was read of it: it was truncated or made anew"
        do = "look at the topic, then start the node again"
    return StateCorrupted("source_stopped", f"{topic}[{partition}] is not read any more: {found}", why=why, do=do)


def events_replaced(topic: str, known: str, found: str) -> StateCorrupted:
    """Say that the events topic is another one than that of which the partition has read so far."""
    return StateCorrupted(
        "events_topic_replaced",
        f"{topic} has the id {found}; this partition has read the one with the id {known}",
        why="the topic was deleted and made anew: what was unread in the old one is gone, and its offsets mean nothing",
        do="to read the new one from its first record start the node with HEADRACE_SKIP_EXPIRED=1",
    )


def source_unreadable(topic: str, partition: int, found: str) -> StateCorrupted:
    """Say that a source is not read for now."""
    return StateCorrupted(
        "source_unreadable",
        f"{topic}[{partition}] is not read: {found}; it is tried again every {_AGAIN_S:.0f} s",
        why="Kafka refuses it: this client has no right to it, or the topic is gone",
        do="grant the rights that `headrace topics acls` prints, or look at the topic; nothing is lost meanwhile",
    )
