"""Equal event ids start a function once; sleeping runs survive restarts and moves, and can be cancelled meanwhile."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.kafka.cluster import Cluster, until
from tests.kafka.cluster_checks import await_runs, check, history_of, read_witness
from tests.kafka.cluster_logs import History


def await_asleep(history: History, runs: int) -> list[str]:
    """Wait until so many naps have begun to sleep; give their runs."""

    def asleep() -> list[str]:
        history.read()
        return [record.run_id for record in history.of_kind("StepPlanned") if record.step_id == "nap"]

    until(lambda: len(asleep()) >= runs, f"{runs} runs sleep")
    return asleep()


def test_a_sleep_goes_on_over_a_restart(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        for n in range(20):
            # The even ones are due while the node is down.
            cluster.send("nap/wanted", {"n": n, "nap_ms": 1_500 if n % 2 else 200}, key=f"k{n}")
        cluster.flush()
        await_asleep(history, 20)
        node.stop()
        cluster.start("a")
        await_runs(cluster, history, {"flows-nap": 20}, 30)
        print(check(cluster, history))
        planned = {record.run_id: record for record in history.of_kind("StepPlanned")}
        for record in history.of_kind("StepEnded"):
            if record.step_id == "nap":
                late_ms = record.at_ms - planned[record.run_id].due_ms
                assert late_ms >= 0, "it was woken before its time"
        befores = [r for r in history.of_kind("StepEnded") if r.step_id == "before"]
        assert len(befores) == 20


@pytest.mark.slow
def test_equal_ids_start_a_function_once(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        node = cluster.start("a")

        def send_all() -> None:
            for n in range(100):
                cluster.send("tick", {"n": n}, key=f"k{n % 7}", id=f"same-key-{n}")
                value = json.dumps({"name": "tick", "data": {"n": 1_000 + n}, "id": f"no-key-{n}"}).encode()
                cluster.send_raw(value, partition=(n + sent) % 4)
                # The same id under another key is another event.
                cluster.send("tick", {"n": 2_000 + n}, key=f"k{sent}", id=f"other-key-{n}")
            cluster.flush()

        for sent in range(3):
            send_all()
            if sent == 1:
                node.kill()
                cluster.start("a")
        until(lambda: history.ended_runs("flows-count") >= 500, "every event has its run")
        for n in range(100):
            cluster.send("tick", {"n": 3_000 + n}, key=f"k{n}")  # behind all of them, on every partition
        cluster.flush()
        await_runs(cluster, history, {"flows-count": 600})
        print(check(cluster, history))


@pytest.mark.slow
def test_sleeping_runs_are_cancelled_while_their_partitions_move(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        first = cluster.start("a")
        for n in range(60):
            cluster.send("nap/wanted", {"n": n, "nap_ms": 15_000}, key=f"k{n}")
        cluster.flush()
        runs = await_asleep(history, 60)
        cancelled = runs[::3]
        second = cluster.node("b")
        second.start()
        began = time.monotonic()
        answers = []
        for number, run in enumerate(cancelled):
            node = second if number % 2 and second.ready() else first
            until(lambda node=node, run=run: node.get(f"/v1/runs/{run}")[0] == 200, "the node knows of the run", 20)
            answers.append(node.get(f"/v1/runs/{run}", "DELETE")[0])
            if number == 10:
                first.terminate()
                until(second.ready, "the second is ready")
                first.wait()
                first = second
        print(f"{len(cancelled)} runs cancelled in {time.monotonic() - began:.1f} s, answers {answers}")
        assert set(answers) == {200}
        until(lambda: history.ended_runs("flows-nap") >= len(cancelled), "they have ended", 20)
        await_runs(cluster, history, {"flows-nap": 60}, 60)
        gone = {record.run_id for record in history.ended.values() if record.status == "Cancelled"}
        assert gone == set(cancelled)
        print(check(cluster, history, cancelled=_numbers(cluster, gone)))


def _numbers(cluster: Cluster, runs: set[str]) -> set[int]:
    lines = read_witness(cluster.witness_folder).of_kind("body-start")
    return {line["n"] for line in lines if line["run"] in runs}
