"""Whether the group has said yet what this node owns: before that, owning nothing means nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.adapters.seams import Members, Membership


class HeardMembership:
    """A membership that notes what its group says; implements `Membership`, and `Members` towards the one it wraps."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._members: Members | None = None
        self.is_assigned = False  # also nothing can be assigned: that is an answer of the group too

    def join(self, members: Members) -> None:
        """Join the group."""
        self._members = members
        self._membership.join(self)

    def holds(self, partition: int) -> bool:
        """Say whether the group still assigns the partition to this node."""
        return self._membership.holds(partition)

    def leave(self, left: Callable[[], None]) -> None:
        """Leave the group."""
        self._membership.leave(left)

    def assigned(self, partitions: Sequence[int]) -> None:
        """Pass on what is assigned."""
        self.is_assigned = True
        self._node.assigned(partitions)

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        """Pass on what is to be handed over."""
        self._node.revoked(partitions, let_go)

    def lost(self, partitions: Sequence[int]) -> None:
        """Pass on what is lost; the group has to take this node back before anything it owns counts."""
        self.is_assigned = False
        self._node.lost(partitions)

    def expelled(self, reason: str) -> None:
        """Pass on that the group will not have this node again."""
        self.is_assigned = False
        self._node.expelled(reason)

    @property
    def _node(self) -> Members:
        assert self._members is not None
        return self._members
