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
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.measures import (
    Figures,
    batches,
    kafka_alone,
    keyed,
    latency,
    quantile,
    restore,
    sleepers,
    sleeps,
    throughput,
    waits,
    warm_up,
)
from benchmarks.node import BenchNode
from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.version import __version__

RESULTS = Path(__file__).parent / "results"
GROUPS = ("throughput", "keyed", "batches", "latency", "sleeps", "waits", "sleepers", "restore")


@dataclass(frozen=True)
class Measurement:
    """One thing to measure, so many times; `alone`: on a node of its own."""

    group: str
    measure: Callable[[], None]
    repeats: int
    alone: bool = False


@dataclass(frozen=True)
class Bench:
    """All measurements, at a scale."""

    bootstrap: str
    folder: Path
    scale: float
    repeats: int
    figures: Figures

    def measurements(self, node: BenchNode) -> list[Measurement]:
        """List what is measured, in this order: those on a node of their own come last."""
        figures, count = self.figures, self._count
        shared: list[tuple[str, Callable[[], None]]] = [
            ("throughput", lambda: throughput(node, "bench/nothing", count(150_000), "step-less", figures)),
            ("throughput", lambda: throughput(node, "bench/three", count(50_000), "three steps", figures)),
            ("keyed", lambda: keyed(node, count(50_000), figures)),
            ("batches", lambda: batches(node, "bench/click", count(1_000_000), "partitioned batches", figures)),
            ("batches", lambda: batches(node, "bench/click-together", count(400_000), "batches", figures)),
            ("latency", lambda: kafka_alone(self.bootstrap, max(int(20 * self.scale), 5), figures)),
            ("latency", lambda: latency(node, max(int(20 * self.scale), 5), figures)),
            ("sleeps", lambda: sleeps(node, count(10_000), figures)),
            ("waits", lambda: waits(node, count(100_000), figures)),
        ]
        return [
            *(Measurement(group, measure, self.repeats) for group, measure in shared),
            Measurement("sleepers", lambda: self._sleepers(count(1_000_000)), 1, alone=True),
            Measurement("restore", lambda: self._restore(count(200_000)), 1, alone=True),
        ]

    def _count(self, usual: int) -> int:
        return max(int(usual * self.scale), 100)

    def _sleepers(self, count: int) -> None:
        sleepers(self.bootstrap, self.folder / "sleepers", count, self.figures)

    def _restore(self, count: int) -> None:
        restore(self.bootstrap, self.folder / "restored", count, self.repeats, self.figures)


def _python_ns() -> float:
    """Time a loop that does nothing but Python: nanoseconds a round, the best of ten. Machines are told apart by it."""
    rounds, best = 200_000, float("inf")
    for _ in range(10):
        table: dict[int, int] = {}
        start = time.perf_counter_ns()
        for number in range(rounds):
            table[number & 255] = table.get(number & 127, 0) + 1
        best = min(best, (time.perf_counter_ns() - start) / rounds)
    return round(best, 1)


def facts() -> dict[str, object]:
    """Say what this was measured on."""
    return {
        "headrace": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "python_loop_ns": _python_ns(),
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
    parser.add_argument("--only", default="", help=f"{', '.join(GROUPS)} (default: all)")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of the cluster (default 4)")
    options = parser.parse_args()
    if options.only not in ("", *GROUPS):
        parser.error(f"--only is {options.only!r}; it can be {', '.join(GROUPS)}")
    console = Console()
    figures: Figures = {}
    with (
        tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        bench = Bench(kafka.bootstrap, Path(folder), options.scale, options.repeats, figures)
        node = BenchNode(kafka.bootstrap, "bench", options.partitions, Path(folder) / "node")
        atexit.register(node.end)
        measurements = [one for one in bench.measurements(node) if options.only in ("", one.group)]
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("warming up", total=sum(one.repeats for one in measurements) + 1)
            node.start()
            warm_up(node)
            progress.advance(task)
            for one in measurements:
                if one.alone:
                    node.stop()
                for _ in range(one.repeats):
                    progress.update(task, description=one.group)
                    one.measure()
                    progress.advance(task)
            node.stop()
    show(figures, console)
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    place.write_text(json.dumps({"machine": facts(), "figures": figures}, indent=2) + "\n")
    console.print(f"written to {place}")


if __name__ == "__main__":
    main()
