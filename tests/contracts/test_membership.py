"""What the group does that shares out the partitions, on the memory twin and on Kafka.

Goal: every partition has one owner soon after a node comes or goes, and a node that is out knows that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.adapters.seams import Membership
from tests.contracts.worlds import World

ALL = [0, 1, 2, 3]


class Node:
    """What a member of the group has been told."""

    def __init__(self, world: World, group: str, instance_id: str, topic: str) -> None:
        self.owned: set[int] = set()
        self.told: list[str] = []
        self.expelled_because: str | None = None
        self.holding_back: list[Callable[[], None]] | None = None
        self.inside = True
        self.membership: Membership = world.membership(group, instance_id, topic)
        self.membership.join(self)
        self.inside = False

    def assigned(self, partitions: Sequence[int]) -> None:
        self._note("assigned", partitions)
        assert not self.owned & set(partitions), "assigned twice"
        self.owned |= set(partitions)

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        self._note("revoked", partitions)
        assert set(partitions) <= self.owned, "revoked what was not assigned"
        self.owned -= set(partitions)
        if self.holding_back is None:
            let_go()
        else:
            self.holding_back.append(let_go)

    def lost(self, partitions: Sequence[int]) -> None:
        self._note("lost", partitions)
        self.owned -= set(partitions)

    def expelled(self, reason: str) -> None:
        self._note("expelled", [])
        assert self.expelled_because is None
        self.expelled_because = reason
        self.owned.clear()

    def leave(self, world: World) -> None:
        left: list[bool] = []
        self.membership.leave(lambda: left.append(True))
        assert not left, "called back from inside the call"
        world.until(lambda: bool(left), "the member has left")

    def held(self) -> list[int]:
        return [partition for partition in ALL if self.membership.holds(partition)]

    def _note(self, what: str, partitions: Sequence[int]) -> None:
        assert not self.inside, "called back from inside the call"
        self.told.append(f"{what} {sorted(partitions)}")


def whole_group(world: World, *names: str) -> list[Node]:
    topic = world.topic(4)
    nodes: list[Node] = []
    for name in names:
        nodes.append(Node(world, f"group.{topic}", name, topic))
        world.until(lambda: shared(nodes), f"{len(nodes)} members share the partitions")
    return nodes


def shared(nodes: list[Node]) -> bool:
    """Whether each partition has one owner, and no member has more than one partition more than another."""
    shares = {len(node.owned) for node in nodes}
    return sorted(partition for node in nodes for partition in node.owned) == ALL and max(shares) - min(shares) <= 1


def wait_for_all(world: World, node: Node) -> None:
    world.until(lambda: sorted(node.owned) == ALL, "one member has all partitions")


def test_a_sole_member_gets_all_partitions_and_holds_them(world: World) -> None:
    (node,) = whole_group(world, "a")
    assert sorted(node.owned) == ALL
    assert node.held() == ALL
    assert not node.membership.holds(4)


def test_a_second_member_takes_its_share_and_the_first_keeps_the_rest(world: World) -> None:
    first, second = whole_group(world, "a", "b")
    assert len(first.owned) == len(second.owned) == 2
    assert not first.owned & second.owned
    assert set(first.held()) == first.owned
    assert set(second.held()) == second.owned
    revoked = [line for line in first.told if line.startswith("revoked [") and line != "revoked []"]
    assert len(revoked) == 1, "only what moves is taken away"
    assert not any(line.startswith("lost") for line in first.told)


def test_what_is_handed_over_is_assigned_elsewhere_only_after_it_was_let_go(world: World) -> None:
    topic = world.topic(4)
    first = Node(world, f"group.{topic}", "a", topic)
    wait_for_all(world, first)
    first.holding_back = []
    second = Node(world, f"group.{topic}", "b", topic)
    world.until(lambda: bool(first.holding_back))
    moving = set(ALL) - first.owned
    assert moving
    assert not second.owned & moving
    assert not any(first.membership.holds(partition) for partition in moving)
    first.holding_back[0]()
    first.holding_back = None
    world.until(lambda: second.owned == moving)


def test_a_member_that_never_lets_go_is_not_waited_for_for_ever(world: World) -> None:
    topic = world.topic(4)
    first = Node(world, f"group.{topic}", "a", topic)
    wait_for_all(world, first)
    first.holding_back = []
    second = Node(world, f"group.{topic}", "b", topic)
    world.until(lambda: len(second.owned) == 2)
    assert first.holding_back
    first.holding_back = None


def test_a_member_that_leaves_gives_everything_back_at_once(world: World) -> None:
    first, second = whole_group(world, "a", "b")
    share = set(first.owned)
    first.leave(world)
    assert first.told[-1] == f"revoked {sorted(share)}"
    assert first.held() == []
    # The session is 10 s: what comes sooner was given back.
    world.until(lambda: sorted(second.owned) == ALL, "the other member has all", within_s=3)
    assert second.held() == ALL


def test_leaving_waits_until_the_node_has_let_go(world: World) -> None:
    (node,) = whole_group(world, "a")
    node.holding_back = []
    left: list[bool] = []
    node.membership.leave(lambda: left.append(True))
    world.until(lambda: bool(node.holding_back))
    assert not left
    assert node.holding_back is not None
    node.holding_back[0]()
    world.until(lambda: bool(left))


def test_a_member_that_left_may_come_back_under_its_name(world: World) -> None:
    topic = world.topic(4)
    for _ in range(2):
        node = Node(world, f"group.{topic}", "a", topic)
        wait_for_all(world, node)
        node.leave(world)


def test_a_second_bearer_of_a_name_expels_the_first(world: World) -> None:
    topic = world.topic(4)
    older = Node(world, f"group.{topic}", "a", topic)
    wait_for_all(world, older)
    newer = Node(world, f"group.{topic}", "a", topic)
    world.until(lambda: older.expelled_because is not None and sorted(newer.owned) == ALL)
    assert older.expelled_because
    assert older.held() == []
    assert newer.held() == ALL
    assert newer.expelled_because is None
    older.leave(world)
    assert older.told[-1] == "expelled []"


def test_three_members_share_and_none_is_left_out(world: World) -> None:
    nodes = whole_group(world, "a", "b", "c")
    assert sorted(len(node.owned) for node in nodes) == [1, 1, 2]


def test_leaving_before_joining_is_answered(world: World) -> None:
    topic = world.topic(4)
    left: list[bool] = []
    world.membership(f"group.{topic}", "a", topic).leave(lambda: left.append(True))
    assert not left, "called back from inside the call"
    world.until(lambda: bool(left))


def test_leaving_is_answered_as_often_as_it_is_asked(world: World) -> None:
    (node,) = whole_group(world, "a")
    left: list[str] = []

    def leave_again() -> None:
        left.append("first")
        # The member's thread may be about to end just now: it must not take this question with it.
        node.membership.leave(lambda: left.append("third"))
        node.membership.leave(lambda: left.append("fourth"))

    node.membership.leave(leave_again)
    node.membership.leave(lambda: left.append("second"))
    world.until(lambda: len(left) == 4, "each question is answered")
    node.membership.leave(lambda: left.append("fifth"))
    world.until(lambda: len(left) == 5, "and so is one that comes long after")
    assert left == ["first", "second", "third", "fourth", "fifth"]
