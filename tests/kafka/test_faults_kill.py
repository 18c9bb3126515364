"""Nodes and brokers that are killed in the middle of their work (SIGKILL): nothing is lost, nothing happens twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.adapters.embedded_kafka import EmbeddedKafka
from tests.kafka.cluster import Cluster, Load, Node, send_order, until
from tests.kafka.cluster_checks import await_runs, await_steps, check, history_of
from tests.kafka.cluster_logs import History

ORDERS = 600  # each makes three runs: two of several steps, one of one
WORK_MS = 200  # of a step: an order has six of them behind its first one, so whoever is killed then has work in hand


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """A broker that the test may kill."""
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        yield kafka


def send_orders(cluster: Cluster, number: int, **more: object) -> None:
    for n in range(number):
        send_order(cluster, n, **more)
    cluster.flush()


def await_orders(cluster: Cluster, history: History, number: int, within_s: float = 180) -> float:
    wanted = {"flows-order": number, "flows-bill": number, "flows-mail": number}
    return await_runs(cluster, history, wanted, within_s)


def await_share(history: History, number: int) -> None:
    """Wait until so many orders are through."""
    until(lambda: history.ended_runs("flows-order") >= number, f"{number} orders are through", 60)


def check_no_orphans(node: Node) -> None:
    until(lambda: not node.orphans(), "what the node had started ends with it", 15)


def test_a_killed_node_goes_on_where_it_was(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        with Load(cluster, 100, work_ms=20) as load:
            await_share(history, 60)
            node.kill()
            check_no_orphans(node)
            cluster.start("a")
            await_share(history, 120)
        await_orders(cluster, history, load.sent, 60)
        print(check(cluster, history))


@pytest.mark.slow
def test_a_node_is_killed_in_the_middle_of_thousands_of_runs(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        send_orders(cluster, ORDERS, work_ms=WORK_MS)
        await_steps(history, "reserve", ORDERS // 4)
        node.kill()
        assert history.ended_runs("flows-order") < ORDERS, "it was killed too late to show anything"
        took_s = cluster.start("a") and await_orders(cluster, history, ORDERS)
        print(f"all ended {took_s:.1f} s after the restart;", check(cluster, history))


@pytest.mark.slow
def test_the_broker_is_killed_in_the_middle_of_thousands_of_runs(own_broker: EmbeddedKafka, tmp_path: Path) -> None:
    with Cluster(own_broker.bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        cluster.start("a")
        send_orders(cluster, ORDERS, work_ms=WORK_MS)
        await_steps(history, "reserve", ORDERS // 4)
        own_broker.kill()
        own_broker.start()
        took_s = await_orders(cluster, history, ORDERS)
        print(f"all ended {took_s:.1f} s after the broker was back;", check(cluster, history))


@pytest.mark.slow
def test_node_and_broker_are_killed_together(own_broker: EmbeddedKafka, tmp_path: Path) -> None:
    with Cluster(own_broker.bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        send_orders(cluster, ORDERS, work_ms=WORK_MS)
        await_steps(history, "reserve", ORDERS // 4)
        own_broker.kill()
        node.kill()
        node.start()  # it comes back before its Kafka does, and waits for it
        own_broker.start()
        node.await_ready()
        took_s = await_orders(cluster, history, ORDERS)
        print(f"all ended {took_s:.1f} s after both were back;", check(cluster, history))


@pytest.mark.slow
def test_a_node_is_killed_under_load_twenty_times(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        readies: list[float] = []
        with Load(cluster, 30, work_ms=10) as load:
            for _ in range(20):
                await_share(history, history.ended_runs("flows-order") + 10)
                node.kill()
                node.start()
                readies.append(node.await_ready())
        await_orders(cluster, history, load.sent)
        print(f"ready after {min(readies):.1f} to {max(readies):.1f} s;", check(cluster, history))
        check_no_orphans(node)
