"""Groups in memory. Goal: who is alive is served, who is silent is expelled in time, and no partition has two owners
that the group knows of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest

from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.memory_membership import MemoryMembership
from headrace.adapters.memory_network import CALM, Faults, Network
from headrace.adapters.memory_node import MemoryNode
from headrace.adapters.virtual_loop import VirtualLoop

ALL = [0, 1, 2, 3, 4]


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


@pytest.fixture
def cluster(loop: VirtualLoop) -> MemoryCluster:
    cluster = MemoryCluster(loop)
    cluster.create_topic("t", len(ALL))
    return cluster


class Process:
    """A node with one membership, and what it has been told."""

    def __init__(self, cluster: MemoryCluster, instance_id: str) -> None:
        self.node: MemoryNode = cluster.node(instance_id)
        self.membership: MemoryMembership = self.node.membership("g", instance_id, "t")
        self.owned: set[int] = set()
        self.told: list[tuple[str, list[int]]] = []
        self.expelled_because: str | None = None
        self.lets_go: Callable[[Callable[[], None]], object] = lambda let_go: let_go()
        self.membership.join(self)

    def assigned(self, partitions: Sequence[int]) -> None:
        self.told.append(("assigned", sorted(partitions)))
        assert not self.owned & set(partitions)
        self.owned |= set(partitions)
        self._agree()

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        self.told.append(("revoked", sorted(partitions)))
        assert set(partitions) <= self.owned
        self.owned -= set(partitions)
        self._agree()
        self.lets_go(let_go)

    def lost(self, partitions: Sequence[int]) -> None:
        self.told.append(("lost", sorted(partitions)))
        self.owned -= set(partitions)
        self._agree()

    def expelled(self, reason: str) -> None:
        self.told.append(("expelled", []))
        self.expelled_because = reason
        self.owned.clear()
        self._agree()

    def _agree(self) -> None:
        assert {p for p in ALL if self.membership.holds(p)} == self.owned


def shared_by(processes: list[Process]) -> bool:
    shares = [len(process.owned) for process in processes]
    return sorted(p for process in processes for p in process.owned) == ALL and max(shares) - min(shares) <= 1


def test_a_crashed_member_keeps_its_partitions_until_its_session_ends(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    first, second = Process(cluster, "a"), Process(cluster, "b")
    loop.advance(0)
    assert shared_by([first, second])
    first.node.crash()
    loop.advance(9.9)
    assert len(second.owned) < 5
    loop.advance(0.2)
    assert sorted(second.owned) == ALL
    assert cluster.network.struck == {"node_crash": 1, "session_ended": 1}


def test_a_member_that_restarts_within_its_session_finds_its_partitions_as_they_were(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    first, second = Process(cluster, "a"), Process(cluster, "b")
    loop.advance(0)
    owned, others = set(first.owned), list(second.told)
    first.node.crash()
    loop.advance(5)
    again = Process(cluster, "a")
    loop.advance(30)
    assert again.owned == owned
    assert second.told == others
    assert "session_ended" not in cluster.network.struck


def test_a_frozen_member_is_expelled_and_learns_of_it_only_when_it_wakes(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    zombie, other = Process(cluster, "a"), Process(cluster, "b")
    loop.advance(0)
    had = sorted(zombie.owned)
    zombie.node.freeze(60)
    loop.advance(59)
    assert sorted(other.owned) == ALL
    assert sorted(zombie.owned) == had
    assert all(zombie.membership.holds(p) for p in had)
    loop.advance(1)
    assert ("lost", had) in zombie.told
    loop.advance(5)
    assert shared_by([zombie, other])
    assert zombie.expelled_because is None


def test_a_member_that_is_frozen_for_less_than_its_session_notices_nothing(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    first, second = Process(cluster, "a"), Process(cluster, "b")
    loop.advance(0)
    told = (list(first.told), list(second.told))
    for _ in range(5):
        first.node.freeze(9)
        loop.advance(9.5)
    assert (first.told, second.told) == told


@pytest.mark.parametrize("seed", range(4))
def test_a_member_that_is_cut_off_loses_what_it_had_and_joins_anew(loop: VirtualLoop, seed: int) -> None:
    cluster = MemoryCluster(loop, Network(seed))
    cluster.create_topic("t", len(ALL))
    cut, other = Process(cluster, "a"), Process(cluster, "b")
    loop.advance(0)
    cut.node.cut(40)
    loop.advance(30)
    assert sorted(other.owned) == ALL
    loop.advance(11)
    assert [what for what, _ in cut.told].count("lost") == 1
    assert shared_by([cut, other])


def test_a_frozen_member_whose_name_was_taken_over_is_expelled_when_it_wakes(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    zombie = Process(cluster, "a")
    loop.advance(0)
    zombie.node.freeze(30)
    loop.advance(1)
    heir = Process(cluster, "a")
    loop.advance(1)
    assert sorted(heir.owned) == ALL
    assert zombie.expelled_because is None
    loop.advance(40)
    assert zombie.expelled_because is not None
    assert sorted(heir.owned) == ALL


def test_what_is_revoked_from_a_frozen_member_waits_for_its_session(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    first = Process(cluster, "a")
    loop.advance(0)
    first.node.freeze(60)
    second = Process(cluster, "b")
    loop.advance(9)
    assert second.owned == set()
    loop.advance(2)
    assert sorted(second.owned) == ALL


def test_a_node_that_does_not_let_go_is_waited_for_for_three_seconds(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    first = Process(cluster, "a")
    first.lets_go = lambda let_go: None
    loop.advance(0)
    second = Process(cluster, "b")
    loop.advance(2.9)
    assert second.owned == set()
    loop.advance(0.2)
    assert shared_by([first, second])


def test_rebalancing_moves_a_partition_and_a_sole_member_gets_it_back(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    first = Process(cluster, "a")
    loop.advance(0)
    before = len(first.told)
    cluster.rebalance()
    loop.advance(1)
    assert [what for what, _ in first.told[before:]] == ["revoked", "assigned"]
    second = Process(cluster, "b")
    loop.advance(1)
    owners = set()
    for _ in range(20):
        cluster.rebalance()
        loop.advance(1)
        assert shared_by([first, second])
        owners.add(frozenset(first.owned))
    assert len(owners) > 3
    assert cluster.network.struck["rebalance"] == 21


def test_a_restarting_broker_holds_up_a_group_and_ends_no_session(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    first = Process(cluster, "a")
    loop.advance(0)
    cluster.restart_broker(20)
    first.node.freeze(15)
    second = Process(cluster, "b")
    loop.advance(19)
    assert second.owned == set()
    loop.advance(5)
    assert shared_by([first, second])
    assert "session_ended" not in cluster.network.struck


def test_leaving_is_answered_although_the_group_cannot_be_reached(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    first, second = Process(cluster, "a"), Process(cluster, "b")
    loop.advance(0)
    first.node.cut(60)
    left: list[float] = []
    first.membership.leave(lambda: left.append(loop.time()))
    loop.advance(20)
    assert left == [5.0]
    assert sorted(second.owned) == ALL


def test_the_group_names_the_owner_of_a_partition(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    first = Process(cluster, "a")
    loop.advance(0)
    group = cluster.group("g", "t")
    assert [group.owner(p) for p in ALL] == ["a"] * 5
    first.membership.leave(lambda: None)
    loop.advance(1)
    assert [group.owner(p) for p in ALL] == [None] * 5


SHAKY = Faults(delay_ms=(0.1, 300), slow=0.1, slow_delay_ms=(500, 3_000))


class Crowd:
    """Processes that come, go, crash, freeze, are cut off and let go late."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.cluster = MemoryCluster(loop, Network(seed, SHAKY))
        self.cluster.create_topic("t", len(ALL))
        self.living: list[Process] = []
        self.names = 0

    def step(self) -> None:
        drawn = self.random.random()
        process = self.random.choice(self.living) if self.living else None
        if process is None or (drawn < 0.15 and len(self.living) < 4):
            self.names += 1
            self._start(f"n{self.names}")
        elif drawn < 0.25:
            process.node.crash()
            self.living.remove(process)
            if self.random.random() < 0.6:
                self.loop.advance(self.random.uniform(0, 15))
                self._start(process.membership.instance_id)
        elif drawn < 0.3 and not process.node.frozen:
            process.membership.leave(lambda: None)
            self.living.remove(process)
        elif drawn < 0.4:
            process.node.freeze(self.random.uniform(0, 25))
        elif drawn < 0.5:
            process.node.cut(self.random.uniform(0, 25))
        elif drawn < 0.6:
            self.cluster.rebalance()
        elif drawn < 0.65:
            self.cluster.restart_broker(self.random.uniform(0, 5))
        elif drawn < 0.67:
            self._start(process.membership.instance_id)  # twice the same name
        self.loop.advance(self.random.choice([0.0, 0.05, 1.0, 5.0]))
        self.living = [process for process in self.living if process.expelled_because is None]

    def _start(self, name: str) -> None:
        process = Process(self.cluster, name)
        process.lets_go = self._let_go_late
        self.living.append(process)

    def _let_go_late(self, let_go: Callable[[], None]) -> None:
        self.loop.call_later(self.random.choice([0.0, 0.5, 10.0]), let_go)

    def owners(self, partition: int) -> list[Process]:
        return [process for process in self.living if partition in process.owned]


@pytest.mark.parametrize("seed", [*range(6), 107, 115, 397])
def test_no_partition_has_two_owners_that_are_in_touch_and_in_the_end_each_has_one(
    loop: VirtualLoop, seed: int
) -> None:
    crowd = Crowd(loop, seed)
    contested = 0
    for _ in range(400):
        crowd.step()
        for partition in ALL:
            owners = crowd.owners(partition)
            contested += len(owners) > 1
            # In touch: never silent until now, and its place not taken by another while the news are on their way.
            in_touch = [o for o in owners if o.node.silences == 0 and o.membership.member is not None]
            assert len(in_touch) <= 1, (partition, [o.told for o in in_touch])
    crowd.cluster.network.faults = CALM
    crowd.loop.advance(120)
    crowd.living = [process for process in crowd.living if process.expelled_because is None]
    if not crowd.living:
        crowd._start("last")
        crowd.loop.advance(60)
    assert shared_by(crowd.living)
    assert contested > 0
