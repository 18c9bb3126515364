"""The log in memory under faults. Goal: it does every bad thing that Kafka may do, and none that Kafka never does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

import pytest

from headrace.adapters.memory_appender import MemoryAppender
from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.memory_network import CALM, Faults, Network
from headrace.adapters.seams import Outgoing, ReadFailure, Record
from headrace.adapters.virtual_loop import VirtualLoop

Report = tuple[int, str | None]

STORMY = Faults(
    append_lost=0.03,
    append_unknown=0.03,
    append_late=0.03,
    append_twice=0.02,
    producer_fatal=0.005,
    offset_gap=0.02,
    landed_after_death=0.5,
    bounds_failed=0.1,
    trim_failed=0.1,
    fetch_short=0.2,
    delay_ms=(0.1, 4.0),
    slow=0.05,
    slow_delay_ms=(20, 2_000),
    failure_delay_ms=(0, 30_000),
    late_delay_ms=(0, 20_000),
)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def cluster_with(loop: VirtualLoop, faults: Faults = CALM, seed: int = 0) -> MemoryCluster:
    cluster = MemoryCluster(loop, Network(seed, faults))
    cluster.create_topic("t", 2)
    return cluster


def values(cluster: MemoryCluster, partition: int = 0) -> list[bytes | None]:
    return [record.value for record in cluster.records("t", partition)]


def note_error(told: list[object], result: object, error: str | None) -> None:
    told.append(bool(error))


def append(appender: MemoryAppender, *sent: bytes, partition: int = 0) -> list[Report]:
    """Append, and return the list into which the reports will come."""
    reports: list[Report] = []
    for value in sent:
        appender.append("t", partition, value, lambda offset, error: reports.append((offset, error)))
    return reports


# --- one fault at a time ----------------------------------------------------------------------------------------


def test_a_calm_network_takes_no_time_and_strikes_nobody(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    reports = append(cluster.node("a").appender(), b"1", b"2")
    loop.advance(0)
    assert reports == [(0, None), (1, None)]
    assert [record.timestamp_ms for record in cluster.records("t", 0)] == [cluster.clock.wall_ms()] * 2
    assert cluster.network.struck == Counter()


def test_a_lost_record_is_reported_as_failed_and_later_ones_land(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(append_lost=1.0))
    appender = cluster.node("a").appender()
    lost = append(appender, b"lost")
    loop.advance(1)
    cluster.network.faults = CALM
    kept = append(appender, b"kept")
    loop.advance(1)
    assert [(offset, bool(error)) for offset, error in lost] == [(-1, True)]
    assert kept == [(0, None)]
    assert values(cluster) == [b"kept"]
    assert cluster.network.struck == {"append_lost": 1}


def test_a_record_of_unknown_outcome_is_in_the_log_although_it_is_reported_as_failed(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(append_unknown=1.0))
    reports = append(cluster.node("a").appender(), b"there")
    loop.advance(1)
    assert [(offset, bool(error)) for offset, error in reports] == [(-1, True)]
    assert values(cluster) == [b"there"]


def test_a_late_record_comes_after_it_was_reported_as_failed(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(append_late=1.0, late_delay_ms=(5_000, 5_000)))
    reports = append(cluster.node("a").appender(), b"late")
    loop.advance(1)
    assert [(offset, bool(error)) for offset, error in reports] == [(-1, True)]
    assert values(cluster) == []
    loop.advance(5)
    assert values(cluster) == [b"late"]


def test_a_late_record_never_lands_behind_a_newer_one_of_its_living_producer(loop: VirtualLoop) -> None:
    outcomes = set()
    for seed in range(20):
        cluster = cluster_with(loop, Faults(append_late=1.0, late_delay_ms=(5_000, 5_000)), seed)
        appender = cluster.node("a").appender()
        append(appender, b"late")
        loop.advance(1)
        cluster.network.faults = CALM
        append(appender, b"new")
        loop.advance(10)
        outcomes.add(tuple(values(cluster)))
    assert outcomes == {(b"late", b"new"), (b"new",)}


def test_a_late_record_of_a_producer_that_was_replaced_may_land_behind_the_new_ones(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(append_late=1.0, landed_after_death=1.0, late_delay_ms=(5_000, 5_000)))
    appender = cluster.node("a").appender()
    append(appender, b"late")
    loop.advance(1)
    appender.renew()
    cluster.network.faults = CALM
    assert append(appender, b"new") == []
    loop.advance(10)
    assert values(cluster) == [b"new", b"late"]


def test_a_repeated_record_is_reported_at_its_second_offset(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(append_twice=1.0))
    reports = append(cluster.node("a").appender(), b"twice")
    loop.advance(1)
    assert reports == [(1, None)]
    assert values(cluster) == [b"twice", b"twice"]


def test_a_fatal_error_fails_everything_until_the_producer_is_renewed(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(producer_fatal=1.0))
    appender = cluster.node("a").appender()
    other = append(appender, b"other", partition=1)
    reports = append(appender, b"1", b"2")
    loop.advance(1)
    cluster.network.faults = CALM
    after = append(appender, b"3")
    batches: list[int | None] = []
    appender.send([Outgoing("t", 0, None, b"4"), Outgoing("t", 1, None, b"5")], batches.append)
    assert appender.unreported == 2
    loop.advance(1)
    assert [(offset, bool(error)) for offset, error in reports + other + after] == [(-1, True)] * 4
    assert batches == [0]
    assert appender.unreported == 0
    before = values(cluster)
    appender.renew()
    renewed = append(appender, b"6")
    loop.advance(1)
    assert renewed == [(len(before), None)]
    assert values(cluster) == [*before, b"6"]


def test_a_gap_leaves_an_offset_without_a_record(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(offset_gap=1.0))
    reports = append(cluster.node("a").appender(), b"1", b"2")
    loop.advance(1)
    assert reports == [(1, None), (3, None)]
    read: list[Record] = []
    cluster.node("b").reader().read("t", 0, 0, read.extend, lambda *failure: None)
    loop.advance(1)
    assert [record.offset for record in read] == [1, 3]


def test_a_trim_reported_as_failed_is_done_or_not(loop: VirtualLoop) -> None:
    starts = set()
    for seed in range(20):
        cluster = cluster_with(loop, Faults(trim_failed=1.0), seed)
        for _ in range(4):
            cluster.append("t", 0, b".")
        answers: list[str | None] = []
        cluster.node("a").partitions().trim("t", 0, 3, answers.append)
        loop.advance(1)
        assert answers[0] is not None
        starts.add(cluster.topics["t"].partitions[0].start)
    assert starts == {0, 3}


def test_asking_for_bounds_may_fail(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(bounds_failed=1.0))
    answers: list[object] = []
    cluster.node("a").partitions().bounds("t", 0, lambda bounds, error: answers.append((bounds, bool(error))))
    loop.advance(1)
    assert answers == [(None, True)]


def test_a_topic_keeps_its_id_and_a_new_one_of_its_name_has_another(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    node = cluster.node("a")
    cluster.append("t", 0, b"old")
    told: list[str | None] = []
    failures: list[ReadFailure] = []
    node.reader().read("t", 0, 1, lambda records: None, lambda failure, text: failures.append(failure))
    for _ in range(2):
        node.partitions().topic_id("t", lambda topic_id, error: told.append(topic_id))
        loop.advance(1)
    assert not failures
    cluster.recreate_topic("t")
    node.partitions().topic_id("t", lambda topic_id, error: told.append(topic_id))
    loop.advance(1)
    assert told[0] == told[1] != told[2]
    assert values(cluster) == []
    assert failures == [ReadFailure.OUT_OF_RANGE]


def test_a_reading_ends_when_its_topic_is_deleted(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    failures: list[ReadFailure] = []
    cluster.node("a").reader().read("t", 0, 0, lambda records: None, lambda failure, text: failures.append(failure))
    loop.advance(1)
    cluster.delete_topic("t")
    loop.advance(1)
    assert failures == [ReadFailure.UNKNOWN_TOPIC]


def test_a_truncated_log_ends_the_readings_that_were_further(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    for number in range(5):
        cluster.append("t", 0, b"%d" % number)
    failures: list[ReadFailure] = []
    reader = cluster.node("a").reader()
    reader.read("t", 0, 5, lambda records: None, lambda failure, text: failures.append(failure))
    reader.read("t", 0, 2, lambda records: None, lambda failure, text: failures.append(failure)).pause()
    loop.advance(1)
    cluster.truncate("t", 0, 3)
    loop.advance(1)
    assert failures == [ReadFailure.OUT_OF_RANGE]
    assert cluster.append("t", 0, b"anew") == 3


def test_compaction_leaves_the_last_record_of_each_key_at_its_offset(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    for key, value in [(b"a", b"1"), (b"b", b"1"), (None, b"-"), (b"a", b"2"), (b"b", None)]:
        cluster.append("t", 0, value, key)
    cluster.compact("t")
    left = [(record.offset, record.key, record.value) for record in cluster.records("t", 0)]
    assert left == [(2, None, b"-"), (3, b"a", b"2"), (4, b"b", None)]


# --- standing still ---------------------------------------------------------------------------------------------


def test_a_frozen_partition_gives_nothing_and_takes_nothing_and_the_others_go_on(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    node = cluster.node("a")
    appender = node.appender()
    read: list[Record] = []
    answers: list[object] = []
    node.reader().read("t", 0, 0, read.extend, lambda *failure: None)
    loop.advance(1)
    cluster.freeze("t", 0, 8.0)
    frozen, free = append(appender, b"frozen"), append(appender, b"free", partition=1)
    cluster.append("t", 0, b"seen later")
    node.partitions().bounds("t", 0, lambda bounds, error: answers.append(bounds))
    loop.advance(7)
    assert (frozen, free, read, answers) == ([], [(0, None)], [], [])
    loop.advance(2)
    assert frozen == [(1, None)]
    assert [record.value for record in read] == [b"seen later", b"frozen"]
    assert len(answers) == 1


def test_what_waits_too_long_is_reported_as_failed_and_lands_or_not(loop: VirtualLoop) -> None:
    outcomes = set()
    for seed in range(20):
        cluster = cluster_with(loop, seed=seed)
        appender = cluster.node("a").appender()
        cluster.freeze("t", 0, 120.0)
        reports = append(appender, b"1", b"2")
        answers: list[object] = []
        cluster.node("a").partitions().bounds("t", 0, partial(note_error, answers))
        loop.advance(29)
        assert reports == []
        loop.advance(2)
        assert [(offset, bool(error)) for offset, error in reports] == [(-1, True)] * 2
        assert answers == [True]
        loop.advance(100)
        outcomes.add(tuple(values(cluster)))
    assert outcomes == {(), (b"1", b"2")}


def test_an_acknowledgement_that_is_held_up_too_long_is_an_unknown_outcome(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop, Faults(delay_ms=(10.0, 10.0)))
    reports = append(cluster.node("a").appender(), b"there")
    loop.advance(0.015)
    assert values(cluster) == [b"there"]
    cluster.freeze("t", 0, 120.0)
    loop.advance(200)
    assert [(offset, bool(error)) for offset, error in reports] == [(-1, True)]


def test_a_restart_of_the_broker_only_takes_time(loop: VirtualLoop) -> None:
    cluster = cluster_with(loop)
    appender = cluster.node("a").appender()
    first = append(appender, b"1")
    cluster.restart_broker(5.0)
    second = append(appender, b"2", partition=1)
    loop.advance(4)
    assert first == second == []
    loop.advance(2)
    assert (first, second) == ([(0, None)], [(0, None)])


# --- everything at once -----------------------------------------------------------------------------------------


@dataclass
class Sent:
    """What became of one record, as its sender was told."""

    producer: int
    number: int
    reports: list[Report] = field(default_factory=list)


class Storm:
    """Senders and readers on a stormy network: nodes crash, freeze and are cut off, producers are renewed."""

    def __init__(self, loop: VirtualLoop, seed: int, faults: Faults) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.cluster = cluster_with(loop, faults, seed)
        self.told: dict[tuple[int, int], list[int]] = {}
        self.sent: dict[bytes, Sent] = {}
        self.producers = 0
        self.batch_reports = 0
        self.senders = [self._start("0"), self._start("1")]
        self.read: list[Record] = []
        self.cluster.node("reader").reader().read("t", 0, 0, self.read.extend, self._fail)

    def _fail(self, failure: ReadFailure, text: str) -> None:
        raise AssertionError(f"{failure}: {text}")

    def _start(self, name: str) -> tuple[MemoryAppender, int]:
        self.producers += 1
        return self.cluster.node(name).appender(), self.producers

    def step(self) -> None:
        which = self.random.randrange(2)
        appender, producer = self.senders[which]
        drawn = self.random.random()
        node = appender.node
        if node.frozen and drawn < 0.95:
            pass  # a process that stands still sends nothing
        elif drawn < 0.9:
            for _ in range(self.random.choice([1, 1, 3])):
                value = b"%d" % len(self.sent)
                sent = self.sent[value] = Sent(producer, len(self.sent))
                appender.append("t", 0, value, partial(self._told, sent))
        elif drawn < 0.93:
            batch = [Outgoing("t", 1, None, b"%d" % index) for index in range(5)]
            appender.send(batch, self._batch_told)
        elif drawn < 0.95:
            appender.renew()
            self.producers += 1
            self.senders[which] = (appender, self.producers)
        elif drawn < 0.96:
            node.crash()
            self.senders[which] = self._start(node.name)
        elif drawn < 0.975:
            node.freeze(self.random.choice([0.1, 2, 40]))
        elif drawn < 0.985:
            node.cut(self.random.choice([0.1, 2, 40]))
        elif drawn < 0.995:
            self.cluster.freeze("t", self.random.randrange(2), self.random.uniform(0.1, 60))
        else:
            self.cluster.restart_broker(self.random.uniform(0.1, 10))
        self.loop.advance(self.random.choice([0.0, 0.001, 0.01, 0.5]))

    def _told(self, sent: Sent, offset: int, error: str | None) -> None:
        sent.reports.append((offset, error))
        self.told.setdefault((sent.producer, 0), []).append(sent.number)

    def _batch_told(self, failed: int | None) -> None:
        assert failed is None or 0 <= failed < 5
        self.batch_reports += 1

    def calm_down(self) -> None:
        self.cluster.network.faults = CALM
        self.loop.advance(300)


@pytest.mark.parametrize("seed", range(8))
def test_in_a_storm_the_log_stays_what_a_log_is(loop: VirtualLoop, seed: int) -> None:
    """Method: thousands of appends with all faults at once; then compare reports, log and reading."""
    storm = Storm(loop, seed, STORMY)
    for _ in range(4000):
        storm.step()
    storm.calm_down()
    log = storm.cluster.records("t", 0)
    at = {record.offset: record.value for record in log}

    # Offsets ascend, with gaps only where they were planted, and the reading shows just this log.
    assert [record.offset for record in log] == sorted(at)
    assert storm.read == log

    # Nothing is reported twice. A report without an error tells the truth. Reports of one producer come in order.
    for value, sent in storm.sent.items():
        assert len(sent.reports) <= 1
        for offset, error in sent.reports:
            assert (offset < 0) == (error is not None)
            if error is None:
                assert at[offset] == value
    for numbers in storm.told.values():
        assert numbers == sorted(numbers)

    # What is not reported at all belongs to a producer that died with its process.
    living = {producer for _, producer in storm.senders}
    assert all(sent.reports for sent in storm.sent.values() if sent.producer in living)
    assert all(appender.unreported == 0 for appender, _ in storm.senders)

    # Records of one producer land in the order of the calls while it lives; a record lands twice at most.
    landed = [storm.sent[record.value] for record in log if record.value is not None]
    counts = Counter(sent.number for sent in landed)
    assert max(counts.values()) == 2
    for producer in range(1, storm.producers + 1):
        numbers = [sent.number for sent in landed if sent.producer == producer and sent.reports and ok(sent)]
        assert numbers == sorted(numbers)
    for producer in living:
        numbers = [sent.number for sent in landed if sent.producer == producer]
        assert numbers == sorted(numbers)


def ok(sent: Sent) -> bool:
    return sent.reports[0][1] is None


def test_every_fault_strikes_in_a_storm(loop: VirtualLoop) -> None:
    struck: Counter[str] = Counter()
    batch_reports = 0
    for seed in range(4):
        storm = Storm(loop, seed, STORMY)
        for _ in range(1500):
            storm.step()
            storm.cluster.node("asker").partitions().bounds("t", 0, lambda bounds, error: None)
            storm.cluster.node("asker").partitions().trim("t", 1, 0, lambda error: None)
        storm.calm_down()
        batch_reports += storm.batch_reports
        struck += storm.cluster.network.struck
    likely = {name for name, value in vars(STORMY).items() if isinstance(value, float) and value > 0}
    timed = {"node_crash", "node_freeze", "node_cut", "partition_freeze", "broker_restart"}
    assert batch_reports > 100
    assert likely | timed | {"append_timed_out", "append_by_zombie"} <= set(struck)


def test_the_same_seed_gives_the_same_log() -> None:
    def play(seed: int) -> list[Record]:
        with VirtualLoop() as loop:
            storm = Storm(loop, seed, STORMY)
            for _ in range(500):
                storm.step()
            storm.calm_down()
            return storm.read

    assert play(3) == play(3)
    assert play(3) != play(4)


def test_faults_that_add_up_to_more_than_one_are_refused() -> None:
    with pytest.raises(AssertionError, match="add up"):
        Network(0, replace(CALM, append_lost=0.7, append_late=0.7))
