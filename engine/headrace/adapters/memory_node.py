"""A node as the world sees it: a process that runs, is frozen, is cut off, or is dead.

Everything that reaches the node's code goes through here. A frozen node (stopped, swapped out, its machine suspended)
gets nothing and runs nothing; when it thaws, all of that happens at once, in order, and only then does it learn what
became of it. A node that is cut off runs on and hears nothing. A crashed one never runs again; what it had sent may
still arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from headrace.adapters.memory_appender import MemoryAppender
from headrace.adapters.memory_membership import MemoryMembership
from headrace.adapters.memory_partitions import MemoryPartitions
from headrace.adapters.memory_reader import MemoryReader

if TYPE_CHECKING:
    from headrace.adapters.memory_log import MemoryCluster, MemoryPartition


class MemoryNode:
    """One process with its adapters. Give its `loop` to the engine, so that freezing and crashing stop its timers."""

    def __init__(self, cluster: MemoryCluster, name: str) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self.name = name
        self.loop = NodeLoop(self)
        self.crashed = False
        self.frozen = False
        self.cut_until = 0.0
        self.silences = 0  # counts the times it fell silent, for those who watch whether it still is
        self._stopped = False  # frozen or crashed
        self._held: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._waiting: list[Callable[[], object]] = []
        self._appenders: list[MemoryAppender] = []
        self._readers: list[MemoryReader] = []
        self._memberships: list[MemoryMembership] = []

    # --- adapters -----------------------------------------------------------------------------------------------

    def appender(self) -> MemoryAppender:
        """Make an appender with a producer of its own."""
        appender = MemoryAppender(self)
        self._appenders.append(appender)
        return appender

    def reader(self) -> MemoryReader:
        """Make a reader."""
        reader = MemoryReader(self)
        self._readers.append(reader)
        return reader

    def partitions(self) -> MemoryPartitions:
        """Make what tells bounds and trims."""
        return MemoryPartitions(self)

    def membership(self, group: str, instance_id: str, topic: str) -> MemoryMembership:
        """Make a static member of a group on the partitions of a topic."""
        membership = MemoryMembership(self, self.cluster.group(group, topic), instance_id)
        self._memberships.append(membership)
        return membership

    # --- what befalls it ----------------------------------------------------------------------------------------

    def crash(self) -> None:
        """End the process in the middle of everything; only its instance id and its disk are left."""
        if self.crashed:
            return
        self.crashed = self._stopped = True
        self.frozen = False
        self._held.clear()
        self._waiting.clear()
        for appender in self._appenders:
            appender.die()
        for reader in self._readers:
            reader.close()
        self._fall_silent()
        self.network.struck["node_crash"] += 1

    def freeze(self, seconds: float) -> None:
        """Stop the process for a while; it notices nothing until it goes on."""
        if self._stopped:
            return
        self.frozen = self._stopped = True
        self.cluster.loop.call_later(seconds, self.thaw)
        self._fall_silent()
        self.network.struck["node_freeze"] += 1

    def thaw(self) -> None:
        """Let a frozen process go on: first everything that was held back, in order."""
        if self.frozen:
            self.cluster.loop.call_soon(self._release)

    def cut(self, seconds: float) -> None:
        """Cut the node off from the log and its groups for a while; it runs on."""
        if self.crashed:
            return
        self.cut_until = max(self.cut_until, self.cluster.loop.time() + seconds)
        self._fall_silent()
        self.network.struck["node_cut"] += 1

    def _fall_silent(self) -> None:
        self.silences += 1
        for membership in self._memberships:
            membership.fall_silent(self.silences)

    def silent(self) -> bool:
        """Tell whether its heartbeats stay away now."""
        return self._stopped or self.cut_until > self.cluster.loop.time()

    # --- for the adapters ---------------------------------------------------------------------------------------

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Call the node's code now; later if it is frozen, never if it is dead."""
        if not self._stopped:
            callback(*args)
        elif not self.crashed:
            self._held.append((callback, args))

    def when_thawed(self, callback: Callable[[], object]) -> None:
        """Call back once the node has gone on, behind everything that was held back."""
        self._waiting.append(callback)

    def blocked_until(self, partition: MemoryPartition | None) -> float:
        """Tell until when nothing passes between the node and a partition; 0 if it passes, never if frozen."""
        if self._stopped:
            return inf
        until = self.cut_until
        if partition is not None and partition.frozen_until > until:
            until = partition.frozen_until
        return until if until and until > self.cluster.loop.time() else 0.0

    def _release(self) -> None:
        if not self.frozen:
            return
        try:
            while self._held:
                callback, args = self._held.popleft()
                callback(*args)
                if self.crashed:
                    return
        except BaseException:
            self.cluster.loop.call_soon(self._release)
            raise
        self.frozen = self._stopped = False
        waiting, self._waiting = self._waiting, []
        for resume in waiting:
            self.cluster.loop.call_soon(resume)


class NodeCall:
    """A callback of the node's code; the handle that its loop returns."""

    __slots__ = ("_args", "_callback", "_handle", "_node")

    def __init__(self, node: MemoryNode, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._node = node
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._handle: Any = None

    def cancel(self) -> None:
        """Take it back, also where it is being held."""
        self._callback = None
        self._args = ()
        if self._handle is not None:
            self._handle.cancel()

    def _due(self) -> None:
        self._node.call(self._run)

    def _run(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)


class NodeLoop:
    """The loop as one node sees it: stopped while the node is frozen, over when it is dead. Implements `Loop`."""

    def __init__(self, node: MemoryNode) -> None:
        self._node = node
        self._loop = node.cluster.loop

    def call_soon(self, callback: Callable[..., object], *args: Any) -> NodeCall:
        """Run a callback in the next round."""
        call = NodeCall(self._node, callback, args)
        self._loop.call_bare(0, call._due)
        return call

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> NodeCall:
        """Run a callback after `delay` virtual seconds."""
        call = NodeCall(self._node, callback, args)
        call._handle = self._loop.call_later(delay, call._due)
        return call
