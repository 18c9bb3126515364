"""Bounds, topic ids and trims of the log in memory. The twin of `kafka_partitions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.adapters.memory_log import MemoryPartition
    from headrace.adapters.memory_node import MemoryNode

ANSWER_S = 10.0
_TIMED_OUT = "the request timed out"


class MemoryPartitions:
    """Answer what a node asks about partitions. Implements `Partitions`."""

    def __init__(self, node: MemoryNode) -> None:
        self._node = node
        self._cluster = node.cluster

    def bounds(self, topic: str, partition: int, done: Callable[[tuple[int, int] | None, str | None], None]) -> None:
        """Tell the first offset still there and the next one to be written."""

        def answer(there: MemoryPartition) -> None:
            if self._node.network.strikes("bounds_failed"):
                self._reply(done, None, _TIMED_OUT)
            else:
                self._reply(done, (there.start, there.end), None)

        self._ask(topic, partition, answer, lambda error: self._reply(done, None, error))

    def offset_at(
        self, topic: str, partition: int, time_ms: int, done: Callable[[int | None, str | None], None]
    ) -> None:
        """Tell the offset of the first record that is not older than a time; the end if there is none."""

        def answer(there: MemoryPartition) -> None:
            if self._node.network.strikes("bounds_failed"):
                self._reply(done, None, _TIMED_OUT)
            else:
                self._reply(done, there.offset_at(time_ms), None)

        self._ask(topic, partition, answer, lambda error: self._reply(done, None, error))

    def trim(self, topic: str, partition: int, before: int, done: Callable[[str | None], None]) -> None:
        """Delete every record below the offset `before`."""
        if before < 0:
            raise ValueError(f"an offset is not negative: {before}")

        def answer(there: MemoryPartition) -> None:
            failed = self._node.network.strikes("trim_failed")
            if before > there.end:
                self._reply(done, f"the offset {before} is beyond the end of the log, {there.end}")
                return
            if not failed or self._node.network.coin():
                there.trim(before)
            self._reply(done, _TIMED_OUT if failed else None)

        self._ask(topic, partition, answer, lambda error: self._reply(done, error))

    def topic_id(self, topic: str, done: Callable[[str | None, str | None], None]) -> None:
        """Tell the id that the topic got when it was made."""
        self._ask(
            topic,
            0,
            lambda there: self._reply(done, there.topic.id, None),
            lambda error: self._reply(done, None, error),
        )

    def _ask(
        self, topic: str, partition: int, answer: Callable[[MemoryPartition], None], fail: Callable[[str], None]
    ) -> None:
        asked_at = self._cluster.loop.time()

        def arrive() -> None:
            if self._node.frozen:
                self._node.when_thawed(arrive)
                return
            there = self._cluster.partition(topic, partition)
            now = self._cluster.loop.time()
            until = self._node.blocked_until(there)
            if until and now >= asked_at + ANSWER_S:
                fail(_TIMED_OUT)
            elif until:
                self._cluster.later(min(until, asked_at + ANSWER_S) - now, arrive)
            elif there is None:
                fail(f"unknown topic or partition: {topic}[{partition}]")
            else:
                answer(there)

        self._cluster.later(self._node.network.delay(), arrive)

    def _reply(self, done: Callable[..., None], *answer: object) -> None:
        self._cluster.later(self._node.network.delay(), self._node.call, done, *answer)
