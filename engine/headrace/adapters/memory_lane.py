"""The way of one producer's records to one partition: what is in flight, what has landed, and what goes wrong on it."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from headrace.adapters.memory_network import Fate
from headrace.adapters.seams import AppendReport, BatchReport

if TYPE_CHECKING:
    from headrace.adapters.memory_appender import MemoryAppender
    from headrace.adapters.memory_log import Headers, MemoryPartition

# When a record that could not be delivered is reported as failed.
DELIVERY_S = 30.0
_NO_PLACE = "unknown topic or partition"
_TOO_LARGE = "the record is larger than the topic takes"
_TIMED_OUT = "the record timed out"

Content: TypeAlias = "tuple[bytes | None, bytes | None, Headers | None]"
# (number of the call, whom to tell, index within its batch or -1, key, value, headers)
Entry: TypeAlias = "tuple[int, AppendReport | Batch, int, bytes | None, bytes | None, Headers | None]"


class Batch:
    """A batch that is sent over several lanes and reported once."""

    __slots__ = ("failed", "remaining", "report")

    def __init__(self, report: BatchReport, count: int) -> None:
        self.report = report
        self.remaining = count
        self.failed: int | None = None

    def note(self, index: int, error: str | None) -> bool:
        """Take note of one record; True when it was the last one."""
        if error is not None and (self.failed is None or index < self.failed):
            self.failed = index
        self.remaining -= 1
        return self.remaining == 0


class Flight:
    """Records that were sent together; once landed, with their offsets and errors."""

    __slots__ = ("at", "entries", "errors", "offsets", "told")

    def __init__(self, at: float) -> None:
        self.at = at
        self.entries: list[Entry] = []
        self.offsets: list[int] = []
        self.errors: dict[int, str] | None = None
        self.told = 0

    def fail_all(self, text: str) -> None:
        """Let every record of it be reported as failed."""
        self.offsets = [-1] * len(self.entries)
        self.errors = dict.fromkeys(range(len(self.entries)), text)


class Lane:
    """One producer's records for one partition.

    There is a timer for every flight, and each takes the flight at the front: so the order holds whatever was drawn.
    """

    __slots__ = (
        "_cluster",
        "_flying",
        "_found",
        "_late",
        "_network",
        "_node",
        "_open",
        "_owner",
        "_place",
        "_rest",
        "dead",
        "landed",
    )

    def __init__(self, owner: MemoryAppender, topic: str, partition: int) -> None:
        self._owner = owner
        self._node = owner.node
        self._cluster = owner.node.cluster
        self._network = owner.node.network
        self._place = (topic, partition)
        self._found: MemoryPartition | None = None
        self._open: Flight | None = None  # what was sent in this instant
        self._flying: deque[Flight] = deque()
        self._late: deque[Content] = deque()  # reported as failed, and still on its way
        self._rest: list[Content] = []  # what flew with a record whose fate was fatal, and behind it
        self.landed: deque[Flight] = deque()
        self.dead = False

    def add(self, entry: Entry) -> None:
        """Send a record."""
        now = self._cluster.loop.time()
        flight = self._open
        if flight is None or flight.at != now:
            flight = self._open = Flight(now)
            self._flying.append(flight)
            self._cluster.later(self._network.delay(), self._arrive)
        flight.entries.append(entry)

    def open_entries(self) -> list[Entry]:
        """List what has not been reported."""
        entries = [entry for flight in self.landed for entry in flight.entries[flight.told :]]
        return entries + [entry for flight in self._flying for entry in flight.entries]

    def hurry(self) -> list[Entry]:
        """Land and report at once what nothing holds up; returns the rest, which lands no more."""
        while self._flying and not self._node.blocked_until(self._partition()):
            self._land()
        for _ in self.landed:
            self._cluster.loop.call_soon(self._node.call, self._owner.tell, self)
        held_up = [entry for flight in self._flying for entry in flight.entries]
        self._flying.clear()
        return held_up

    def die(self) -> None:
        """End with the producer: of what is in flight, some first ones may still land, some time."""
        self.dead = True
        contents = [*self._late, *self._rest, *(entry[3:] for flight in self._flying for entry in flight.entries)]
        self._flying.clear()
        self._late.clear()
        self._open = None
        for content in contents:
            if not self._survives(content):
                break

    def _survives(self, content: Content) -> bool:
        """Draw whether a record of a dead producer still lands, some time; if not, nor does what was sent after it."""
        if not self._network.strikes("landed_after_death"):
            return False
        self._late.append(content)
        self._cluster.later(self._network.between(self._network.faults.late_delay_ms), self._arrive_late)
        return True

    # --- landing ------------------------------------------------------------------------------------------------

    def _partition(self) -> MemoryPartition | None:
        partition = self._found
        if partition is None or partition.gone:
            partition = self._found = self._cluster.partition(*self._place)
        return partition

    def _arrive(self) -> None:
        if not self._flying:
            return
        until = self._node.blocked_until(self._partition())
        if not until:
            self._land()
        elif until == inf and not self._network.coin():
            # Stopped before it was sent: it goes out when the node goes on, stale as it may be by then.
            self._node.when_thawed(self._thaw)
        elif until == inf:
            self._land()  # it had left the node before that was stopped
        else:
            now, expires = self._cluster.loop.time(), self._flying[0].at + DELIVERY_S
            if now >= expires:
                self._give_up(until - now)
            else:
                self._cluster.later(min(until, expires) - now, self._arrive)

    def _thaw(self) -> None:
        if self._flying:
            self._network.struck["append_by_zombie"] += 1
            self._arrive()

    def _give_up(self, seconds: float) -> None:
        """The record at the front has waited too long: it is reported as failed, and may be there afterwards."""
        flight = self._take_off()
        self._network.struck["append_timed_out"] += 1
        if self._network.coin():
            for entry in flight.entries:
                self._late.append(entry[3:])
                self._cluster.later(seconds, self._arrive_late)
        flight.fail_all(_TIMED_OUT)
        self.landed.append(flight)
        self._cluster.later(0, self._tell)

    def _take_off(self) -> Flight:
        flight = self._flying.popleft()
        if flight is self._open:
            self._open = None
        return flight

    def _land(self) -> None:
        flight = self._take_off()
        self.landed.append(flight)  # before anything happens to it: it is open until it is reported
        partition = self._partition()
        delay = self._network.delay()
        if partition is None:
            flight.fail_all(_NO_PLACE)
        else:
            if self._network.reliable:
                if self._late:
                    self._overtake(partition)
                self._put_all(flight, partition)
            else:
                delay += self._put_each(flight, partition)
            partition.tell()
        if not self.dead:
            self._cluster.later(delay, self._tell)

    def _put_all(self, flight: Flight, partition: MemoryPartition) -> None:
        limit, now_ms = partition.topic.record_bytes_max, self._cluster.clock.wall_ms()
        put, offsets = partition.put, flight.offsets
        for place, (_, _, _, key, value, headers) in enumerate(flight.entries):
            if value is not None and len(value) > limit:
                flight.errors = {**(flight.errors or {}), place: _TOO_LARGE}
                offsets.append(-1)
            else:
                offsets.append(put(key, value, headers, now_ms))

    def _put_each(self, flight: Flight, partition: MemoryPartition) -> float:
        """Put each record as its fate has it; returns the additional delay of the report."""
        network, now_ms = self._network, self._cluster.clock.wall_ms()
        errors: dict[int, str] = {}
        for place, (_, _, _, key, value, headers) in enumerate(flight.entries):
            offset = -1
            if self.dead:  # by a fatal fate before: everything open has been reported as failed
                break
            if value is not None and len(value) > partition.topic.record_bytes_max:
                errors[place] = _TOO_LARGE
            else:
                if network.strikes("offset_gap"):
                    partition.skip()
                fate = network.fate()
                if fate is Fate.FATAL:
                    self._rest = [entry[3:] for entry in flight.entries[place + 1 :]]
                offset, error = self._put(partition, (key, value, headers), fate, now_ms)
                if error is not None:
                    errors[place] = error
            flight.offsets.append(offset)
        if not errors:
            return 0.0
        flight.errors = errors
        return network.between(network.faults.failure_delay_ms)

    def _put(
        self, partition: MemoryPartition, content: Content, fate: Fate | None, now_ms: int
    ) -> tuple[int, str | None]:
        if self._late and fate is not Fate.LOST and fate is not Fate.LATE:
            self._overtake(partition)
        if fate is None:
            return partition.put(*content, now_ms), None
        if fate is Fate.TWICE:
            partition.put(*content, now_ms)
            return partition.put(*content, now_ms), None
        if fate is Fate.UNKNOWN or (fate is Fate.FATAL and self._network.coin()):
            partition.put(*content, now_ms)
        elif fate is Fate.LATE:
            self._late.append(content)
            faults = self._network.faults
            delay = self._network.between(faults.failure_delay_ms) + self._network.between(faults.late_delay_ms)
            self._cluster.later(delay, self._arrive_late)
        if fate is Fate.FATAL:
            self._owner.fail_fatally()
        return -1, f"planted: {fate.value}"

    def _overtake(self, partition: MemoryPartition) -> None:
        """Something newer of a living producer lands: what was late lands just before it, or never any more."""
        while self._late and not self.dead:
            content = self._late.popleft()
            if self._network.coin():
                partition.put(*content, self._cluster.clock.wall_ms())

    def _arrive_late(self) -> None:
        if not self._late:
            return
        partition = self._partition()
        if partition is not None:
            now = self._cluster.loop.time()
            if partition.frozen_until > now:
                self._cluster.later(partition.frozen_until - now, self._arrive_late)
                return
            partition.put(*self._late.popleft(), self._cluster.clock.wall_ms())
            partition.tell()

    # --- reporting ----------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        if not self.landed or self.dead:
            return
        until = self._node.blocked_until(self._partition())
        if until and until != inf:
            flight, now = self.landed[0], self._cluster.loop.time()
            if now < flight.at + DELIVERY_S:
                self._cluster.later(min(until, flight.at + DELIVERY_S) - now, self._tell)
                return
            if flight.errors is None:
                self._network.struck["append_timed_out"] += 1
                flight.fail_all(_TIMED_OUT)
        self._node.call(self._owner.tell, self)
