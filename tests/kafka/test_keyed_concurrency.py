"""Keyed concurrency over three nodes that are killed (SIGKILL): no limit is exceeded, no slot lost, no order broken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kafka.apps.gates import ONE, TWO
from tests.kafka.cluster import Cluster, Node, until
from tests.kafka.cluster_checks import await_runs, check_outputs, history_of, left_behind, read_witness
from tests.kafka.cluster_logs import Changelog, History, read_changelog, read_events
from tests.kafka.gate_checks import (
    ALL_TABLES,
    LIMITS,
    check_leased,
    check_leases,
    check_order,
    check_spans,
    gates_of,
    left_at_gates,
    spans_of,
)

GATES = Path(__file__).with_name("apps") / "gates.py"
KEYS = [f"customer-{number}" for number in range(20)]
JOBS = 160  # each makes two runs
RUNS = ("gates-one", "gates-two")


def send_jobs(cluster: Cluster) -> None:
    for n in range(JOBS):
        key = KEYS[n % len(KEYS)]
        cluster.send("job", {"n": n, "key": key, "work_ms": 20, "busy": n % 7 == 0}, key=key)
    cluster.flush()


class Killing:
    """Kills nodes, and notes when each process was gone."""

    def __init__(self, history: History) -> None:
        self.died_ns: dict[int, int] = {}
        self._history = history

    def go_on(self, runs: int = 20) -> None:
        """Wait until so many more runs have ended."""
        wanted = self._history.ended_runs(*RUNS) + runs
        until(lambda: self._history.ended_runs(*RUNS) >= wanted, f"{runs} more runs end", 60)

    def kill(self, *nodes: Node) -> None:
        """Kill them all, while there is work left."""
        for node in nodes:
            node.kill()
            self.died_ns[node.pid] = time.monotonic_ns()
        assert self._history.ended_runs(*RUNS) < 2 * JOBS, "they were killed too late to show anything"


def start_together(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.start()
    for node in nodes:
        node.await_ready()


def settled_changelog(cluster: Cluster) -> Changelog:
    """Read the changelog once no run, and nothing of a run at a gate, is left."""
    found: list[Changelog] = []

    def settled() -> bool:
        found.append(read_changelog(cluster.bootstrap, cluster.prefix, ALL_TABLES))
        return not left_behind(found[-1]) and not left_at_gates(found[-1])

    try:
        until(settled, "nothing is left of any run", 15)
    except AssertionError:
        raise AssertionError(f"left at gates: {left_at_gates(found[-1])[:5]}, {left_behind(found[-1])[:5]}") from None
    return found[-1]


@pytest.mark.alone
@pytest.mark.slow
def test_limits_hold_over_three_nodes_that_are_killed(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=6, app=GATES) as cluster, history_of(cluster) as history:
        first, second, third = nodes = [cluster.node(name) for name in "abc"]
        start_together(nodes)
        killing = Killing(history)
        send_jobs(cluster)
        killing.go_on()
        killing.kill(first)
        start_together([first])
        killing.go_on()
        killing.kill(second, third)
        start_together([second, third])
        killing.go_on()
        killing.kill(third)  # the others take over what it had; then it comes back
        killing.go_on()
        third.start()
        killing.go_on()
        killing.kill(first)
        first.start()
        await_runs(cluster, history, dict.fromkeys(RUNS, JOBS), 60)

        changelog = settled_changelog(cluster)
        events = read_events(cluster.bootstrap, cluster.prefix)
        check_outputs(changelog, history, events)
        assert len(history.ended) == 2 * JOBS
        assert {record.status for record in history.ended.values()} == {"Completed"}
        leases = check_leases(changelog, gates_of(KEYS), LIMITS)
        spans = spans_of(read_witness(cluster.witness_folder), killing.died_ns)
        assert len({span.run for span in spans}) == 2 * JOBS
        most = check_spans(spans, LIMITS)
        check_leased(spans, leases)
        check_order(spans, leases, events, LIMITS)
        print(f"{len(leases)} leases, {len(spans)} executions in {len(killing.died_ns) + 3} processes, at once: {most}")

        # The checks themselves: they notice limits that are one narrower than what was run, and a wrong order.
        assert (most["gates-one"], most["gates-two"]) == (ONE, TWO), "the limits were not reached"
        for name, limit in LIMITS.items():
            with pytest.raises(AssertionError, match="are given out at"):
                check_leases(changelog, gates_of(KEYS), {**LIMITS, name: limit - 1})
            with pytest.raises(AssertionError, match="at once at"):
                check_spans(spans, {**LIMITS, name: most[name] - 1})
        with pytest.raises(AssertionError, match="begun out of order"):
            check_order(reversed(spans), leases, events, LIMITS)
        with pytest.raises(AssertionError, match="given out of order"):
            check_order(spans, [lease._replace(place=-lease.place) for lease in leases], events, LIMITS)
        with pytest.raises(AssertionError, match="no lease at"):
            check_leased(spans, [lease for lease in leases if lease.gate[0] != "gates-one"])
