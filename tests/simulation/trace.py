"""The trace of a world: a hash over every record that was ever written to any topic, in order, with its time."""

from __future__ import annotations

from hashlib import blake2b

from headrace.adapters.memory_log import MemoryCluster, MemoryPartition


class Trace:
    """Two runs of one seed have the same hash, or they were not the same run."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._hash = blake2b(digest_size=12)
        self.records = 0
        for topic in cluster.topics.values():
            for partition in topic.partitions:
                partition.followers.append(_Traced(partition, self))

    def take(self, partition: MemoryPartition, first: int) -> None:
        """Take in what is new in a partition."""
        for row in partition.rows[first - partition.first :]:
            if row is not None:
                self.records += 1
                self._hash.update(repr(row).encode())

    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()


class _Traced:
    def __init__(self, partition: MemoryPartition, trace: Trace) -> None:
        self._partition = partition
        self._trace = trace
        self._next = 0

    def wake(self) -> None:
        first, self._next = self._next, self._partition.end
        self._trace.take(self._partition, first)
