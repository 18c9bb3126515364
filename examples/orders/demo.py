"""`make demo`: a real Kafka, a node, 1,000 orders from Kafka's own console producer, and proof that each ran once.

Starts an embedded Kafka and `headrace dev` with `app.py`, pipes the orders into the console producer by customer,
watches the history topic, and prints what happened. Exit status 0 only if every expected run completed, each exactly
once. `STAY=1` leaves everything up afterwards, with its pages to look at.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.adapters.embedded_kafka_artifacts import find_java, resolve_classpath
from headrace.adapters.embedded_kafka_pins import tools_coordinate
from headrace.records.history import Lifecycle, decode_lifecycle

ORDERS = 1_000
CUSTOMERS = 100
FUNCTIONS = ("orders-process-order", "orders-send-receipt", "orders-update-stats")
GIVE_UP_S = 180
HERE = Path(__file__).parent


def orders() -> bytes:
    """Write the orders as lines for the console producer: key, tab, value."""
    lines = []
    for number in range(ORDERS):
        customer = f"customer-{number % CUSTOMERS}"
        items = [{"sku": f"sku-{number % 7}-{i}", "price": 5 + i} for i in range(1 + number % 3)]
        data = {"orderId": f"order-{number}", "customer": customer, "items": items}
        lines.append(f"{customer}\t{json.dumps({'name': 'order/created', 'data': data})}\n")
    return "".join(lines).encode()


def produce(bootstrap: str) -> None:
    """Send the orders with Kafka's console producer, which knows nothing of Headrace."""
    classpath = resolve_classpath([tools_coordinate()])
    command = [str(find_java().executable), "-cp", os.pathsep.join(map(str, classpath))]
    command += ["org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", bootstrap, "--topic", "headrace.events"]
    command += ["--reader-property", "parse.key=true"]
    ended = subprocess.run(command, input=orders(), capture_output=True, timeout=GIVE_UP_S, check=False)
    if ended.returncode:
        sys.exit("the console producer failed:\n" + ended.stderr.decode(errors="replace")[-2000:])


class Watch:
    """Reads the history topic and counts."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "demo", "enable.auto.commit": False})
        topic = self._consumer.list_topics("headrace.history", timeout=10).topics["headrace.history"]
        self._consumer.assign([TopicPartition("headrace.history", p, 0) for p in topic.partitions])
        self._seen: set[tuple[int, int]] = set()
        self.ended: Counter[str] = Counter()  # run id → how often it ended
        self.runs: Counter[tuple[str, str]] = Counter()  # (function, status) → runs
        self.steps: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.took_ms: dict[str, list[int]] = {function: [] for function in FUNCTIONS}

    def read(self) -> None:
        """Take in what is new."""
        for message in self._consumer.consume(5_000, 0.2):
            value = message.value()
            if message.error() is None and value is not None:
                self._take(decode_lifecycle(value))

    def _take(self, record: Lifecycle) -> None:
        if (record.partition, record.seq) in self._seen:
            return  # sent again after a failure: the same record, not the same thing twice
        self._seen.add((record.partition, record.seq))
        if record.kind == "RunEnded":
            self.ended[record.run_id] += 1
            self.runs[record.function_id, record.status] += 1
            self.took_ms.setdefault(record.function_id, []).append(record.at_ms - record.started_ms)
        elif record.kind == "StepEnded":
            self.steps[record.function_id] += 1
        elif record.kind in ("StepAttemptFailed", "RunAttemptFailed"):
            self.retries[record.function_id] += 1

    def close(self) -> None:
        """Leave Kafka before it stops."""
        self._consumer.close()

    def complete(self, function: str) -> int:
        """How many runs of a function have completed."""
        return self.runs[function, "Completed"]

    def wrong(self) -> list[str]:
        """List what is not as it must be."""
        found = [
            f"{function}: {self.complete(function)} runs completed, {ORDERS} were to"
            for function in FUNCTIONS
            if self.complete(function) != ORDERS
        ]
        found += [f"run {run} ended {times} times" for run, times in self.ended.items() if times != 1]
        found += [
            f"{function}: {n} runs {status}" for (function, status), n in self.runs.items() if status != "Completed"
        ]
        return found


def table(watch: Watch) -> Table:
    """Say what happened."""
    shown = Table(title=f"{ORDERS} orders")
    shown.add_column("function")
    for column in ("runs", "completed", "steps", "retried", "p50 ms", "p99 ms"):
        shown.add_column(column, justify="right")
    for function, took in watch.took_ms.items():
        ordered = sorted(took) or [0]
        cells = (
            sum(n for (f, _), n in watch.runs.items() if f == function),
            watch.complete(function),
            watch.steps[function],
            watch.retries[function],
            ordered[len(ordered) // 2],
            ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        )
        shown.add_row(function, *(f"{cell:,}" for cell in cells))
    return shown


def free_port() -> int:
    """Take the usual port if nobody listens there, else any."""
    for port in (8288, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no free port")


def await_ready(node: subprocess.Popen[Any], port: int, log: Path) -> None:
    """Wait until the node runs all its partitions."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and node.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the node did not become ready:\n" + log.read_text(errors="replace")[-3000:])


def main() -> int:
    """Run the demo; return the exit status."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder, EmbeddedKafka(Path(folder) / "kafka") as kafka:
        port, log = free_port(), Path(folder) / "node.log"
        command = [sys.executable, "-m", "headrace.cli", "dev", str(HERE / "app.py"), "--kafka", kafka.bootstrap]
        command += ["--port", str(port), "--data-dir", str(Path(folder) / "node"), "--no-reload"]
        with log.open("wb") as output:
            node = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            await_ready(node, port, log)
            console.print(f"Kafka at {kafka.bootstrap}, Headrace at http://127.0.0.1:{port}")
            watch = follow(console, kafka.bootstrap)
            watch.close()
            console.print(table(watch))
            wrong = watch.wrong()
            for line in wrong:
                console.print(f"[red]wrong:[/red] {line}")
            if not wrong:
                console.print(f"[green]All {ORDERS * len(FUNCTIONS):,} runs completed, each exactly once.[/green]")
            if os.environ.get("STAY"):
                console.print(f"Staying up: look at http://127.0.0.1:{port} and stop with Ctrl-C.")
                stay(node)
            return 1 if wrong else 0
        finally:
            node.send_signal(signal.SIGTERM)
            try:
                node.wait(40)
            except subprocess.TimeoutExpired:
                node.kill()


def follow(console: Console, bootstrap: str) -> Watch:
    """Send the orders and show how far their runs are, until all have ended and a moment longer."""
    watch = Watch(bootstrap)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        sending = progress.add_task("sending with Kafka's console producer", total=None)
        produce(bootstrap)
        progress.update(sending, total=ORDERS, completed=ORDERS)
        tasks = {function: progress.add_task(function, total=ORDERS) for function in FUNCTIONS}
        deadline = time.monotonic() + GIVE_UP_S
        quiet_until = 0.0
        while time.monotonic() < deadline:
            watch.read()
            for function, task in tasks.items():
                progress.update(task, completed=watch.complete(function))
            if any(watch.complete(function) < ORDERS for function in FUNCTIONS):
                continue
            # All are there; a run too many would come about now.
            quiet_until = quiet_until or time.monotonic() + 2
            if time.monotonic() >= quiet_until:
                break
    return watch


def stay(node: subprocess.Popen[Any]) -> None:
    """Wait until the node ends or the user has seen enough."""
    try:
        node.wait()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
