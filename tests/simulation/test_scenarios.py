"""What other projects got wrong, and what was found here: each a sentence, with all checkers looking on."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from headrace.adapters.memory_network import Faults
from headrace.adapters.rocksdb_store import RocksStore, RocksStores
from headrace.worker.layout import Limits
from headrace.worker.ownership import State
from tests.simulation.scene import scene

SMALL = Limits(snapshot_bytes=1_500, snapshot_chunk_bytes=200, snapshot_check_ms=50, chunk_bytes=400)
THREE = {"s0": {}, "s1": {"ms": 20}, "s2": {}}


def test_a_rebalance_during_a_restore_loses_nothing() -> None:
    with scene(partitions=4, limits=SMALL, faults=Faults(delay_ms=(5.0, 40.0), fetch_short=0.9)) as world:
        world.node("n0")
        for _ in range(30):
            world.send("steps", steps=THREE)
        world.pass_time(2.0)
        joined = world.start("n1")
        world.until(lambda: any(o.state is State.RESTORING for o in joined.node.owned.values()))
        world.world.cluster.rebalance()
        world.pass_time(0.01)
        world.world.cluster.rebalance()
        world.start("n2")
        world.pass_time(0.2)
        joined.crash()


def test_the_last_record_before_a_crash_is_the_only_one_in_the_log() -> None:
    with scene() as world:
        member = world.node("n0")
        (oracle,) = world.oracles
        world.until(lambda: len(oracle.commits) == 1)  # the definitions
        assert len(oracle.log) == 2
        member.crash()
        world.start("n0", afresh=True)
        world.until(lambda: len(oracle.claims) == 2)


def test_a_log_that_holds_one_claim_and_nothing_else_is_restored() -> None:
    with scene() as world:
        member = world.start("n0")
        (oracle,) = world.oracles
        world.world.loop.run_until(lambda: bool(oracle.claims), 20.0)
        member.crash()
        assert (len(oracle.log), oracle.commits) == (1, [])
        world.node("n0")
        assert [position for position in oracle.contexts if position <= 2]


def test_a_log_trimmed_to_one_record_is_restored_from_its_snapshot() -> None:
    with scene(limits=SMALL) as world:
        world.node("n0")
        for _ in range(20):
            world.send("steps", steps=THREE)
        changelog = world.world.cluster.topics[world.world.topics.changelog].partitions[0]
        world.until(lambda: changelog.start > 0 and not world.liveness.unrest())
        # What is left of the log is less than a snapshot's worth; the rest is in the snapshot alone.
        assert changelog.end - changelog.start < 40
        for member in world.alive():
            member.crash()
        world.node("n1")


def test_a_flood_behind_a_paused_source_is_applied_to_its_end_also_across_owners() -> None:
    limits = Limits(pending_bytes=300, turn_bytes=200, turn_inputs=2)
    with scene(partitions=2, limits=limits, faults=Faults(delay_ms=(0.0, 3.0))) as world:
        world.node("n0")
        for number in range(60):
            world.send("plain", key=f"k{number % 5}")
        world.pass_time(0.02)
        world.start("n1")
        for number in range(60):
            world.send("plain", key=f"k{number % 5}")


def test_full_of_code_that_hangs_a_node_commits_no_empty_turns() -> None:
    with scene(live_max=2) as world:
        world.node("n0")
        for _ in range(6):
            world.send("steps", steps={"s0": {"ms": 5_000}})
        world.pass_time(1.0)
        before = len(world.oracles[0].commits)
        world.pass_time(3.0)
        assert len(world.oracles[0].commits) - before <= 3


def test_a_partition_that_leaves_before_all_its_code_is_started_leaves_nothing_behind() -> None:
    with scene(live_max=2) as world:
        member = world.node("n0")
        for _ in range(6):
            world.send("steps", steps={"s0": {"ms": 3_000}})
        world.pass_time(0.1)
        member.crash()
        member = world.node("n0")  # which finds more runs than it has room for
        member.stop(lambda: None)
        world.until(lambda: member.stopped)
        world.pass_time(1.0)


def test_a_partition_that_is_given_back_while_it_drains_runs_again() -> None:
    with scene(limits=Limits(drain_ms=200)) as world:
        member = world.node("n0")
        world.world.cluster.freeze(world.world.topics.changelog, 0, 12.0)
        world.send("steps", steps={"s0": {"ms": 100}})
        world.pass_time(0.01)
        world.world.cluster.rebalance()  # to nobody else: it comes back, long before its commits are acknowledged
        world.pass_time(8.0)
        assert member.node.owned[0].state is State.DRAINING
        world.until(world.world.settled)


def test_marks_of_a_transaction_at_the_end_of_a_log_hold_up_neither_a_restore_nor_a_timer() -> None:
    with scene() as world:
        member = world.node("n0")
        world.send("sleeper", naps=[3_000])
        world.pass_time(1.0)
        topics, cluster = world.world.topics, world.world.cluster
        for topic in (topics.changelog, topics.events, topics.commands):
            cluster.gap(topic, 0, 1)
        member.crash()
        world.start("n0", afresh=True)
        world.until(lambda: not world.live("sim-sleeper"), 30.0)


def test_a_cancellation_in_the_log_beats_a_timer_that_became_due_while_nobody_ran() -> None:
    with scene(faults=Faults(delay_ms=(20.0, 60.0))) as world:
        member = world.node("n0")
        asleep = world.send("sleeper", naps=[5_000])
        world.until(lambda: any(key[:1] == b"t" for key in world.oracles[0].state))
        (run_id,) = world.live("sim-sleeper")
        member.node.cancel(run_id, 0, "while nobody runs", lambda written: None)
        commands = world.world.cluster.topics[world.world.topics.commands].partitions[0]
        world.world.loop.run_until(lambda: commands.end == 1, 1.0)
        member.crash()
        assert world.live("sim-sleeper") == [run_id]
        world.pass_time(20.0)  # the nap is over; what came before that is still unread
        world.start("n0")
        world.until(lambda: not world.live("sim-sleeper"))
        world.pass_time(1.0)
        told = world.liveness.history_of(run_id)
        assert told[-1].status == "Cancelled"
        assert "StepEnded" not in [life.kind for life in told], "the nap was over before the cancellation was read"
        asleep.ends = "Cancelled"


def test_a_broker_that_stands_still_for_longer_than_records_live_loses_nothing() -> None:
    with scene(partitions=2, limits=SMALL) as world:
        world.node("n0")
        for number in range(10):
            world.send("chain", key=f"k{number % 5}", events=[{"name": "plain", "data": {"n": 100 + number}}])
        world.pass_time(0.003)
        world.world.cluster.restart_broker(40.0)
        world.pass_time(45.0)
        assert world.struck["append_timed_out"]


def test_a_forged_header_goes_to_the_dead_letters_and_breaks_nothing() -> None:
    with scene() as world:
        world.node("n0")
        topics, cluster = world.world.topics, world.world.cluster
        for source in (b"0:99999999999999999999:-1", b"-1:1:-1", b"nonsense", b"", b"4294967296:5:-1"):
            cluster.append(topics.events, 0, b'{"name":"plain","data":{"n":1}}', None, [("headrace-source", source)])
        world.send("plain")
        world.pass_time(1.0)
        assert len(cluster.records(topics.dead, 0)) == 5


def expired_while_down(skip: bool) -> None:
    with scene(partitions=2) as world:
        world.node("n0")
        world.send("plain", key=None)
        world.pass_time(1.0)
        for member in world.alive():
            member.crash()
        lost = [world.send("plain", key=None) for _ in range(3)]
        kept = world.send("plain", key=None)
        world.world.cluster.expire(world.world.topics.events, 0, kept.offset)
        world.pass_time(11.0)
        member = world.start("n1", skip_expired=skip)
        for gone in lost:
            world.sent.remove(gone)
        if not skip:
            world.until(lambda: world.codes("source_stopped"))
            world.pass_time(5.0)
            assert not member.ready()[0]
            assert member.node.owned[0].trouble.records_gone == 3
            member.crash()
            world.start("n1", skip_expired=True)
        world.until(lambda: world.codes("records_skipped"))
        assert "3 records" in world.codes("records_skipped")[0]


def test_an_expired_source_position_stops_the_source_loudly() -> None:
    expired_while_down(skip=False)


def test_an_expired_source_position_is_skipped_and_counted_if_the_operator_says_so() -> None:
    expired_while_down(skip=True)


@pytest.mark.parametrize("skip", [False, True])
def test_an_events_topic_that_was_made_anew_is_another_one_however_long_it_is(skip: bool) -> None:
    with scene(partitions=2) as world:
        world.node("n0")
        for _ in range(3):
            world.send("plain", key=None)
        world.pass_time(1.0)
        for member in world.alive():
            member.crash()
        cluster, events = world.world.cluster, world.world.topics.events
        cluster.recreate_topic(events)
        for _ in range(8):
            world.send("plain", key=None)
        world.pass_time(11.0)
        member = world.start("n1", skip_expired=skip)
        if not skip:
            world.until(lambda: world.codes("events_topic_replaced"))
            world.pass_time(5.0)
            assert not member.ready()[0]
            for member in world.alive():
                member.crash()
            world.pass_time(11.0)
            world.start("n2", skip_expired=True)
        anew = "it is read from its first record on"
        world.until(lambda: sum(anew in told for told in world.codes("events_topic_replaced")) == 2)
        world.until(world.world.settled)
        world.pass_time(1.0)


class TimedStores:
    """Real stores, and how long it took to close them."""

    def __init__(self, folder: Path) -> None:
        self._inner = RocksStores(folder)
        self.wipe = self._inner.wipe
        self.closed = 0
        self.seconds = 0.0

    def open(self, partition: int) -> TimedStore:
        return TimedStore(self._inner.open(partition), self)


class TimedStore:
    """One of them."""

    def __init__(self, inner: RocksStore, stores: TimedStores) -> None:
        self._inner = inner
        self._stores = stores
        self.get, self.scan, self.write, self.snapshot = inner.get, inner.scan, inner.write, inner.snapshot

    def close(self) -> None:
        began = perf_counter()
        self._inner.close()
        self._stores.seconds += perf_counter() - began
        self._stores.closed += 1


def test_sixty_four_stores_are_closed_during_a_rebalance_before_the_group_stops_waiting(tmp_path: Path) -> None:
    """Method: real stores on a disk; what the closing takes is real time, everything else is virtual."""
    with scene(partitions=64) as world:
        disks = {name: TimedStores(tmp_path / name) for name in ("n0", "n1")}
        world.real_stores.update(disks)
        world.node("n0")
        for number in range(150):
            world.send("steps", key=f"k{number}", steps=THREE)
        world.pass_time(1.0)
        joined = world.start("n1")
        disk = disks["n0"]
        disk.closed, disk.seconds = 0, 0.0
        world.until(lambda: joined.running() == 32)
        world.until(world.world.settled)
        assert disk.closed == 32
        leaving = world.world.members["n0"]
        leaving.stop(lambda: None)
        world.until(lambda: leaving.stopped)
        world.until(world.world.settled)
        disk = disks["n1"]
        disk.closed, disk.seconds = 0, 0.0
        joined.stop(lambda: None)
        world.until(lambda: joined.stopped)
        assert disk.closed == 64
        assert disk.seconds < 3.0, "a group waits 3 s for a member to let go"


@pytest.mark.parametrize("kind", ["commit", "send", "store", "trim"])
@pytest.mark.parametrize("after", [False, True])
def test_the_process_may_die_at_every_single_write(kind: str, after: bool) -> None:
    """Method: the same short story again and again, with a crash before (or after) the first write, the second, …"""
    number = 0
    while True:
        number += 1
        with scene(partitions=2, limits=SMALL, unflushed_max=3) as world:
            world.blows.die_at("n0", kind, after, number)
            world.start("n0")
            world.pass_time(0.5)
            inner = [{"name": "plain", "key": "k1", "data": {"n": 50}}, {"name": "plain", "data": {"n": 51}, "id": "x"}]
            world.send("chain", key="k2", events=inner)
            world.send("steps", steps={"s0": {"fails": 1}, "s1": {"size": 600}})
            world.send("sleeper", naps=[100])
            world.pass_time(3.0)
            died = world.struck[f"crash_{'after' if after else 'before'}_{kind}"]
        if not died:
            break
    assert number > 3, "it did not die often enough"
