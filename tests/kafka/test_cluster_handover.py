"""Partitions that move between nodes while they work: nothing is lost, and each stands still for a moment only."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.kafka.cluster import Cluster, Load, Node, until
from tests.kafka.cluster_checks import Findings, await_runs, check, history_of, read_witness
from tests.kafka.cluster_logs import History, read_events

PAUSE_MS_MAX = 3_000

pytestmark = pytest.mark.alone


def go_on(history: History, orders: int) -> None:
    """Wait until so many more orders are through."""
    wanted = history.ended_runs("flows-order") + orders
    until(lambda: history.ended_runs("flows-order") >= wanted, f"{orders} more orders are through", 60)


def await_shares(*shares: tuple[Node, int]) -> None:
    for node, share in shares:
        until(lambda node=node, share=share: len(node.partitions()) == share, f"{node.name} runs {share} partitions")


def owners(node: Node) -> list[tuple[int, str, str]]:
    return [(row["partition"], row["owner"], row["state"]) for row in node.get("/v1/partitions")[1]["data"]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def longest_wait_ms(cluster: Cluster, since_ms: int, until_ms: int) -> int:
    """Measure how long an order of this span waited at most until its code ran."""
    began = {line["n"]: line["at_ms"] for line in reversed(read_witness(cluster.witness_folder).of_kind("body-start"))}
    events = [e for e in read_events(cluster.bootstrap, cluster.prefix) if e.name == "order/created"]
    return max(began[event.n] - event.at_ms for event in events if since_ms <= event.at_ms <= until_ms)


def check_pauses(cluster: Cluster, found: Findings, spans: dict[str, tuple[int, int]]) -> None:
    """Look how long each partition stood still in each span, and say so."""
    longest = {
        what: max(found.changelog.longest_pause_ms(p, *span) for p in range(cluster.partitions))
        for what, span in spans.items()
    }
    print("longest pause of a partition, ms:", longest)
    print("longest wait of an event, ms:", {what: longest_wait_ms(cluster, *span) for what, span in spans.items()})
    assert max(longest.values()) < PAUSE_MS_MAX, longest


def finish(cluster: Cluster, history: History, load: Load) -> Findings:
    wanted = dict.fromkeys(("flows-order", "flows-bill", "flows-mail"), load.sent)
    await_runs(cluster, history, wanted, 90)
    found = check(cluster, history)
    print(found)
    return found


def test_a_second_node_takes_its_share_and_gives_it_back(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        first = cluster.start("a")
        with Load(cluster, 50, work_ms=10) as load:
            go_on(history, 20)
            began = now_ms()
            second = cluster.start("b")
            await_shares((first, 2), (second, 2))
            until(lambda: owners(first) == owners(second), "both say the same of the cluster", 5)
            go_on(history, 20)
            moved = now_ms()
            second.stop()
            await_shares((first, 4))
            go_on(history, 20)
            back = now_ms()
        found = finish(cluster, history, load)
        check_pauses(cluster, found, {"to the second": (began, moved), "and back": (moved, back)})
        assert not found.refused, "a hand-over in good order leaves nothing behind that does not count"


@pytest.mark.slow
def test_nodes_come_and_go_under_heavy_load(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=8) as cluster, history_of(cluster) as history:
        first = cluster.start("a")
        spans: dict[str, tuple[int, int]] = {}
        # Steps of a second and a half are under way whenever a partition leaves.
        with Load(cluster, 40, work_ms=1_500) as load:
            for number in range(2):
                go_on(history, 30)
                began = now_ms()
                second = cluster.start("b")
                await_shares((first, 4), (second, 4))
                go_on(history, 60)
                spans[f"to the second, {number}"] = (began, now_ms())
                began = now_ms()
                second.stop()
                await_shares((first, 8))
                go_on(history, 40)
                spans[f"back, {number}"] = (began, now_ms())
        found = finish(cluster, history, load)
        check_pauses(cluster, found, spans)
