"""`make bench`: throughput, latency, sleeps, restore; each figure with its spread over several runs.

The node runs as it ships: history written and projected by its low-priority process, metrics on. Broker, producer and
node share the machine's cores; the producer is a process of its own. Results: a table, and JSON with the facts of the
machine in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import atexit
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.node import BenchNode
from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.version import __version__

RESULTS = Path(__file__).parent / "results"
Figures = dict[str, list[float]]


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
    settled, commits = time.monotonic(), node.metric("commits")
    while time.monotonic() < settled + 2:  # until the last of them is suspended
        time.sleep(0.5)
        if node.metric("commits") > commits + 5:
            settled, commits = time.monotonic(), node.metric("commits")
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


def facts() -> dict[str, object]:
    """Say what this was measured on."""
    return {
        "headrace": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def show(figures: Figures, console: Console) -> None:
    """Print minimum, median and maximum of each figure."""
    table = Table(title="Headrace on an embedded Kafka, one node")
    table.add_column("figure")
    for column in ("min", "median", "max", "runs"):
        table.add_column(column, justify="right")
    for label, values in figures.items():
        cells = [f"{v:,.0f}" if v >= 100 else f"{v:.2f}" for v in (min(values), quantile(values, 0.5), max(values))]
        table.add_row(label, *cells, str(len(values)))
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each measurement (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual numbers of events (default 1.0)")
    parser.add_argument("--only", default="", help="throughput, latency, sleeps or restore (default: all)")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of the cluster (default 4)")
    options = parser.parse_args()
    console = Console()
    figures: Figures = {}
    number = lambda usual: max(int(usual * options.scale), 100)  # noqa: E731
    with (
        tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        node = BenchNode(kafka.bootstrap, "bench", options.partitions, Path(folder) / "node")
        atexit.register(node.end)
        node.start()
        steps: list[tuple[str, str, Callable[[], None]]] = [
            (
                "throughput",
                "step-less runs",
                lambda: throughput(node, "bench/nothing", number(150_000), "step-less", figures),
            ),
            (
                "throughput",
                "three-step runs",
                lambda: throughput(node, "bench/three", number(50_000), "three steps", figures),
            ),
            ("latency", "latency at 50/s", lambda: latency(node, max(int(20 * options.scale), 5), figures)),
            ("sleeps", "sleeps", lambda: sleeps(node, number(10_000), figures)),
        ]
        wanted = [step for step in steps if options.only in ("", step[0])]
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("warming up", total=len(wanted) * options.repeats + 1)
            warm_up(node)
            progress.advance(task)
            for _, title, measure in wanted:
                for _ in range(options.repeats):
                    progress.update(task, description=title)
                    measure()
                    progress.advance(task)
            node.stop()
            if options.only in ("", "restore"):
                progress.update(task, description="restore")
                restore(kafka.bootstrap, Path(folder) / "restored", number(200_000), options.repeats, figures)
    show(figures, console)
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    place.write_text(json.dumps({"machine": facts(), "figures": figures}, indent=2) + "\n")
    console.print(f"written to {place}")


if __name__ == "__main__":
    main()
