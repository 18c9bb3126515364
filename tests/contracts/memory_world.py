"""The world of the memory twins: virtual time, one node, nothing goes wrong unless a test says so."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.seams import Appender, Loop, Membership, Partitions, Reader
from headrace.adapters.virtual_loop import VirtualLoop
from tests.contracts.worlds import RECORD_BYTES_MAX

_names = count()


class MemoryWorld:
    """The memory twins of one cluster, seen from one node."""

    def __init__(self) -> None:
        self._loop = VirtualLoop()
        self._cluster = MemoryCluster(self._loop)
        self._node = self._cluster.node("contract")

    @property
    def loop(self) -> Loop:
        return self._node.loop

    def topic(self, partitions: int = 1, *, record_bytes_max: int = RECORD_BYTES_MAX) -> str:
        name = f"contract.{next(_names)}"
        self._cluster.create_topic(name, partitions, record_bytes_max=record_bytes_max)
        return name

    def appender(self) -> Appender:
        return self._node.appender()

    def reader(self) -> Reader:
        return self._node.reader()

    def partitions(self) -> Partitions:
        return self._node.partitions()

    def membership(self, group: str, instance_id: str, topic: str) -> Membership:
        return self._node.membership(group, instance_id, topic)

    def until(self, condition: Callable[[], bool], what: str = "", *, within_s: float = 30) -> None:
        assert self._loop.run_until(condition, within_s), f"not in {within_s} s: {what or condition}"

    def close(self) -> None:
        self._node.crash()
        self._loop.__exit__(None, None, None)
