"""A log in memory, as Kafka keeps it: topics, partitions, offsets, trimmed starts, the broker's time on each record.

The twin of the broker. Nodes reach it through `MemoryNode` and the adapters made there; what happens on the way is the
`Network`'s affair. Whoever plays the world may do what operators, strangers and hardware do: append by hand, leave
gaps, expire and truncate, make a topic anew, let partitions stand still and restart the broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.memory_group import Group
from headrace.adapters.memory_network import Network
from headrace.adapters.memory_node import MemoryNode
from headrace.adapters.seams import Record
from headrace.adapters.virtual_loop import VirtualLoop

Headers = Sequence[tuple[str, bytes | None]]
RECORD_BYTES_MAX = 16 * 1024 * 1024


class Follows(Protocol):
    """Somebody who reads a partition."""

    def wake(self) -> None:
        """Look again: there may be something new."""
        ...


class MemoryPartition:
    """The records of one partition; `rows[0]` stands at the offset `first`, and None is an offset without a record."""

    __slots__ = ("end", "first", "followers", "frozen_until", "gaps", "gone", "number", "rows", "start", "topic")

    def __init__(self, topic: MemoryTopic, number: int) -> None:
        self.topic = topic
        self.number = number
        self.rows: list[Record | None] = []
        self.first = 0
        self.start = 0
        self.end = 0
        self.gaps = False
        self.gone = False  # deleted with its topic
        self.frozen_until = 0.0
        self.followers: list[Follows] = []

    def put(self, key: bytes | None, value: bytes | None, headers: Headers | None, now_ms: int) -> int:
        """Put a record at the end, and return its offset; `tell` when done."""
        offset = self.end
        self.rows.append(Record(self.topic.name, self.number, offset, now_ms, key, value, headers))
        self.end = offset + 1
        return offset

    def skip(self, count: int = 1) -> None:
        """Leave offsets without a record at the end, as control records do; `tell` when done."""
        self.rows.extend([None] * count)
        self.end += count
        self.gaps = True

    def freeze(self, until: float) -> None:
        """Let nothing pass before the loop's time `until`."""
        self.frozen_until = max(self.frozen_until, until)

    def tell(self) -> None:
        """Let those who read it look again."""
        for follower in self.followers:
            follower.wake()

    def read(self, offset: int, count: int) -> tuple[list[Record], int]:
        """Return up to `count` records from `offset` on, and the offset to go on at."""
        place = offset - self.first
        rows = self.rows[place : place + count]
        if self.gaps:
            return [row for row in rows if row is not None], offset + len(rows)
        return rows, offset + len(rows)  # type: ignore[return-value]

    def offset_at(self, time_ms: int) -> int:
        """Return the offset of the first record that is not older than a time; the end if there is none."""
        for row in self.rows[self.start - self.first :]:
            if row is not None and row.timestamp_ms >= time_ms:
                return row.offset
        return self.end

    def trim(self, before: int) -> None:
        """Delete every record below an offset."""
        self.start = max(self.start, before)
        stale = self.start - self.first
        if stale * 2 >= len(self.rows):
            del self.rows[:stale]
            self.first = self.start

    def truncate(self, end: int) -> None:
        """Lose the records from `end` on, as after the election of a leader that had not got them."""
        assert self.start <= end <= self.end, f"{end} is not within {self.start} and {self.end}"
        del self.rows[end - self.first :]
        self.end = end
        self.tell()


class MemoryTopic:
    """A topic: a name, an id that is its own for ever, and partitions."""

    def __init__(self, name: str, topic_id: str, partitions: int, record_bytes_max: int) -> None:
        self.name = name
        self.id = topic_id
        self.record_bytes_max = record_bytes_max
        self.partitions = [MemoryPartition(self, number) for number in range(partitions)]


class MemoryCluster:
    """Brokers, topics and groups, on one loop, with one network to all nodes."""

    def __init__(self, loop: VirtualLoop, network: Network | None = None, clock: ManualClock | None = None) -> None:
        self.loop = loop
        self.later = loop.call_bare  # (seconds, callback, *args)
        self.network = network or Network()
        self.clock = clock or ManualClock(loop.time)
        self.topics: dict[str, MemoryTopic] = {}
        self.groups: dict[str, Group] = {}
        self.groups_frozen_until = 0.0
        self._topics_made = 0

    # --- topics -------------------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int, *, record_bytes_max: int = RECORD_BYTES_MAX) -> MemoryTopic:
        """Make an empty topic."""
        assert name not in self.topics, f"the topic {name} is there already"
        self._topics_made += 1
        topic = MemoryTopic(name, f"memory-topic-{self._topics_made}", partitions, record_bytes_max)
        self.topics[name] = topic
        return topic

    def delete_topic(self, name: str) -> MemoryTopic:
        """Delete a topic with everything in it, and return what it was."""
        topic = self.topics.pop(name)
        for partition in topic.partitions:
            partition.gone = True
            partition.tell()
        return topic

    def recreate_topic(self, name: str) -> MemoryTopic:
        """Delete a topic and make it anew: another topic, with another id, of the same name."""
        old = self.delete_topic(name)
        topic = self.create_topic(name, len(old.partitions), record_bytes_max=old.record_bytes_max)
        for partition, gone in zip(topic.partitions, old.partitions, strict=True):
            partition.followers = gone.followers
        self.network.struck["topic_recreated"] += 1
        return topic

    def partition(self, topic: str, number: int) -> MemoryPartition | None:
        """Find a partition; None if there is no such topic, or it has fewer."""
        found = self.topics.get(topic)
        if found is None or not 0 <= number < len(found.partitions):
            return None
        return found.partitions[number]

    # --- what strangers and operators do ------------------------------------------------------------------------

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> int:
        """Append a record as somebody else's producer, at once, and return its offset."""
        there = self._there(topic, partition)
        offset = there.put(key, value, headers, self.clock.wall_ms())
        there.tell()
        return offset

    def records(self, topic: str, partition: int) -> list[Record]:
        """List what a partition holds now."""
        there = self._there(topic, partition)
        return there.read(there.start, there.end - there.start)[0]

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Let retention delete every record below an offset."""
        self._there(topic, partition).trim(before)
        self.network.struck["retention"] += 1

    def truncate(self, topic: str, partition: int, end: int) -> None:
        """Lose acknowledged records from an offset on."""
        self._there(topic, partition).truncate(end)
        self.network.struck["log_truncated"] += 1

    def gap(self, topic: str, partition: int, count: int = 1) -> None:
        """Leave offsets without a record at the end of a partition."""
        there = self._there(topic, partition)
        there.skip(count)
        there.tell()
        self.network.struck["offset_gap"] += 1

    def compact(self, topic: str) -> None:
        """Keep only the last record of each key; those without a key stay."""
        for partition in self.topics[topic].partitions:
            last: dict[bytes, int] = {row.key: row.offset for row in partition.rows if row and row.key is not None}
            for place, row in enumerate(partition.rows):
                if row and row.key is not None and last[row.key] != row.offset:
                    partition.rows[place] = None
                    partition.gaps = True
        self.network.struck["compaction"] += 1

    # --- what hardware does -------------------------------------------------------------------------------------

    def freeze(self, topic: str, partition: int, seconds: float) -> None:
        """Let a partition stand still: nothing lands, is acknowledged, read or trimmed for a while."""
        there = self._there(topic, partition)
        there.freeze(self.loop.time() + seconds)
        self.network.struck["partition_freeze"] += 1

    def restart_broker(self, seconds: float) -> None:
        """Let everything stand still, groups too, and go on after a while."""
        until = self.loop.time() + seconds
        for topic in self.topics.values():
            for partition in topic.partitions:
                partition.freeze(until)
        self.groups_frozen_until = max(self.groups_frozen_until, until)
        self.network.struck["broker_restart"] += 1

    # --- nodes and groups ---------------------------------------------------------------------------------------

    def node(self, name: str) -> MemoryNode:
        """Start a node: a process with adapters of its own."""
        return MemoryNode(self, name)

    def group(self, name: str, topic: str) -> Group:
        """Find or make a consumer group on the partitions of a topic."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(self, name, len(self.topics[topic].partitions))
        return group

    def rebalance(self) -> None:
        """Move a partition of every group elsewhere; a sole member has it taken away and given back."""
        for group in self.groups.values():
            group.move_one()

    def _there(self, topic: str, partition: int) -> MemoryPartition:
        found = self.partition(topic, partition)
        assert found is not None, f"there is no partition {partition} of {topic}"
        return found
