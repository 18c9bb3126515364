"""A node's process in memory. Goal: frozen, nothing of it runs; dead, nothing ever; awake, all of it, in order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.memory_network import Network
from headrace.adapters.seams import Record
from headrace.adapters.virtual_loop import VirtualLoop


def note_offset(reports: list[int], offset: int, error: str | None) -> None:
    reports.append(offset)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


@pytest.fixture
def cluster(loop: VirtualLoop) -> MemoryCluster:
    cluster = MemoryCluster(loop)
    cluster.create_topic("t", 1)
    return cluster


def test_its_loop_runs_as_the_loop_does(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    node = cluster.node("a")
    ran: list[tuple[str, float]] = []
    node.loop.call_later(2.0, lambda: ran.append(("later", loop.time())))
    node.loop.call_soon(lambda: ran.append(("soon", loop.time())))
    for handle in (node.loop.call_soon(ran.append, ("no", 0.0)), node.loop.call_later(1, ran.append, ("no", 0.0))):
        handle.cancel()
    assert ran == []
    loop.advance(3)
    assert ran == [("soon", 0.0), ("later", 2.0)]


def test_a_frozen_node_does_everything_when_it_wakes_and_in_order(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    node = cluster.node("a")
    ran: list[str] = []
    appender = node.appender()
    node.reader().read("t", 0, 0, lambda records: ran.append(f"read {len(records)}"), lambda *failure: None)
    for second in (1, 2, 3):
        node.loop.call_later(second, ran.append, f"timer {second}")
    taken_back = node.loop.call_later(2.5, ran.append, "never")
    appender.append("t", 0, b"before", lambda offset, error: ran.append(f"report {offset}"))
    loop.advance(0.5)
    assert ran == ["read 1", "report 0"]
    node.freeze(10)
    cluster.append("t", 0, b"meanwhile")
    loop.advance(9)
    assert ran == ["read 1", "report 0"]
    taken_back.cancel()
    loop.advance(2)
    assert ran[2:] == ["timer 1", "timer 2", "timer 3", "read 1"]


def test_what_a_frozen_node_sent_lands_meanwhile_or_when_it_wakes(loop: VirtualLoop) -> None:
    outcomes = set()
    for seed in range(20):
        cluster = MemoryCluster(loop, Network(seed))
        cluster.create_topic("t", 1)
        node = cluster.node("a")
        reports: list[int] = []
        node.appender().append("t", 0, b"zombie", partial(note_offset, reports))
        node.freeze(20)
        loop.advance(10)
        cluster.append("t", 0, b"other")
        assert reports == []
        loop.advance(20)
        outcomes.add((tuple(record.value for record in cluster.records("t", 0)), tuple(reports)))
    assert outcomes == {((b"zombie", b"other"), (0,)), ((b"other", b"zombie"), (1,))}


def test_a_crashed_node_never_runs_again(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    node = cluster.node("a")
    ran: list[object] = []
    node.reader().read("t", 0, 0, ran.append, lambda *failure: ran.append(failure))
    node.appender().append("t", 0, b"1", lambda *report: ran.append(report))
    node.partitions().bounds("t", 0, lambda *answer: ran.append(answer))
    node.loop.call_soon(ran.append, "soon")
    node.loop.call_later(1, ran.append, "later")
    node.crash()
    node.freeze(1)
    cluster.append("t", 0, b"2")
    loop.advance(100)
    assert ran == []


def test_a_node_that_crashes_while_it_is_frozen_does_not_wake(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    node = cluster.node("a")
    ran: list[str] = []
    node.loop.call_later(1, ran.append, "timer")
    node.freeze(10)
    loop.advance(5)
    node.crash()
    loop.advance(10)
    assert ran == []


def test_a_node_that_is_cut_off_runs_on_and_hears_nothing(loop: VirtualLoop, cluster: MemoryCluster) -> None:
    node = cluster.node("a")
    read: list[Record] = []
    ran: list[str] = []
    reports: list[int] = []
    node.reader().read("t", 0, 0, read.extend, lambda *failure: None)
    loop.advance(0)
    node.cut(10)
    node.loop.call_later(1, ran.append, "timer")
    node.appender().append("t", 0, b"mine", lambda offset, error: reports.append(offset))
    cluster.append("t", 0, b"theirs")
    loop.advance(9)
    assert (read, ran, reports) == ([], ["timer"], [])
    loop.advance(2)
    assert [record.value for record in read] == [b"theirs", b"mine"]
    assert reports == [1]


def test_an_exception_while_it_wakes_does_not_swallow_what_is_behind_it(
    loop: VirtualLoop, cluster: MemoryCluster
) -> None:
    node = cluster.node("a")
    ran: list[str] = []

    def fail() -> None:
        raise ValueError("planted")

    node.loop.call_later(1, fail)
    node.loop.call_later(2, ran.append, "behind")
    node.freeze(5)
    with pytest.raises(ValueError, match="planted"):
        loop.advance(10)
    loop.advance(10)
    assert ran == ["behind"]
    assert not node.frozen
