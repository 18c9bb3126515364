"""What the node tells the console about itself; the console asks and shows, and decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypedDict


class PartitionStatus(TypedDict):
    """One partition of the cluster. `lag` counts records that are not applied yet; None where nobody knows."""

    partition: int
    owner: str | None
    state: str
    lag: int | None


class Status(Protocol):
    """How the node and its cluster are; both answers are given at once, from what is known."""

    def partitions(self) -> Sequence[PartitionStatus]:
        """List every partition of the cluster, the same on every node."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Tell whether the group is stable and every partition assigned here runs, and if not, why."""
        ...


# Ask for a run to be cancelled: its id, its partition, the reason. Done once the command is on Kafka.
CancelRun = Callable[[str, int, str], Awaitable[None]]
