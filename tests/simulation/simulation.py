"""One simulated world: from a seed to its rest, and what struck on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.memory_network import CALM, Network
from headrace.adapters.memory_store import MemoryStores
from headrace.adapters.seams import Stores
from headrace.records.events import HEADER_ID
from headrace.records.ids import derive_ulid, partition_of
from headrace.testing import Member, World
from headrace.worker.node import Means
from headrace.worker.surroundings import Surroundings
from tests.simulation import checkers_log, checkers_runs
from tests.simulation.blows import Blows
from tests.simulation.oracle import Oracle, Runs, Violation
from tests.simulation.plan import Plan, draw_plan
from tests.simulation.seams import (
    ProcessDied,
    WatchedAppender,
    WatchedExecution,
    WatchedPartitions,
    WatchedStores,
)
from tests.simulation.trace import Trace
from tests.simulation.watch import Landing, Watch
from tests.simulation.work import WORK, Work
from tests.simulation.workload import KEYS, Scribe, Scripts, Sent, event_value, make_functions

REST_S_MAX = 240.0
_LOOK_S = 0.25


@dataclass
class Outcome:
    """What became of a world."""

    seed: int
    struck: Counter[str]
    trace: str
    runs: int
    seconds: float  # of virtual time


class Simulation:
    """A world under a plan, with its checkers. Use `run`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.draw = Random(f"world {plan.seed}")
        self.network = Network(plan.seed, plan.faults)
        self.struck = self.network.struck
        self.world = World(
            partitions=plan.partitions,
            events_partitions=plan.events_partitions,
            network=self.network,
            limits=plan.limits,
        )
        self.sent: list[Sent] = []
        self.scribe = Scribe()
        self.functions = make_functions(self.scribe)
        self.disks: dict[str, MemoryStores] = {}
        self.calm = False
        self.skip_expired = False
        self.cancelled: set[str] = set()
        self.real_stores: dict[str, Stores] = {}  # by member, where a test wants other ones than those in memory
        self._scripts = Scripts(self.draw)
        self._repeatable: list[tuple[dict[str, Any], str, str | None]] = []
        self._make_checkers()
        self.more_work: list[Work] = [WORK[name](self) for name in sorted(plan.work)]
        for work in self.more_work:
            self.functions.update(work.functions)
        self.blows = Blows(self)

    def _make_checkers(self) -> None:
        cluster, topics = self.world.cluster, self.world.topics
        self.trace = Trace(cluster)
        changelog = cluster.topics[topics.changelog]
        self.oracles = [Oracle(partition) for partition in changelog.partitions]
        self.runs = Runs(self.oracles)
        self.inputs = checkers_log.I1Inputs(self.oracles)
        self.stores = checkers_log.I2Store(self.oracles)
        self.owners = checkers_log.I3Owners(self.oracles)
        self.outputs = checkers_runs.I4Outputs(self.oracles, topics, self.runs)
        self.commands = checkers_log.I5Commands(self.oracles, topics, cluster)
        self.published = checkers_runs.I6Published(self.outputs, topics, self.runs)
        self.snapshots = checkers_log.I7Snapshots(self.oracles, topics)
        self.results = checkers_runs.I10Results(self.runs)
        self.steps = checkers_runs.I11Steps(self.oracles, self.runs)
        self.liveness = checkers_runs.Liveness(self.oracles, cluster, topics, self.runs)
        self.scribe.on_attempt.append(self.steps.attempted)
        self.scribe.struck = self.struck
        self.scribe.on_value.append(self.results.saw)
        followed = (topics.events, topics.commands, topics.history, topics.dead, topics.snapshots, topics.functions)
        for topic in followed:
            for partition in cluster.topics[topic].partitions:
                partition.followers.append(Landing(partition, partial(self._landed, topic)))

    def _landed(self, topic: str, record: Any) -> None:
        topics = self.world.topics
        self.commands.landed(topic, record.partition, record)
        if topic == topics.snapshots:
            self.snapshots.landed(record.partition, record)
        elif topic in (topics.history, topics.dead):
            self.liveness.landed(topic, record)

    # --- the life of the world ----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Live through the plan, come to rest, and judge."""
        Violation.raised.clear()
        try:
            for number in range(self.plan.members):
                self.start(f"n{number}")
            self._schedule_events()
            self.blows.schedule()
            self.pass_time(self.plan.seconds)
            self._calm_down()
            self._come_to_rest()
            self._judge()
            self._restore_afresh()
            self.struck["snapshot_loaded"] += self.stores.snapshots_loaded
            self.struck["command_forwarded"] += self.commands.forwarded
            self.struck["command_handed"] += self.commands.handed
            return Outcome(
                self.plan.seed, self.struck, self.trace.digest(), len(self.runs.lives), self.world.loop.time()
            )
        finally:
            self.calm = True
            self.world.close()

    def pass_time(self, seconds: float) -> None:
        """Let time pass; a process that dies in the middle of a callback stops nothing else."""
        until = self.world.loop.time() + seconds
        while True:
            try:
                self.world.advance(max(0.0, until - self.world.loop.time()))
                break
            except ProcessDied:
                continue
        if Violation.raised:
            raise Violation.raised[0]

    def start(self, name: str, *, afresh: bool = False, skip_expired: bool = False) -> Member:
        """Start a process on the disk of the one that had this name before, if there was one."""
        self.skip_expired = skip_expired
        old = self.world.members.get(name)
        stores = self.disks.get(name)
        if stores is None or afresh:
            stores = self.disks[name] = MemoryStores(self.plan.unflushed_max, self.struck)
            for partition in range(self.plan.partitions):
                self.stores.wiped(name, partition)
        assert old is None or old.ended
        skew_ms = self.draw.randint(-self.plan.skew_ms, self.plan.skew_ms)
        if skew_ms:
            self.struck["clock_skew"] += 1
        clock = ManualClock(self.world.loop.time, skew_ms=skew_ms, zero_ms=self.draw.randint(0, 1_000_000))
        return self.world.start(
            name,
            self.functions,
            stores=stores,
            clock=clock,
            evict_always=self.plan.evict_always,
            settings=self.plan.settings,
            adjust=self._adjust,
        )

    def _adjust(self, member: Member, around: Surroundings, means: Means) -> tuple[Surroundings, Means]:
        watch = Watch(self, member)
        around = replace(
            around,
            commits=WatchedAppender(around.commits, watch, "commit"),
            outbox=WatchedAppender(around.outbox, watch, "send"),
            execution=WatchedExecution(member.execution, watch),
        )
        means = replace(
            means,
            skip_expired=self.skip_expired,
            stores=WatchedStores(self.real_stores.get(member.name, means.stores), watch),
            partitions=WatchedPartitions(means.partitions, watch),
        )
        return around, means

    def alive(self) -> list[Member]:
        """The processes that run now."""
        return [member for member in self.world.members.values() if not member.ended]

    # --- what strangers send ------------------------------------------------------------------------------------

    def _schedule_events(self) -> None:
        for _ in range(self.plan.events):
            self.world.loop.call_later(self.draw.random() * self.plan.seconds * 0.9, self._send)
        for work in self.more_work:
            work.schedule()

    def _send(self) -> None:
        draw = self.draw
        kind = draw.random()
        if kind < 0.05:
            self._send_poison()
            return
        if kind < 0.2 and self._repeatable:
            event, given_id, key = draw.choice(self._repeatable)
            self.struck["event_repeated"] += 1
            self._append(event, given_id, key)
            return
        event = self._scripts.event()
        key = draw.choice(KEYS) if draw.random() < 0.6 else None
        given_id = f"given-{event['data']['n']}" if draw.random() < 0.4 else ""
        if given_id:
            self._repeatable.append((event, given_id, key))
            if key is None:
                self.struck["event_forwarded"] += 1
        ts_ms = 0
        if draw.random() < 0.15:
            ts_ms = self.world.cluster.clock.wall_ms() + draw.randint(1, 8_000)
            self.struck["event_later"] += 1
        self._append(event, given_id, key, ts_ms, twice=not given_id and draw.random() < 0.1)

    def _append(
        self, event: dict[str, Any], given_id: str, key: str | None, ts_ms: int = 0, twice: bool = False
    ) -> None:
        world = self.world
        place = self.draw.randrange(self.plan.events_partitions)
        if key is not None:
            place = partition_of(key.encode(), self.plan.events_partitions)
        headers: list[tuple[str, bytes | None]] = []
        if twice or self.draw.random() < 0.3:
            header_id = derive_ulid(world.cluster.clock.wall_ms(), b"stranger\0%d" % len(self.sent))
            headers = [(HEADER_ID, header_id.encode())]
        value = event_value(event, given_id, ts_ms)
        for _ in range(1 + twice):
            offset = world.cluster.append(
                world.topics.events, place, value, None if key is None else key.encode(), headers
            )
            self.sent.append(Sent(event["name"], event["data"], place, offset, key, given_id, ts_ms))
        if twice:
            self.struck["event_written_twice"] += 1

    def _send_poison(self) -> None:
        place = self.draw.randrange(self.plan.events_partitions)
        offset = self.world.cluster.append(self.world.topics.events, place, self._scripts.poison(), b"poison")
        self.sent.append(Sent("poison", {}, place, offset, poison=True))
        self.struck["poison"] += 1

    # --- rest and judgement -------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self.calm = True
        self.network.faults = CALM
        for member in self.alive():
            member.memory.thaw()
            member.memory.cut_until = 0.0
            member.clock.run(1.0)
        for name in list(self.world.members) or ["n0"]:
            if self.world.members[name].ended and (name == "n0" or self.draw.random() < 0.5):
                self.start(name)
        self.pass_time(0.0)

    def _come_to_rest(self) -> None:
        until = self.world.loop.time() + REST_S_MAX
        unrest = "it has not begun"
        while self.world.loop.time() < until:
            self.pass_time(_LOOK_S)
            if not self.alive():  # the last one was about to leave
                self.start("n0")
            unrest = self.unrest()
            if not unrest and self.world.settled():
                return
            if self.world.loop.time() > until - REST_S_MAX * 0.9:
                self._cancel_long_runs()
        ready = {member.name: member.ready() for member in self.alive()}
        raise Violation(f"liveness: no rest after {REST_S_MAX} s: {unrest}; {ready}; {self.world.told()[-8:]}")

    def unrest(self) -> str:
        """Say what is still to be done, or ""."""
        found = [self.liveness.unrest(), *(work.unrest() for work in self.more_work)]  # each of them is asked
        return next(filter(None, found), "")

    def _cancel_long_runs(self) -> None:
        """What would sleep for a month is ended from the console."""
        for life in self.runs.lives.values():
            if life.alive and life.function_id == "sim-long":
                self.cancel(life.run_id, life.partition)

    def cancel(self, run_id: str, partition: int) -> None:
        """Have some process tell a run's home to cancel it."""
        self.cancelled.add(run_id)
        member = self.draw.choice(self.alive())
        self.struck["cancel"] += 1
        home = partition if self.draw.random() < 0.5 else None
        member.node.cancel(run_id, home, "by hand", lambda written: None)

    def _judge(self) -> None:
        self.owners.look()
        self._judge_adverts()
        self.commands.finish()
        expected = self.inputs.finish(self.sent, self.runs)
        expected.update(self.published.finish(self.plan.partitions))
        others = set[str]().union(*(work.run_ids() for work in self.more_work))
        self.liveness.finish(expected, self.sent, self.cancelled, others)
        for work in self.more_work:
            work.finish()

    def _judge_adverts(self) -> None:
        """After a while, every node tells the same of the whole cluster, and the truth."""
        for _ in range(400):
            self.pass_time(_LOOK_S)
            truth = {p: (m.name, "running") for m in self.alive() for p in m.node.owned}
            told = {
                m.name: {row.partition: (row.owner, row.state) for row in m.node.partition_rows()} for m in self.alive()
            }
            if all(rows == truth for rows in told.values()) and all(m.ready()[0] for m in self.alive()):
                return
        raise Violation(f"liveness: nodes tell {told}, {[m.ready() for m in self.alive()]}; in truth {truth}")

    def _restore_afresh(self) -> None:
        """Everybody dies, and a process without a disk must find the very same state (I7)."""
        for member in self.alive():
            member.crash()
        looks = self.stores.looks
        member = self.start("last", afresh=True)
        for _ in range(200):
            self.pass_time(_LOOK_S)
            if self.world.settled() and not self.unrest():  # partitions that begin ask each other what has come
                break
        if not self.world.settled() or self.stores.looks < looks + self.plan.partitions:
            raise Violation(f"I7: nothing can be restored: {member.ready()}, {self.world.told()[-5:]}")
        if self.unrest():
            raise Violation(f"I7: the restored world is not at rest: {self.unrest()}")


def replay_command(seed: int) -> str:
    """The command that runs the world of a seed again."""
    return f"make simulate N=1 SEED={seed}"


def simulate(seed: int) -> Outcome:
    """Run the world of a seed; raises Violation, which says how to run it again."""
    try:
        return Simulation(draw_plan(seed)).run()
    except Violation as violation:
        violation.add_note(f"seed {seed}; again: {replay_command(seed)}")
        raise
    except BaseException as error:
        error.add_note(f"seed {seed}; again: {replay_command(seed)}")
        raise
