"""Member: one process of the cluster, made of the engine's own parts on adapters in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.memory_store import MemoryStores
from headrace.execution import InProcess, Settings
from headrace.functions import Function
from headrace.worker.counters import Counters
from headrace.worker.node import Means, Node
from headrace.worker.ownership import State
from headrace.worker.surroundings import Surroundings

if TYPE_CHECKING:
    from headrace.testing.world import World

GROUP = "headrace"
Adjust = Callable[["Member", Surroundings, Means], tuple[Surroundings, Means]]
# Nobody watches for code that blocks the loop, as a test may stand still in a debugger; outputs show as a whole.
_EXECUTION = Settings(blocked_ms=0, output_json_bytes_max=4 << 20)


def as_it_is(member: Member, around: Surroundings, means: Means) -> tuple[Surroundings, Means]:
    """Replace nothing."""
    return around, means


class Member:
    """A process: the adapters of one `MemoryNode`, and on them the engine's `Node` and execution."""

    def __init__(
        self,
        world: World,
        name: str,
        functions: Mapping[str, Function],
        stores: MemoryStores,
        clock: ManualClock | None,
        evict_always: bool,
        settings: Settings | None,
        adjust: Adjust,
    ) -> None:
        self.name = name
        self.functions = dict(functions)
        self.stores = stores
        self.memory = world.cluster.node(name)
        self.clock = clock or ManualClock(world.loop.time)
        self.execution = InProcess(functions, world.loop, self.clock, evict_always, settings or _EXECUTION)
        self.told: list[tuple[str, str]] = []
        self.leaving = False
        self.stopped = False
        memory, cluster, topics = self.memory, world.cluster, world.topics
        around = Surroundings(
            name,
            world.partitions,
            topics,
            world.limits,
            memory.loop,
            self.clock,
            memory.appender(),
            memory.appender(),
            memory.reader(),
            self.execution,
            memory.partitions(),
            Counters(),
        )
        means = Means(
            memory.membership(GROUP, name, topics.commands),
            stores,
            memory.partitions(),
            memory.reader(),
            cluster.topics[topics.changelog].id,
            cluster.topics[topics.events].id,
            world.events_partitions,
            False,
            world.new_uuid,
            cluster.network.random.random,
            lambda code, sentence: self.told.append((code, sentence)),
        )
        self.around, self.means = adjust(self, around, means)
        self.node = Node(self.around, self.means)

    def start(self) -> None:
        """Declare the functions and join the group."""
        apps = {function.app for function in self.functions.values()}
        definitions = {function_id: function.definition for function_id, function in self.functions.items()}
        self.node.start(sorted(apps), definitions)

    def reload(self, functions: Mapping[str, Function], declared: Callable[[], None]) -> None:
        """Replace the code, as a reload does, and call once the definitions are on their topic."""
        apps = {function.app for function in [*self.functions.values(), *functions.values()]}
        self.functions = dict(functions)
        self.execution.load_functions(functions)
        definitions = {function_id: function.definition for function_id, function in functions.items()}
        self.node.declare(sorted(apps), definitions, declared)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Leave in good order, and call."""
        self.leaving = True

        def left() -> None:
            self.stopped = True
            self.stores.close()
            stopped()

        self.node.stop(left)

    def crash(self, lose: Callable[[int, int], int] = lambda partition, unflushed: 0) -> None:
        """End the process in the middle of everything.

        `lose(partition, unflushed)` says how many of the last unflushed batches of a store the crash takes back.
        """
        if self.ended:
            return
        self.memory.crash()
        for ownership in self.node.owned.values():
            if ownership.machine is not None:
                self.execution.drop(ownership.machine)
        self.execution.close()
        self.stores.crash(lose)

    @property
    def ended(self) -> bool:
        """Whether the process is over."""
        return self.stopped or self.memory.crashed

    def ready(self) -> tuple[bool, str]:
        """Tell what the node says of itself."""
        return self.node.ready()

    def running(self) -> int:
        """Count the partitions that run here."""
        return sum(ownership.state is State.RUNNING for ownership in self.node.owned.values())
