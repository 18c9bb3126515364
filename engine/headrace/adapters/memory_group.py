"""A consumer group in memory: which member has which partition. The twin of the broker's side of a group.

Members are static: one that crashes keeps its partitions until its session ends, and one that comes back under the same
instance id within it finds them as they were. Assignment is sticky and cooperative: members differ by one partition at
most, nobody loses what it need not lose, and what moves is first let go by its old member and only then given away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.adapters.memory_log import MemoryCluster
    from headrace.adapters.memory_membership import MemoryMembership

SESSION_S = 10.0


class Member:
    """A place in the group, by the name of an instance."""

    __slots__ = ("instance_id", "leaving", "membership", "partitions")

    def __init__(self, instance_id: str, membership: MemoryMembership) -> None:
        self.instance_id = instance_id
        self.membership = membership
        self.partitions: set[int] = set()  # what is assigned to it, and not being taken back
        self.leaving = False


class Group:
    """The coordinator of one group, on the partitions of one topic."""

    def __init__(self, cluster: MemoryCluster, name: str, partitions: int) -> None:
        self.name = name
        self._cluster = cluster
        self._network = cluster.network
        self._members: dict[str, Member] = {}
        self._free: set[int] = set(range(partitions))
        self._revoking: dict[int, Member] = {}
        self._promised: dict[int, str] = {}  # partitions on their way to a member that was chosen beforehand
        self._scheduled = False

    def owner(self, partition: int) -> str | None:
        """Name the member to which a partition is assigned."""
        for member in self._members.values():
            if partition in member.partitions:
                return member.instance_id
        return None

    # --- what members ask ---------------------------------------------------------------------------------------

    def enter(self, membership: MemoryMembership) -> None:
        """Take a member in, or let it take the place that its instance id has already."""
        member = self._members.get(membership.instance_id)
        if member is None:
            member = self._members[membership.instance_id] = Member(membership.instance_id, membership)
            membership.member = member
            self._rebalance_soon()
            return
        old, member.membership = member.membership, membership
        member.leaving = False
        membership.member = member
        old.member = None
        old.expel(f"the instance id {membership.instance_id} has joined again from elsewhere")
        for partition in [p for p, owner in self._revoking.items() if owner is member]:
            self._release(partition)  # the one that had it is gone
        if member.partitions:
            membership.assign(sorted(member.partitions))

    def leave(self, membership: MemoryMembership, member: Member) -> None:
        """Let a member go at once; what it had is free."""
        if not self._knows(membership, member):
            return
        del self._members[member.instance_id]
        self._free |= member.partitions
        member.partitions = set()
        for partition in [p for p, owner in self._revoking.items() if owner is member]:
            self._release(partition)
        self._rebalance_soon()

    def let_go(self, membership: MemoryMembership, member: Member, partitions: list[int]) -> None:
        """Take note that a member has given partitions back."""
        if not self._knows(membership, member):
            return
        for partition in partitions:
            if self._revoking.get(partition) is member:
                self._release(partition)

    def end_session(self, membership: MemoryMembership, member: Member, silence: int) -> None:
        """Let the place of a member go that has been silent for a whole session, if it still is."""
        node = membership.node
        if not self._knows(membership, member) or node.silences != silence or not node.silent():
            return
        frozen = self._cluster.groups_frozen_until - self._cluster.loop.time()
        if frozen > 0:  # a coordinator that comes back gives everybody a new session
            self._cluster.loop.call_later(frozen + SESSION_S, self.end_session, membership, member, silence)
            return
        self._network.struck["session_ended"] += 1
        membership.member = None
        self.leave(membership, member)
        membership.lose()

    def _knows(self, membership: MemoryMembership, member: Member) -> bool:
        """Whether this is still who has the place; what comes from one that was replaced is ignored."""
        return self._members.get(member.instance_id) is member and member.membership is membership

    # --- assigning ----------------------------------------------------------------------------------------------

    def move_one(self) -> None:
        """Take a partition from its member and give it to another one; back to the same if there is no other."""
        movable = [(p, m) for m in self._members.values() if not m.leaving for p in sorted(m.partitions)]
        if not movable:
            return
        self._network.struck["rebalance"] += 1
        partition, member = self._network.random.choice(movable)
        others = [m for m in self._members.values() if m is not member and not m.leaving]
        to = self._network.random.choice(others) if others else member
        self._promised[partition] = to.instance_id
        self._take_back(member, [partition])
        if to is not member and len(to.partitions) > len(member.partitions) + 1:
            # One in exchange, or the next balancing would undo the move.
            back = self._network.random.choice(sorted(to.partitions))
            self._promised[back] = member.instance_id
            self._take_back(to, [back])

    def _release(self, partition: int) -> None:
        del self._revoking[partition]
        self._free.add(partition)
        self._rebalance_soon()

    def _rebalance_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            frozen = self._cluster.groups_frozen_until - self._cluster.loop.time()
            self._cluster.later(max(frozen, 0) + self._network.delay(), self._rebalance)

    def _rebalance(self) -> None:
        self._scheduled = False
        members = [member for member in self._members.values() if not member.leaving]
        if not members:
            return
        given: dict[str, list[int]] = {}

        def give(member: Member, partition: int) -> None:
            self._free.discard(partition)
            member.partitions.add(partition)
            given.setdefault(member.instance_id, []).append(partition)

        for partition in sorted(self._free):
            promised = self._members.get(self._promised.pop(partition, ""))
            if promised is not None and not promised.leaving:
                give(promised, partition)
        for partition in sorted(self._free):
            give(min(members, key=_load), partition)
        self._even_out(members)
        for member in members:
            partitions = given.get(member.instance_id)
            if partitions:
                # What is taken back at once, by the evening out, was never told.
                member.membership.assign([p for p in partitions if p in member.partitions])

    def _even_out(self, members: list[Member]) -> None:
        """Take back from those who have too many what those who have too few shall get."""
        coming = {member.instance_id: len(member.partitions) for member in members}
        for partition in self._revoking:
            promised = self._promised.get(partition)
            if promised in coming:
                coming[promised] += 1
        taken: dict[str, list[int]] = {}
        while True:
            most = max(members, key=lambda member: coming[member.instance_id])
            least = min(members, key=lambda member: coming[member.instance_id])
            if coming[most.instance_id] - coming[least.instance_id] <= 1 or not most.partitions:
                break
            partition = max(most.partitions)
            most.partitions.discard(partition)
            self._promised[partition] = least.instance_id
            taken.setdefault(most.instance_id, []).append(partition)
            coming[most.instance_id] -= 1
            coming[least.instance_id] += 1
        for member in members:
            if member.instance_id in taken:
                self._take_back(member, taken[member.instance_id])

    def _take_back(self, member: Member, partitions: list[int]) -> None:
        member.partitions.difference_update(partitions)
        for partition in partitions:
            self._revoking[partition] = member
        member.membership.revoke(sorted(partitions))


def _load(member: Member) -> int:
    return len(member.partitions)
