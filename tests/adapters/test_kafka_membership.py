"""What only a real group does. Goal: membership depends on nothing that stands in the topic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import pytest

from headrace.adapters.kafka_membership import KafkaMembership, MembershipLimits
from tests.contracts.test_membership import ALL, Node
from tests.contracts.worlds import KafkaWorld, append_all


class Untroubled:
    """A node that expects to be told nothing."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def assigned(self, partitions: Sequence[int]) -> None:
        self.told.append(partitions)

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        self.told.append(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self.told.append(partitions)

    def expelled(self, reason: str) -> None:
        self.told.append(reason)


@pytest.fixture
def world(kafka_bootstrap: str) -> Iterator[KafkaWorld]:
    world = KafkaWorld(kafka_bootstrap)
    yield world
    world.close()


@pytest.mark.kafka
def test_records_and_trimming_mean_nothing_to_a_member(world: KafkaWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "headrace.kafka")
    topic = world.topic(4)
    appender = world.appender()
    for partition in ALL:
        append_all(world, appender, topic, [b"." * 1_000] * 50, partition)
    trimmed: list[str | None] = []
    for partition in ALL[:2]:
        world.partitions().trim(topic, partition, 50, trimmed.append)
    world.until(lambda: trimmed == [None, None])
    first = Node(world, f"group.{topic}", "a", topic)
    world.until(lambda: sorted(first.owned) == ALL)
    second = Node(world, f"group.{topic}", "b", topic)
    world.until(lambda: len(second.owned) == 2 and len(first.owned) == 2)
    second.leave(world)
    world.until(lambda: sorted(first.owned) == ALL)
    assert not [record.getMessage() for record in caplog.records if f"group.{topic}" in record.getMessage()]


@pytest.mark.kafka
def test_a_node_that_crashed_and_comes_back_has_its_partitions_at_once(world: KafkaWorld) -> None:
    topic = world.topic(4)
    crashed, other = Node(world, f"group.{topic}", "a", topic), Node(world, f"group.{topic}", "b", topic)
    world.until(lambda: len(crashed.owned) == 2 and len(other.owned) == 2)
    share, told = set(crashed.owned), len(other.told)
    back = Node(world, f"group.{topic}", "a", topic)
    world.until(lambda: bool(back.owned))
    assert back.owned == share
    # The group may tell it again that it is given nothing: that changes nothing for it.
    assert set(other.told[told:]) <= {"assigned []"}, "the other member is not troubled"


def test_leaving_a_group_that_never_answered_ends() -> None:
    world = KafkaWorld("127.0.0.1:1")
    membership = KafkaMembership(
        world.settings,
        world.loop,
        group="group",
        instance_id="a",
        topic="topic",
        limits=MembershipLimits(let_go_ms=100, leave_ms=100),
    )
    node = Untroubled()
    membership.join(node)
    left: list[bool] = []
    membership.leave(lambda: left.append(True))
    world.until(lambda: bool(left), within_s=15)
    assert not node.told
    world.close()
