"""What `make bench` measures, each on a node that runs as it ships."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bare import bare_kafka
from benchmarks.node import BenchNode

Figures = dict[str, list[float]]
_DEADLINE_S = 900


def quantile(values: list[float], share: float) -> float:
    """Return the value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def warm_up(node: BenchNode) -> None:
    """Run some of everything before anything counts."""
    before = node.metric("runs_ended")
    for event in ("bench/nothing", "bench/three"):
        node.produce(event, 3_000).wait()
    while node.metric("runs_ended") - before < 6_000:
        time.sleep(0.1)


def until(condition: Callable[[], bool], every_s: float = 0.1) -> None:
    """Wait for something that the node does."""
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"the benchmark has waited for {_DEADLINE_S} s in vain")
        time.sleep(every_s)


def throughput(node: BenchNode, event: str, count: int, label: str, figures: Figures) -> None:
    """Send `count` events as fast as possible and measure until every run has ended."""
    before = node.metric("runs_ended")
    producer = node.produce(event, count)
    while node.metric("runs_ended") == before:
        time.sleep(0.02)
    start, cpu = time.monotonic(), node.cpu_s()
    first = node.metric("runs_ended")
    rss = 0.0
    while True:
        done = node.metric("runs_ended") - before
        rss = max(rss, node.rss_mb())
        if done >= count:
            break
        time.sleep(0.1)
    took = time.monotonic() - start
    ran = count - (first - before)
    producer.wait()
    figures.setdefault(f"{label}: runs/s", []).append(ran / took)
    figures.setdefault(f"{label}: CPU µs per run", []).append((node.cpu_s() - cpu) / ran * 1e6)
    figures.setdefault("RSS of the node under load, MB", []).append(rss)


def latency(node: BenchNode, seconds: int, figures: Figures) -> None:
    """Send 50 events a second; the functions take the times."""
    node.dump()
    node.produce("bench/timed", 50 * seconds, 50).wait()
    time.sleep(1)
    times = node.dump()
    if len(times["start"]) != 50 * seconds:
        raise SystemExit(f"{len(times['start'])} runs took their time, {50 * seconds} events were sent")
    for what, label in (("start", "event to start at 50/s"), ("completed", "event to third step at 50/s")):
        figures.setdefault(f"{label}: p50 ms", []).append(quantile(times[what], 0.5))
        figures.setdefault(f"{label}: p99 ms", []).append(quantile(times[what], 0.99))


def kafka_alone(bootstrap: str, seconds: int, figures: Figures) -> None:
    """Send 50 records a second to a plain consumer: what the latencies of the node have to be compared with."""
    acknowledged, consumed = bare_kafka(bootstrap, seconds)
    for label, bare in (("Kafka alone, to acknowledged", acknowledged), ("Kafka alone, to consumed", consumed)):
        figures.setdefault(f"{label} at 50/s: p50 ms", []).append(quantile(bare, 0.5))
        figures.setdefault(f"{label} at 50/s: p99 ms", []).append(quantile(bare, 0.99))


def sleeps(node: BenchNode, count: int, figures: Figures) -> None:
    """Start many sleeps of five seconds at once, and see how late they end."""
    node.dump()
    before = node.metric("runs_ended")
    node.produce("bench/sleep", count).wait()
    while node.metric("runs_ended") - before < count:
        time.sleep(0.2)
    late = node.dump()["late"]
    figures.setdefault(f"{count} sleeps of 5 s, late: p50 ms", []).append(quantile(late, 0.5))
    figures.setdefault(f"{count} sleeps of 5 s, late: p99 ms", []).append(quantile(late, 0.99))


def restore(bootstrap: str, folder: Path, count: int, repeats: int, figures: Figures) -> None:
    """Fill one partition with sleeping runs, then start the node again, with its disk and without."""
    node = BenchNode(bootstrap, "restored", 1, folder)
    atexit.register(node.end)
    node.start()
    node.produce("bench/long-sleep", count).wait()
    while node.metric("runs_started") < count:
        time.sleep(0.2)
    node.settle()
    for _ in range(repeats):
        node.kill()
        figures.setdefault(f"restart after kill -9, {count} sleeping runs, disk kept: s to ready", []).append(
            node.start()
        )
        node.kill()
        node.lose_disk()
        figures.setdefault(f"restart after kill -9, {count} sleeping runs, disk lost: s to ready", []).append(
            node.start()
        )
    node.stop()


def keyed(node: BenchNode, count: int, figures: Figures) -> None:
    """Compare runs that wait for each other by customer with runs that need not, one after the other."""
    alone: Figures = {}
    throughput(node, "bench/nothing", count, "alone", alone)
    throughput(node, "bench/keyed", count, "one at a time for each of 1,000 keys", figures)
    rate = figures["one at a time for each of 1,000 keys: runs/s"][-1] / alone["alone: runs/s"][0]
    figures.setdefault("one at a time for each of 1,000 keys: share of the rate without", []).append(rate)


def batches(node: BenchNode, event: str, count: int, label: str, figures: Figures) -> None:
    """Let events wait on the topic, start the node, and measure from its first batch until all are handled."""
    node.dump()
    node.stop()
    node.produce(event, count).wait()
    node.start()
    cpu, before = node.cpu_s(), node.metric("events")
    taken: list[float] = []
    until(lambda: node.metric("events") >= count)
    figures.setdefault(f"{label}: CPU µs per event", []).append((node.cpu_s() - cpu) / (count - before) * 1e6)
    while sum(taken[1::2]) < count:
        taken += node.dump()["batches"]
    times, sizes = taken[::2], taken[1::2]
    first, last = min(times), max(times)
    took_s = (last - first) / 1000
    figures.setdefault(f"{label}: events/s", []).append((sum(sizes) - sizes[times.index(first)]) / took_s)


def waits(node: BenchNode, count: int, figures: Figures) -> None:
    """Have many runs wait for an event each, then send the events, as fast as possible and at a steady rate."""
    before, started = node.metric("runs_ended"), node.metric("runs_started")
    node.produce("bench/wait", count).wait()
    until(lambda: node.metric("runs_started") - started >= count)
    node.settle()
    begin = time.monotonic()
    node.produce("bench/answer", count)
    until(lambda: node.metric("runs_ended") - before >= count)
    figures.setdefault(f"{count} runs that wait, resolved: runs/s", []).append(count / (time.monotonic() - begin))
    few = min(count, 5_000)
    started = node.metric("runs_started")
    node.produce("bench/wait", few).wait()
    until(lambda: node.metric("runs_started") - started >= few)
    node.settle()
    node.dump()
    node.produce("bench/answer", few, 500).wait()
    time.sleep(1)
    times = node.dump()["matched"]
    if len(times) != few:
        raise SystemExit(f"{len(times)} runs were resolved, {few} waited")
    figures.setdefault("event to the run that waits for it at 500/s: p50 ms", []).append(quantile(times, 0.5))
    figures.setdefault("event to the run that waits for it at 500/s: p99 ms", []).append(quantile(times, 0.99))


def sleepers(bootstrap: str, folder: Path, count: int, figures: Figures) -> None:
    """Fill one partition with sleeping runs: what memory they take, and whether they slow others down."""
    node = BenchNode(bootstrap, "sleepers", 1, folder)
    atexit.register(node.end)
    node.start()
    alone: Figures = {}
    warm_up(node)
    latency(node, 20, alone)
    started = node.metric("runs_started")
    node.produce("bench/long-sleep", count).wait()
    until(lambda: node.metric("runs_started") - started >= count, 1)
    node.settle()
    figures.setdefault(f"RSS with {count} sleeping runs in one partition, MB", []).append(node.rss_mb())
    beside: Figures = {}
    latency(node, 20, beside)
    for label, values in beside.items():
        ratio = values[0] / alone[label][0]
        figures.setdefault(f"{label.replace(' ms', '')}, beside {count} sleeping runs: times as long", []).append(ratio)
    node.stop()
