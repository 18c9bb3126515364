"""Disks that are lost, old, or restored while the group moves: what the changelog and its snapshots give back."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from tests.kafka.cluster import Cluster, Node, admin_of, until
from tests.kafka.cluster_checks import await_runs, await_steps, check, history_of
from tests.kafka.cluster_logs import TopicLog


def send_naps(cluster: Cluster, numbers: range, nap_ms: int) -> None:
    for n in numbers:
        cluster.send("nap/wanted", {"n": n, "nap_ms": nap_ms}, key=f"k{n}")
    cluster.flush()


def low_watermarks(cluster: Cluster, topic: str) -> dict[int, int]:
    log = TopicLog(cluster.bootstrap, cluster.topic(topic))
    try:
        return {partition: log.bounds(partition)[0] for partition in range(cluster.partitions)}
    finally:
        log.close()


@pytest.mark.slow
def test_a_lost_disk_loses_nothing(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        send_naps(cluster, range(100), 8_000)
        await_steps(history, "nap", 100, "StepPlanned")
        node.kill()
        shutil.rmtree(node.data_dir)  # and with it the node's name: it comes back as another one
        node.start()
        took_s = until(lambda: node.ready() and len(node.partitions()) == 4, "it has everything", 40)
        await_runs(cluster, history, {"flows-nap": 100}, 40)
        print(f"everything is back {took_s:.1f} s after the start with an empty disk;", check(cluster, history))


@pytest.mark.slow
def test_an_old_copy_of_the_disk_is_brought_up_to_date(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        send_naps(cluster, range(40), 16_000)
        await_steps(history, "nap", 40, "StepPlanned")
        node.stop()
        copy = tmp_path / "copy"
        shutil.copytree(node.data_dir, copy)
        cluster.start("a")
        send_naps(cluster, range(40, 80), 500)
        await_runs(cluster, history, {"flows-nap": 40})
        send_naps(cluster, range(80, 120), 5_000)
        await_steps(history, "nap", 120, "StepPlanned")
        node.kill()
        shutil.rmtree(node.data_dir)
        copy.rename(node.data_dir)
        cluster.start("a")
        await_runs(cluster, history, {"flows-nap": 120}, 60)
        print(check(cluster, history))


@pytest.mark.slow
def test_a_changelog_of_exactly_one_record_is_restored(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        cluster.run("topics", "create", "--partitions", "2")
        # As it stands when the first owner dies right behind its claim.
        claim = b"\x01" + msgspec.msgpack.encode([1, "somebody", "11111111-2222-3333-4444-555555555555"])
        for partition in range(2):
            cluster.producer.produce(cluster.topic("changelog"), claim, partition=partition)
        send_naps(cluster, range(20), 100)
        cluster.start("a")
        await_runs(cluster, history, {"flows-nap": 20}, 30)
        found = check(cluster, history)
        assert {c.offset for c in found.changelog.claims if c.node == "somebody"} == {0}


@pytest.mark.slow
def test_a_rebalance_in_the_middle_of_a_restore(kafka_bootstrap: str, tmp_path: Path) -> None:
    runs = 500
    with Cluster(kafka_bootstrap, tmp_path, partitions=4) as cluster, history_of(cluster) as history:
        first = cluster.start("a")
        for n in range(runs):
            cluster.send("bulk/arrived", {"n": n, "bytes": 300_000, "nap_ms": 12_000}, key=f"k{n}")
        cluster.flush()
        await_steps(history, "rest", runs, "StepPlanned")
        first.stop()
        shutil.rmtree(first.data_dir / "stores")
        first.start()
        until(lambda: "restoring" in str(first.get("/ready")[1]), "it restores", 30)
        first.freeze()  # so that the restore cannot be over before the second one has come
        assert not claimed_since_restart(cluster, first), "a partition was restored already: there is nothing to show"
        second = cluster.node("b")
        second.start()
        until(lambda: group_state(cluster) == "PREPARING_REBALANCING", "the group makes room for the second", 30)
        first.thaw()
        took_s = until(lambda: len(first.partitions()) == len(second.partitions()) == 2, "each runs its share", 60)
        await_runs(cluster, history, {"flows-bulk": runs}, 120)
        print(f"both ran {took_s:.1f} s after the rebalance began;", check(cluster, history, trimmed=True))


def group_state(cluster: Cluster) -> str:
    client = admin_of(cluster)
    return str(client.describe_consumer_groups([cluster.prefix])[cluster.prefix].result(10).state.name)


def claimed_since_restart(cluster: Cluster, node: Node) -> list[int]:
    log = TopicLog(cluster.bootstrap, cluster.topic("changelog"))
    try:
        claims = [m for m in log.read() if (m.value() or b"")[:3] == b"\x01\x93\x01"]
    finally:
        log.close()
    by_node = [m.partition() or 0 for m in claims if msgspec.msgpack.decode((m.value() or b"")[1:])[1] == node.node_id]
    return [partition for partition in set(by_node) if by_node.count(partition) > 1]


@pytest.mark.slow
def test_a_trimmed_changelog_is_restored_from_its_snapshot(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=1) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        send_naps(cluster, range(20), 25_000)
        # More changelog than the least that a snapshot is made for; the results leave the state as their runs end.
        for n in range(100, 260):
            cluster.send("bulk/arrived", {"n": n, "bytes": 600_000}, key=f"k{n}")
        cluster.flush()
        await_runs(cluster, history, {"flows-bulk": 160})
        until(lambda: low_watermarks(cluster, "changelog")[0] > 0, "a snapshot has let the changelog be trimmed", 30)
        kept = low_watermarks(cluster, "changelog")
        send_naps(cluster, range(20, 40), 12_000)
        await_steps(history, "nap", 40, "StepPlanned")
        node.kill()
        shutil.rmtree(node.data_dir / "stores")
        node.start()
        restored_s = node.await_ready()
        node.kill()
        node.start()  # and once more from the local rows, whose log begins in the middle
        node.await_ready()
        await_runs(cluster, history, {"flows-bulk": 160, "flows-nap": 40}, 90)
        print(f"ready {restored_s:.1f} s after the start; trimmed up to {kept};", check(cluster, history, trimmed=True))


@pytest.mark.slow
def test_sixty_four_stores_close_while_the_group_settles(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=64) as cluster, history_of(cluster) as history:
        first = cluster.start("a")
        send_naps(cluster, range(300), 10_000)
        await_steps(history, "nap", 300, "StepPlanned")
        second = cluster.start("b")
        there_s = until(lambda: len(second.partitions()) == 32 and len(first.partitions()) == 32, "32 each", 40)
        first.terminate()
        back_s = until(lambda: len(second.partitions()) == 64, "the second has all", 40)
        first.wait()
        third = cluster.start("c")
        until(lambda: len(second.partitions()) == 32 and len(third.partitions()) == 32, "32 each again", 40)
        second.stop()
        await_runs(cluster, history, {"flows-nap": 300}, 60)
        found = check(cluster, history)
        print(f"32 stores moved in {there_s:.1f} s, 32 more in {back_s:.1f} s;", found)
