"""Reads the log in memory at exact offsets. The twin of `kafka_reader`."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from headrace.adapters.seams import ReadFailure, Record

if TYPE_CHECKING:
    from headrace.adapters.memory_node import MemoryNode

OnRecords = Callable[[list[Record]], None]
OnFailure = Callable[[ReadFailure, str], None]


class MemoryReader:
    """Read partitions for one node. Implements `Reader`."""

    def __init__(self, node: MemoryNode) -> None:
        self._node = node
        self._closed = False
        self._readings: dict[MemoryReading, None] = {}

    def read(
        self, topic: str, partition: int, offset: int, on_records: OnRecords, on_failure: OnFailure
    ) -> MemoryReading:
        """Read from exactly `offset` on; an offset outside the log is a failure, never a reset."""
        if self._closed:
            raise ValueError("the reader is closed")
        if offset < 0:
            raise ValueError(f"an offset is not negative: {offset}")
        reading = MemoryReading(self._node, topic, partition, offset, on_records, on_failure, self._readings)
        self._readings[reading] = None
        return reading

    def close(self) -> None:
        """Close every reading."""
        self._closed = True
        for reading in list(self._readings):
            reading.close()


class MemoryReading:
    """One partition being read. Implements `Reading`."""

    __slots__ = (
        "_cluster",
        "_network",
        "_node",
        "_on_failure",
        "_on_records",
        "_partition",
        "_readings",
        "_scheduled",
        "closed",
        "number",
        "paused",
        "position",
        "topic",
    )

    def __init__(
        self,
        node: MemoryNode,
        topic: str,
        number: int,
        offset: int,
        on_records: OnRecords,
        on_failure: OnFailure,
        readings: dict[MemoryReading, None],
    ) -> None:
        self._node = node
        self._cluster = node.cluster
        self._network = node.network
        self._on_records = on_records
        self._on_failure = on_failure
        self._readings = readings
        self.topic = topic
        self.number = number
        self.position = offset
        self.paused = False
        self.closed = False
        self._partition = self._cluster.partition(topic, number)
        if self._partition is not None:
            self._partition.followers.append(self)
        self._scheduled = False
        self.wake()

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Deliver again, from where it stopped."""
        self.paused = False
        self.wake()

    def close(self) -> None:
        """Stop; no callback comes any more."""
        if not self.closed:
            self.closed = True
            self._readings.pop(self, None)
            partition = self._cluster.partition(self.topic, self.number)
            if partition is not None and self in partition.followers:
                partition.followers.remove(self)

    def wake(self) -> None:
        """Look again, after the time that a fetch takes."""
        if not self._scheduled and not self.paused and not self.closed:
            self._scheduled = True
            self._cluster.later(self._network.delay(), self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if self.paused or self.closed:
            return
        partition = self._partition
        if partition is None or partition.gone:
            partition = self._partition = self._cluster.partition(self.topic, self.number)
        until = self._node.blocked_until(partition)
        if until:
            self._scheduled = True
            if until == inf:
                self._node.when_thawed(self._deliver)
            else:
                self._cluster.later(until - self._cluster.loop.time(), self._deliver)
            return
        if partition is None:
            self._fail(ReadFailure.UNKNOWN_TOPIC, f"unknown topic or partition: {self.topic}[{self.number}]")
            return
        position = self.position
        if not partition.start <= position <= partition.end:
            bounds = f"{partition.start} to {partition.end}"
            self._fail(ReadFailure.OUT_OF_RANGE, f"the offset {position} is outside the log, {bounds}")
            return
        if position == partition.end:
            return
        records, self.position = partition.read(position, self._network.fetch_size())
        # Before the callback, which may pause, close, or have the position looked at.
        if self.position < partition.end:
            self.wake()
        if records:
            self._on_records(records)

    def _fail(self, failure: ReadFailure, text: str) -> None:
        self.close()
        self._on_failure(failure, text)
