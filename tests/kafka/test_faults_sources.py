"""Events that expire, flood in, or stand on a topic that was made anew: what a node does with its sources."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psutil
import pytest
from confluent_kafka import TopicPartition

from tests.kafka.cluster import Cluster, Node, admin_of, until
from tests.kafka.cluster_checks import await_runs, check, history_of
from tests.kafka.cluster_logs import History

MIB = 1024 * 1024
FLOOD = 3_000  # events of 100 kB
FLOOD_MIB_MAX = 500


@pytest.mark.slow
def test_events_that_expired_unread_stop_their_source_loudly_or_are_skipped(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        for n in range(40):
            cluster.send_raw(tick(n), partition=n % 2)
        cluster.flush()
        await_runs(cluster, history, {"flows-count": 40})
        node.stop()
        for n in range(40, 80):
            cluster.send_raw(tick(n), partition=n % 2)
        cluster.flush()
        # Of partition 0 the offsets 0 to 19 were applied; 20 to 29 go unread.
        client = admin_of(cluster)
        for answer in client.delete_records([TopicPartition(cluster.topic("events"), 0, 30)]).values():
            answer.result(10)
        node.start()
        await_runs(cluster, history, {"flows-count": 60}, 60)  # the other partition goes on
        until(lambda: "code=source_stopped" in node.log(), "it says that a source has stopped")
        assert "the next offset to read is 20, the log holds 30 to 40" in node.log()
        assert "HEADRACE_SKIP_EXPIRED=1" in node.log()
        status, answer = node.get("/ready")
        assert status == 503
        assert "source_stopped" in str(answer)
        node.stop()
        node.start(HEADRACE_SKIP_EXPIRED="1")
        node.await_ready()
        await_runs(cluster, history, {"flows-count": 70}, 60)
        assert "events[0]: 10 records have expired unread and are skipped" in node.log()
        node.stop()
        history.read()
        assert len(history.ended) == 70
        numbers = sorted(msgspec.json.decode(record.output)["n"] for record in history.ended.values())
        assert numbers == [n for n in range(80) if n % 2 or n < 40 or n >= 60]


def tick(n: int) -> bytes:
    return msgspec.json.encode({"name": "tick", "data": {"n": n}})


@pytest.mark.slow
@pytest.mark.parametrize(("topic", "anew"), [("changelog", 20), ("events", 60)])
def test_a_topic_that_was_made_anew_is_noticed(kafka_bootstrap: str, tmp_path: Path, topic: str, anew: int) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        for n in range(40):
            cluster.send_raw(tick(n), partition=n % 2)
        cluster.flush()
        await_runs(cluster, history, {"flows-count": 40})
        node.stop()
        name = cluster.topic(topic)
        client = admin_of(cluster)
        client.delete_topics([name])[name].result(10)
        until(lambda: name not in admin_of(cluster).list_topics(timeout=10).topics, "the topic is gone")
        cluster.run("topics", "create")
        for n in range(100, 100 + anew):  # of the changelog fewer than were read of it, of the events more
            cluster.send_raw(tick(n), partition=n % 2)
        cluster.flush()
        node.start()
        until(lambda: "do:" in node.log() or not node.running, "it says what is wrong", 40)
        status, answer = node.get("/ready")
        print(node.log_end()[-3_000:], status, answer)
        assert status != 200
        if topic == "events":
            assert "code=events_topic_replaced" in node.log()
            node.stop()
            node.start(HEADRACE_SKIP_EXPIRED="1")
            await_runs(cluster, history, {"flows-count": 40 + anew}, 60)
        history.read()
        first = [record for record in history.ended.values() if msgspec.json.decode(record.output)["n"] < 40]
        assert len(first) == 40, "events from before were taken again"


@pytest.mark.slow
def test_a_flood_is_drained_in_bounded_memory(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        node.stop()
        peaks = []
        for wanted in (FLOOD, 2 * FLOOD):  # the second flood finds sources that were paused and resumed
            for n in range(wanted - FLOOD, wanted):
                cluster.send("tick", {"n": n, "ballast": "x" * 100_000}, key=f"k{n}")
            cluster.flush()
            if not node.running:
                cluster.start("a")
            peaks.append(drain(node, history, wanted) // MIB)
        print(
            f"peaks of memory while {FLOOD // 10} MB were waiting: {peaks} MiB;", check(cluster, history, trimmed=True)
        )
        # A node that held all of it at once, or kept it after its runs had ended, would need more.
        assert max(peaks) < FLOOD_MIB_MAX


def drain(node: Node, history: History, wanted: int) -> int:
    """Wait until so many runs are through; the most memory that the node has taken meanwhile, in bytes."""
    peak = 0

    def through() -> bool:
        nonlocal peak
        peak = max(peak, psutil.Process(node.pid).memory_info().rss)
        return history.ended_runs("flows-count") >= wanted

    until(through, f"{wanted} runs are through", 180)
    return peak
