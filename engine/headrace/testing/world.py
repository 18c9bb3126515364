"""World: a cluster in memory, and the processes on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.memory_network import Network
from headrace.adapters.memory_store import MemoryStores
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.errors import NotReady
from headrace.execution import Settings
from headrace.functions import Function
from headrace.testing.member import Adjust, Member, as_it_is
from headrace.worker.layout import Limits, Topics

READY_S_MAX = 60.0


class World:
    """One log and the members of one cluster, on one virtual loop."""

    def __init__(
        self,
        *,
        partitions: int = 4,
        events_partitions: int | None = None,
        network: Network | None = None,
        limits: Limits | None = None,
        epoch_ms: int | None = None,
    ) -> None:
        self.partitions = partitions
        self.events_partitions = events_partitions or partitions  # a multiple of it
        self.limits = limits or Limits()
        self.topics = Topics()
        self.loop = VirtualLoop()
        clock = ManualClock(self.loop.time) if epoch_ms is None else ManualClock(self.loop.time, epoch_ms=epoch_ms)
        self.cluster = MemoryCluster(self.loop, network, clock)
        self.members: dict[str, Member] = {}
        self._uuids = 0
        topics = self.topics
        for name in (
            topics.commands,
            topics.changelog,
            topics.snapshots,
            topics.history,
            topics.dead,
        ):
            self.cluster.create_topic(name, partitions)
        self.cluster.create_topic(topics.events, self.events_partitions)
        for name in (topics.functions, topics.control):
            self.cluster.create_topic(name, 1)

    # --- processes ----------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        functions: Mapping[str, Function],
        *,
        stores: MemoryStores | None = None,
        clock: ManualClock | None = None,
        evict_always: bool = False,
        settings: Settings | None = None,
        adjust: Adjust = as_it_is,
    ) -> Member:
        """Start a process under an instance id; with the `stores` of one that ended it finds that one's disk.

        `adjust` may replace what the engine's node is given, to look at what passes there.
        """
        old = self.members.get(name)
        assert old is None or old.ended, f"the member {name} is still alive"
        member = Member(self, name, functions, stores or MemoryStores(), clock, evict_always, settings, adjust)
        self.members[name] = member
        member.start()
        return member

    def new_uuid(self) -> str:
        """Give a name that was never given before in this world, and the same in every run of it."""
        self._uuids += 1
        return f"uuid-{self._uuids}"

    # --- time ---------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass; 0 runs everything that is due now."""
        self.loop.advance(seconds)

    def wait(self, condition: Callable[[], bool], seconds_max: float = READY_S_MAX, what: str = "") -> None:
        """Let time pass until a condition holds; raises NotReady if it does not within so much virtual time."""
        if not self.loop.run_until(condition, seconds_max):
            raise NotReady(
                "still_waiting",
                f"{what or 'what was waited for'} has not come within {seconds_max:g} s of virtual time",
                why="; ".join(f"{name}: {member.ready()[1] or 'ready'}" for name, member in self.members.items()),
                do="look at what the members have told: " + repr(self.told()[-5:]),
            )

    def wait_ready(self) -> None:
        """Let time pass until every member that is alive runs its partitions, and all are owned."""
        self.wait(self.settled, what="a settled group")

    def settled(self) -> bool:
        """Tell whether all partitions run at some member."""
        running = sum(member.running() for member in self.members.values() if not member.ended)
        return running == self.partitions

    def told(self) -> list[tuple[str, str, str]]:
        """List what members have told their operators: (member, code, sentence)."""
        return [(name, *said) for name, member in self.members.items() for said in member.told]

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every process and the loop."""
        for member in self.members.values():
            member.crash()
        self.loop.__exit__(None, None, None)

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
