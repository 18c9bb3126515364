"""Watch: who looks over the shoulder of a simulated process; Landing: who sees every record land."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from headrace.adapters.memory_log import MemoryPartition
from headrace.adapters.seams import Outgoing, Store
from headrace.records.rows import Step
from headrace.testing import Member
from tests.simulation.seams import ProcessDied

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Watch:
    """Who looks over the shoulder of one process. Implements `seams.Watcher`."""

    def __init__(self, simulation: Simulation, member: Member) -> None:
        self._simulation = simulation
        self._member = member

    def write_comes(self, what: str) -> None:
        self._check_alive()
        if self._simulation.blows.dies_before(self._member, what):
            self._die()

    def write_done(self, what: str) -> None:
        if self._simulation.blows.dies_after(self._member, what):
            self._die()
        if what in ("commit", "send"):
            self._simulation.blows.written(self._member)

    def _die(self) -> None:
        self._simulation.blows.kill(self._member)
        raise ProcessDied(self._member.name)

    def _check_alive(self) -> None:
        if self._member.ended:
            raise ProcessDied(self._member.name)

    def sending(self, batch: Sequence[Outgoing]) -> None:
        self._simulation.outputs.sending(self._member.name, batch)

    def stored(self, partition: int, store: Store) -> None:
        self._simulation.stores.stored(self._member.name, partition, store)

    def wiped(self, partition: int) -> None:
        self._simulation.stores.wiped(self._member.name, partition)

    def trimming(self, topic: str, partition: int, before: int) -> None:
        topics, world = self._simulation.world.cluster.topics, self._simulation.world
        snapshots_start = topics[world.topics.snapshots].partitions[partition].start
        log_start = topics[world.topics.changelog].partitions[partition].start
        self._simulation.snapshots.trimming(topic, partition, before, snapshots_start, log_start)
        self._simulation.struck["trim"] += 1

    def code(self, what: str, owner: Any, run_id: str, steps: dict[bytes, Step]) -> None:
        self._simulation.outputs.code(what, owner, run_id, steps)

    def later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._member.memory.loop.call_later(seconds, callback)


class Landing:
    """Tells of every record of a partition, once, when it lands."""

    def __init__(self, partition: MemoryPartition, tell: Callable[[Any], None]) -> None:
        self._partition = partition
        self._tell = tell
        self._next = 0

    def wake(self) -> None:
        there = self._partition
        first, self._next = self._next, there.end
        for row in there.rows[first - there.first :]:
            if row is not None:
                self._tell(row)
