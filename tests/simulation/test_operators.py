"""What an operator must be told. Goal: what cannot be mended stops one partition, loudly, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from headrace.adapters.memory_network import Faults, Network
from headrace.adapters.memory_store import MemoryStore, MemoryStores
from headrace.testing import World
from headrace.worker.ownership import State
from tests.simulation.scene import Scene, scene


class FullDisk(MemoryStores):
    """Stores of which one takes no more rows from some moment on."""

    def __init__(self, partition: int) -> None:
        super().__init__()
        self.full = False
        self.partition = partition

    def open(self, partition: int) -> MemoryStore:
        store = super().open(partition)
        if partition != self.partition:
            return store
        write = store.write

        def refuse(rows: Iterable[tuple[bytes, bytes | None]]) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            write(rows)

        store.write = refuse  # type: ignore[method-assign]
        return store


def test_a_full_disk_stops_its_partition_loudly_and_no_other_and_a_restart_goes_on() -> None:
    with scene(partitions=2) as world:
        disk = FullDisk(0)
        world.real_stores["n0"] = disk
        member = world.node("n0")
        disk.full = True
        for key in ("k1", "k2", "k3", "k4", "k5"):
            world.send("steps", key=key, steps={"s0": {}})
        world.until(lambda: member.node.owned[0].state is State.STOPPED)
        assert "No space left on device" in str(member.node.owned[0].error)
        assert member.node.owned[1].state is State.RUNNING
        ready, why = member.ready()
        assert not ready
        assert "0: " in why
        member.crash()
        disk.close()
        disk.full = False


def test_a_second_process_with_the_same_name_drives_the_first_one_out() -> None:
    with scene(partitions=2) as world:
        first = world.node("n0")
        world.send("steps", steps={"s0": {"ms": 400}, "s1": {}})
        world.pass_time(0.1)
        second = world.world.start("twin", world.functions, adjust=named_like(world, "n0"))
        world.until(lambda: world.codes("expelled"))
        assert first.node.expelled_reason
        assert not first.ready()[0]
        assert first.node.owned == {}
        world.until(lambda: second.running() == 2)
        first.crash()
        world.pass_time(1.0)
        second.crash()


def named_like(world: Scene, name: str):  # type: ignore[no-untyped-def]
    """Let a process join the group under another one's name."""
    from dataclasses import replace

    def adjust(member, around, means):  # type: ignore[no-untyped-def]
        around, means = world._adjust(member, around, means)
        membership = member.memory.membership("headrace", name, around.topics.commands)
        return around, replace(means, membership=membership)

    return adjust


def test_a_claim_that_the_log_has_lost_stops_the_partition_loudly() -> None:
    network = Network(1, Faults(delay_ms=(10.0, 10.0)))
    with World(partitions=1, network=network) as world:
        member = world.start("n0", {})
        topic = world.topics.changelog
        partition = world.cluster.topics[topic].partitions[0]
        world.wait(lambda: partition.end == 1)
        world.cluster.truncate(topic, 0, 0)
        world.cluster.append(topic, 0, b"somebody else's")
        world.advance(5.0)
        error = member.node.owned[0].error
        assert error is not None
        assert error.code == "claim_not_found"
        assert member.node.owned[0].state is State.STOPPED


@pytest.mark.parametrize("topic", ["functions", "control"])
def test_strange_records_of_the_clusters_own_topics_are_told_and_passed_over(topic: str) -> None:
    with scene() as world:
        name = getattr(world.world.topics, topic)
        for key, value in ((None, b"x"), (b"strange", b"no json"), (b"partition/0", b"no json"), (b"gone", None)):
            world.world.cluster.append(name, 0, value, key)
        world.node("n0")
        world.send("plain")
        world.pass_time(1.0)
        expected = {"functions": "definition_unreadable", "control": "advert_unreadable"}[topic]
        assert world.codes(expected)


def test_what_a_node_declares_after_a_reload_is_not_taken_back_by_its_own_start() -> None:
    with scene() as world:
        topics, cluster = world.world.topics, world.world.cluster
        cluster.freeze(topics.functions, 0, 3.0)
        member = world.start("n0")  # which cannot read the topic yet
        world.pass_time(1.0)
        world.functions.pop("sim-odd")
        member.reload(world.functions, lambda: None)
        world.until(world.world.settled)
        world.pass_time(1.0)
        last = {record.key: record.value for record in cluster.records(topics.functions, 0)}
        assert last.get(b"sim-odd") is None
        world.send("plain", n=2)


def test_definitions_that_expire_under_the_reader_are_read_again() -> None:
    with scene(faults=Faults(delay_ms=(20.0, 20.0))) as world:
        functions = world.world.topics.functions
        for number in range(5):
            world.world.cluster.append(functions, 0, None, b"old-%d" % number)
        world.start("n0")
        partition = world.world.cluster.topics[functions].partitions[0]
        world.world.loop.run_until(lambda: bool(partition.followers[1:]), 5.0)  # beside the trace's
        world.world.cluster.expire(functions, 0, 3)
        world.until(lambda: world.world.settled())
        world.send("plain")


def test_a_node_that_leaves_before_it_has_joined_leaves_at_once() -> None:
    with scene() as world:
        member = world.start("n0")
        left: list[bool] = []
        member.stop(lambda: left.append(True))
        world.until(lambda: left)
        assert not member.node.joined
        assert member.ready() == (False, "this node is stopping")
        world.node("n1")
