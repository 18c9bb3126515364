"""When a node says that it is ready. Goal: never before the group has given it what it is to have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from headrace.adapters.seams import Members
from headrace.cli.front import NodeStatus
from headrace.cli.joining import HeardMembership
from headrace.worker.adverts import Advert


class ToldNode:
    """A node that knows what it is told."""

    def __init__(self, owners: Sequence[str]) -> None:
        self.owned: dict[int, object] = {}
        self.answer = (True, "")
        self.rows = [Advert(number, owner, "running") for number, owner in enumerate(owners)]
        self.heard: list[str] = []

    def ready(self) -> tuple[bool, str]:
        return self.answer

    def partition_rows(self) -> list[Advert]:
        return self.rows

    def assigned(self, partitions: Sequence[int]) -> None:
        self.heard.append(f"assigned {list(partitions)}")

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        self.heard.append(f"revoked {list(partitions)}")
        let_go()

    def lost(self, partitions: Sequence[int]) -> None:
        self.heard.append(f"lost {list(partitions)}")

    def expelled(self, reason: str) -> None:
        self.heard.append(f"expelled {reason}")


class ToldGroup:
    """A group that says what it is told to say."""

    def __init__(self) -> None:
        self.members: Members | None = None
        self.left = 0

    def join(self, members: Members) -> None:
        self.members = members

    def holds(self, partition: int) -> bool:
        return partition == 1

    def leave(self, left: Callable[[], None]) -> None:
        self.left += 1
        left()


def joined(node: ToldNode) -> tuple[NodeStatus, HeardMembership, Members]:
    """Let a node join a group; what the group's word goes to comes last."""
    group = ToldGroup()
    membership = HeardMembership(group)
    membership.join(node)
    assert group.members is not None
    return NodeStatus(node, membership, "me"), membership, group.members  # type: ignore[arg-type]


@pytest.mark.parametrize("owners", [["a", "b"], ["a", "a"], ["", ""], ["me", "a"]])
def test_before_the_first_assignment_nobody_is_ready(owners: list[str]) -> None:
    status, _, group = joined(ToldNode(owners))
    assert status.ready() == (False, "the group has not shared out the partitions yet")
    group.assigned([])
    group.lost([])
    assert not status.ready()[0], "what was lost has to be assigned again"


@pytest.mark.parametrize(
    ("owners", "ready"),
    [(["a", "b"], True), (["a", "a"], False), (["a", ""], False), (["a", "me"], False), (["a"], True), ([""], False)],
)
def test_a_node_without_partitions_is_ready_where_others_have_one_each(owners: list[str], ready: bool) -> None:
    status, _, group = joined(ToldNode(owners))
    group.assigned([])
    is_ready, reason = status.ready()
    assert (is_ready, bool(reason)) == (ready, not ready)


def test_what_the_node_says_of_its_own_partitions_stands() -> None:
    node = ToldNode(["a", "a", "me"])
    status, _, group = joined(node)
    group.assigned([2])
    node.owned[2] = object()
    assert status.ready() == (True, "")
    node.answer = (False, "2: restoring")
    assert status.ready() == (False, "2: restoring")


def test_everything_that_the_group_says_reaches_the_node() -> None:
    node = ToldNode([])
    _, membership, group = joined(node)
    done: list[int] = []
    group.assigned([1, 2])
    group.revoked([2], lambda: done.append(1))
    group.lost([1])
    group.expelled("another one")
    assert node.heard == ["assigned [1, 2]", "revoked [2]", "lost [1]", "expelled another one"]
    assert (membership.holds(1), membership.holds(2)) == (True, False)
    membership.leave(lambda: done.append(2))
    assert done == [1, 2]
