"""A node's membership of a group in memory. The twin of `kafka_membership`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.adapters.memory_group import SESSION_S
from headrace.adapters.seams import Members

if TYPE_CHECKING:
    from headrace.adapters.memory_group import Group, Member
    from headrace.adapters.memory_node import MemoryNode

LET_GO_S = 3.0
LEAVE_S = 5.0
Message: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]


class MemoryMembership:
    """A static member, by the name `instance_id`. Implements `Membership`."""

    def __init__(self, node: MemoryNode, group: Group, instance_id: str) -> None:
        self.node = node
        self.instance_id = instance_id
        self.member: Member | None = None  # the group's side, while it knows this member
        self._cluster = node.cluster
        self._group = group
        self._members: Members | None = None
        self._held: set[int] = set()
        self._revocations = 0  # under way
        self._expelled = False
        self._left: list[Callable[[], None]] | None = None
        self._gone = False
        # What goes to the group and what comes from it, each in order whatever the delays: every message has a timer,
        # and each timer takes the message at the front.
        self._to_group: deque[Message] = deque()
        self._to_node: deque[Message] = deque()

    # --- what the node asks -------------------------------------------------------------------------------------

    def join(self, members: Members) -> None:
        """Join the group; `members` is told what this node may own."""
        if self._members is not None:
            raise ValueError("a membership is joined once")
        self._members = members
        self._travel(self._enter)

    def holds(self, partition: int) -> bool:
        """Whether the group still assigns the partition to this node, as far as is known now."""
        return partition in self._held

    def leave(self, left: Callable[[], None]) -> None:
        """Revoke everything in good order, leave the group at once, then call."""
        if self._gone:
            self._cluster.loop.call_soon(self.node.call, left)
            return
        if self._left is not None:
            self._left.append(left)
            return
        self._left = [left]
        if self.member is not None:
            self.member.leaving = True
        self._cluster.loop.call_soon(self.node.call, self._give_all_back)

    # --- what the group does; from outside ----------------------------------------------------------------------

    def assign(self, partitions: list[int]) -> None:
        """Give partitions to this member."""
        self._reach(self._assign, self.member, partitions)

    def revoke(self, partitions: list[int]) -> None:
        """Ask this member to give partitions back."""
        self._reach(self._revoke_asked, self.member, partitions)

    def lose(self) -> None:
        """Let this member find out that its session has ended, and what it had is gone; it joins anew."""
        if not self.node.frozen and self._cluster.network.coin():
            self.node.call(self._lose)  # it has counted the time itself, and need not be told
        else:
            self._reach(self._lose)

    def expel(self, reason: str) -> None:
        """Let this member find out that another one has taken its place for good."""
        self._reach(self._expel, reason)

    def fall_silent(self, silence: int) -> None:
        """Take note that the node's heartbeats stay away from now on."""
        if self.member is not None:
            self._cluster.loop.call_later(SESSION_S, self._group.end_session, self, self.member, silence)

    # --- inside -------------------------------------------------------------------------------------------------

    def _travel(self, callback: Callable[..., object], *args: object) -> None:
        """Go to the group, when the way is open."""
        self._to_group.append((callback, args))
        self._cluster.later(self._cluster.network.delay(), self._arrive_at_group)

    def _arrive_at_group(self) -> None:
        if self.node.crashed:
            return
        if self.node.frozen:
            self.node.when_thawed(self._arrive_at_group)
            return
        now = self._cluster.loop.time()
        until = max(self.node.blocked_until(None), self._cluster.groups_frozen_until)
        if until > now:
            self._cluster.later(until - now, self._arrive_at_group)
            return
        callback, args = self._to_group.popleft()
        callback(*args)

    def _reach(self, callback: Callable[..., object], *args: object) -> None:
        """Come to the node, when the way is open; what happens there is the node's doing."""
        self._to_node.append((callback, args))
        self._cluster.later(self._cluster.network.delay(), self._arrive_at_node)

    def _arrive_at_node(self) -> None:
        until = self.node.blocked_until(None)
        if until and until != inf:
            self._cluster.later(until - self._cluster.loop.time(), self._arrive_at_node)
            return
        callback, args = self._to_node.popleft()
        self.node.call(callback, *args)

    def _enter(self) -> None:
        if self._left is None and not self._expelled:
            self._group.enter(self)

    def _assign(self, member: Member | None, partitions: list[int]) -> None:
        if member is None or member is not self.member or self._members is None:
            return  # the group has moved on
        if self._left is not None:
            return  # what comes while leaving is given back with the place
        self._held.update(partitions)
        self._members.assigned(partitions)

    def _revoke_asked(self, member: Member | None, partitions: list[int]) -> None:
        if member is not None and member is self.member:
            known = [partition for partition in partitions if partition in self._held]
            self._revoke(known, partitions)

    def _revoke(self, partitions: list[int], given_back: list[int] | None = None) -> None:
        """Let the node hand partitions over; go on without it after a bound."""
        member = self.member
        given_back = partitions if given_back is None else given_back
        self._held.difference_update(partitions)
        self._revocations += 1
        open_ = True

        def let_go() -> None:
            nonlocal open_
            if not open_:
                return
            open_ = False
            bound.cancel()
            self._revocations -= 1
            if member is not None:
                self._travel(self._group.let_go, self, member, given_back)
            self._leave_if_free()

        bound = self.node.loop.call_later(LET_GO_S, let_go)
        if partitions and self._members is not None:
            self._members.revoked(partitions, let_go)
        else:
            let_go()

    def _give_all_back(self) -> None:
        held = sorted(self._held)
        if held:
            self._revoke(held)
        else:
            self._leave_if_free()

    def _leave_if_free(self) -> None:
        if self._left is None or self._revocations:
            return
        member, self.member = self.member, None
        if member is not None:
            self._travel(self._group.leave, self, member)
        self._travel(self.node.call, self._tell_left)
        self.node.loop.call_later(LEAVE_S, self._tell_left)  # where the group cannot be reached

    def _tell_left(self) -> None:
        self._gone = True
        left, self._left = self._left or [], []
        for callback in left:
            callback()

    def _lose(self) -> None:
        held = sorted(self._held)
        self._held.clear()
        if self._members is not None and not self._expelled:
            self._members.lost(held)
            if self._left is None:
                self._travel(self._enter)

    def _expel(self, reason: str) -> None:
        self._expelled = True
        self._held.clear()
        if self._members is not None:
            self._members.expelled(reason)
