"""What befalls a simulated world beside the faults of single records: drawn times, drawn victims, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.testing import Member

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

WRITES = ("commit", "send", "store", "trim", "trim")  # a trim is rare


class Blows:
    """Strikes as the plan says."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._draw = simulation.draw
        self._struck = simulation.struck
        self._fatal: dict[str, tuple[str, bool, int]] = {}  # by member: dies at which write, after it, in how many
        self._images: dict[str, dict[int, dict[bytes, bytes]]] = {}
        self._stopping: set[str] = set()
        self._joined = 0

    def schedule(self) -> None:
        """Draw when each blow comes."""
        plan = self._simulation.plan
        for kind, times in plan.blows.items():
            for _ in range(times):
                moment = self._draw.random() * plan.seconds
                self._simulation.world.loop.call_later(moment, self._strike, kind)

    def _strike(self, kind: str) -> None:
        if not self._simulation.calm:
            getattr(self, f"_{kind}")()

    def _victim(self) -> Member | None:
        alive = [member for member in self._simulation.alive() if not member.leaving]
        return self._draw.choice(alive) if alive else None

    # --- processes that die -------------------------------------------------------------------------------------

    def kill(self, member: Member, disk: str = "same") -> None:
        """Let a process die now, and another start on its disk after a while."""
        simulation = self._simulation
        self._fatal.pop(member.name, None)
        member.crash(self._lose)
        name, stores = member.name, simulation.disks[member.name]
        for partition in range(simulation.plan.partitions):
            if self._draw.random() < 0.6:
                if disk == "lost":
                    stores.lose(partition)
                    simulation.stores.wiped(name, partition)
                elif disk == "stale":
                    image = self._images.get(name, {}).get(partition)
                    if image is not None:
                        stores.revert(partition, image)
                        simulation.stores.wiped(name, partition)
                elif disk == "damaged":
                    stores.damage(partition)
        simulation.world.loop.call_later(self._draw.choice([0.0, 0.3, 3.0, 12.0]), self._start_again, name)

    def _lose(self, partition: int, unflushed: int) -> int:
        return self._draw.randint(0, unflushed)

    def _start_again(self, name: str) -> None:
        if not self._simulation.calm and self._simulation.world.members[name].ended:
            self._simulation.start(name)

    def _crash(self) -> None:
        victim = self._victim()
        if victim is not None:
            self.kill(victim)

    def _crash_at_write(self) -> None:
        alive = [member for member in self._simulation.alive() if member.name not in self._fatal]
        if alive:
            kind = self._draw.choice(WRITES)
            left = 1 if kind == "trim" else self._draw.choice([1, 2, 5])
            self._fatal[self._draw.choice(alive).name] = (kind, self._draw.random() < 0.5, left)

    def die_at(self, name: str, kind: str, after: bool, number: int) -> None:
        """Let a member die at its n-th write of a kind, before or after it."""
        self._fatal[name] = (kind, after, number)

    def dies_before(self, member: Member, what: str) -> bool:
        """Whether the process dies now, before this write."""
        planned = self._fatal.get(member.name)
        if planned is None or planned[0] != what or self._simulation.calm or member.leaving:
            return False
        kind, after, left = planned
        self._fatal[member.name] = (kind, after, left - 1)
        if left <= 1 and not after:
            self._struck[f"crash_before_{what}"] += 1
            return True
        return False

    def dies_after(self, member: Member, what: str) -> bool:
        """Whether the process dies now, after this write."""
        planned = self._fatal.get(member.name)
        if planned is None or planned[0] != what or not planned[1] or planned[2] > 0:
            return False
        if self._simulation.calm or member.leaving:
            return False
        self._struck[f"crash_after_{what}"] += 1
        return True

    def _disk_lost(self) -> None:
        victim = self._victim()
        if victim is not None:
            self.kill(victim, "lost")

    def _disk_stale(self) -> None:
        victim = self._victim()
        if victim is None:
            return
        stores = self._simulation.disks[victim.name]
        self._images[victim.name] = {p: stores.save(p) for p in range(self._simulation.plan.partitions)}
        self._simulation.world.loop.call_later(self._draw.choice([0.5, 5.0]), self._kill_by_name, victim.name, "stale")

    def _kill_by_name(self, name: str, disk: str) -> None:
        member = self._simulation.world.members[name]
        if not member.ended and not member.leaving and not self._simulation.calm:
            self.kill(member, disk)

    def _disk_damaged(self) -> None:
        victim = self._victim()
        if victim is not None:
            self.kill(victim, "damaged")

    # --- processes that are away --------------------------------------------------------------------------------

    def _zombie(self) -> None:
        victim = self._victim()
        if victim is None:
            return
        self._struck["zombie"] += 1
        if self._draw.random() < 0.5:
            self._stopping.add(victim.name)  # in the middle of its next write
        else:
            self._stop(victim)

    def _stop(self, victim: Member) -> None:
        victim.memory.freeze(self._draw.uniform(10.5, 16.0))
        if all(member.memory.frozen for member in self._simulation.alive()):
            self._join()

    def written(self, member: Member) -> None:
        """A process has just written; it may be stopped for longer than its session now."""
        if member.name in self._stopping and not self._simulation.calm and not member.leaving:
            self._stopping.discard(member.name)
            self._stop(member)

    def _freeze(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.memory.freeze(self._draw.choice([0.05, 1.0, 5.0]))

    def _cut(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.memory.cut(self._draw.choice([0.2, 4.0, 12.0, 33.0]))

    # --- the group ----------------------------------------------------------------------------------------------

    def _rebalance(self) -> None:
        self._simulation.world.cluster.rebalance()

    def _join(self) -> None:
        self._joined += 1
        self._simulation.start(f"j{self._joined}")
        self._struck["join"] += 1

    def _leave(self) -> None:
        alive = [m for m in self._simulation.alive() if not m.memory.frozen and not m.leaving]
        if len(alive) > 1:
            victim = self._draw.choice(alive)
            victim.stop(lambda: None)
            self._struck["leave"] += 1

    # --- the broker, clocks, strangers --------------------------------------------------------------------------

    def _standstill(self) -> None:
        self._simulation.world.cluster.restart_broker(self._draw.choice([0.3, 3.0, 8.0, 33.0]))

    def _partition_standstill(self) -> None:
        cluster, topics = self._simulation.world.cluster, self._simulation.world.topics
        topic = self._draw.choice([topics.changelog, topics.commands, topics.events, topics.snapshots, topics.history])
        cluster.freeze(
            topic, self._draw.randrange(self._simulation.plan.partitions), self._draw.choice([0.3, 4.0, 33.0])
        )

    def _clock_jump(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.clock.jump(self._draw.choice([-3_600_000, -500, 500, 3_600_000]))
            self._struck["clock_jump"] += 1

    def _clock_rate(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.clock.run(self._draw.choice([0.5, 0.99, 1.01, 2.0]))
            self._struck["clock_rate"] += 1

    def _stranger_record(self) -> None:
        cluster, topics = self._simulation.world.cluster, self._simulation.world.topics
        number = self._draw.randrange(self._simulation.plan.partitions)
        topic = self._draw.choice([topics.changelog, topics.changelog, topics.changelog, topics.snapshots])
        oracle = self._simulation.oracles[number]
        stale = [value for value in oracle.log.values() if value]
        value = self._draw.choice([b"", b"hello", b"\x01", b"\x01\xc0"])
        if stale and topic == topics.changelog and self._draw.random() < 0.5:
            value = self._draw.choice(stale)  # an old record once more, maybe a claim
        cluster.append(topic, number, value)
        self._struck["stranger_record"] += 1

    def _stranger_gap(self) -> None:
        cluster, topics = self._simulation.world.cluster, self._simulation.world.topics
        topic = self._draw.choice([topics.changelog, topics.commands, topics.events])
        cluster.gap(topic, self._draw.randrange(self._simulation.plan.partitions), self._draw.randint(1, 3))

    def _retention(self) -> None:
        """Events that are applied expire."""
        simulation = self._simulation
        for oracle in simulation.oracles:
            position = simulation.inputs.events_position(oracle.number)
            if position:
                simulation.world.cluster.expire(simulation.world.topics.events, oracle.number, position)

    def _cancel(self) -> None:
        lives = [life for life in self._simulation.runs.lives.values() if life.alive]
        if lives and self._simulation.alive():
            life = self._draw.choice(lives)
            self._simulation.cancel(life.run_id, life.partition)

    def _reload(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.reload(self._simulation.functions, lambda: None)
            self._struck["reload"] += 1
