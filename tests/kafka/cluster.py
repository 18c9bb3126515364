"""Clusters of real node processes for the tests: `headrace start` on a real broker, killed, frozen, stopped, restarted.

    with Cluster(bootstrap, tmp_path) as cluster:
        node = cluster.start("a")
        cluster.send("order/created", {"n": 1}, key="customer-1")
        node.kill()

Each node has a data directory and a port of its own; each cluster has topics of its own, so clusters share a broker.
Whatever happens, the end of the `with` ends every process that was started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from headrace.adapters.embedded_kafka_process import free_port
from tests.kafka.apps.witness import FOLDER

FLOWS = Path(__file__).with_name("apps") / "flows.py"
SESSION_S = 10.0
_LOOK_S = 0.05
_LOG_SHOWN = 6_000


def until(condition: Callable[[], Any], what: str, within_s: float = 30.0) -> float:
    """Wait for something outside this process; give the seconds it took, or fail with what did not happen."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(_LOOK_S)
    return time.monotonic() - began


class Node:
    """One node process; the same object starts it again on the same data directory and port."""

    def __init__(self, name: str, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_path = folder / "log"
        self.port = free_port()
        self._command = [*command, "--data-dir", str(self.data_dir), "--port", str(self.port)]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._children: list[psutil.Process] = []
        self.starts = 0

    def start(self, **environment: str) -> None:
        """Start the process; it is not ready yet."""
        assert not self.running, f"{self.name} runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        variables = {**self._environment, **environment}
        with self.log_path.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.starts += 1

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Name the process that runs, or ran last."""
        assert self._process is not None
        return self._process.pid

    def await_ready(self, within_s: float = 60.0) -> float:
        """Wait until the node is settled in its group and everything assigned to it runs; the seconds it took."""
        try:
            return until(lambda: self._check_alive() or self.ready(), f"{self.name} is ready", within_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; it says {self.get('/ready')}\n{self.log_end()}") from None

    def _check_alive(self) -> bool:
        if not self.running:
            raise AssertionError(f"{self.name} ended by itself\n{self.log_end()}")
        return False

    def ready(self) -> bool:
        """Whether `/ready` says so."""
        return self.get("/ready")[0] == 200

    def get(self, path: str, method: str = "GET", timeout_s: float = 5.0) -> tuple[int, Any]:
        """Ask the node over HTTP; (0, None) where it does not answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, _parsed(refused.read())
        except OSError:
            return 0, None

    def partitions(self) -> list[int]:
        """List the partitions that this node runs, as it tells itself."""
        _, answer = self.get("/v1/partitions")
        rows = answer["data"] if isinstance(answer, dict) else []
        return [row["partition"] for row in rows if row["owner"] == self.node_id and row["state"] == "running"]

    @property
    def node_id(self) -> str:
        """Read the node's name from its data directory."""
        return (self.data_dir / "node.id").read_text().strip()

    def log(self) -> str:
        """Read all that the node has said."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_end(self) -> str:
        """Read what the node said last."""
        return f"--- log of {self.name}\n{self.log()[-_LOG_SHOWN:]}"

    def kill(self) -> None:
        """End the process like a power cut (SIGKILL), and wait until it is gone."""
        assert self._process is not None
        self._note_children()
        self._process.kill()
        self._process.wait(10)

    def freeze(self) -> None:
        """Let it stand still (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM)."""
        self._note_children()
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, within_s: float = 40.0) -> int:
        """Wait for its end; the exit status."""
        assert self._process is not None
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {within_s:g} s\n{self.log_end()}") from None

    def stop(self, within_s: float = 40.0) -> float:
        """Stop it in good order; the seconds it took."""
        began = time.monotonic()
        self.terminate()
        status = self.wait(within_s)
        assert status == 0, f"{self.name} ended with status {status}\n{self.log_end()}"
        return time.monotonic() - began

    def orphans(self) -> list[psutil.Process]:
        """List the processes that it had started and that outlived it."""
        return [child for child in self._children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    def clean_up(self) -> None:
        """End it and what it started, whatever its state."""
        if self.running:
            self._note_children()
            self.kill()
        for child in self.orphans():
            child.kill()

    def _note_children(self) -> None:
        if self.running:
            known = {child.pid for child in self._children}
            children = psutil.Process(self.pid).children(recursive=True)
            self._children += [child for child in children if child.pid not in known]


class Cluster:
    """Nodes on one broker under one prefix, a producer of events, and the folder where the nodes' code bears witness.

    `environment` is for all nodes.
    """

    def __init__(
        self, bootstrap: str, folder: Path, *, partitions: int = 4, app: Path = FLOWS, **environment: str
    ) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"c{uuid.uuid4().hex[:10]}"
        self.partitions = partitions
        self.folder = folder
        self.witness_folder = folder / "witness"
        self.witness_folder.mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        kept = {name: value for name, value in os.environ.items() if name == "HEADRACE_CACHE_DIR"}
        self._environment = {**own, **kept, FOLDER: str(self.witness_folder), **environment}
        self._command = [sys.executable, "-m", "headrace.cli", "start", f"{app}:app", "--kafka", bootstrap]
        self._command += ["--prefix", self.prefix, "--partitions", str(partitions)]
        self.nodes: dict[str, Node] = {}
        self._producer: Producer | None = None
        self._unsent: list[str] = []

    def node(self, name: str) -> Node:
        """Make a node; it is not started."""
        node = self.nodes[name] = Node(name, self.folder / name, self._command, self._environment)
        return node

    def start(self, name: str, within_s: float = 60.0, **environment: str) -> Node:
        """Start a node, a new one or one that has ended, and wait until it is ready."""
        node = self.nodes.get(name) or self.node(name)
        node.start(**environment)
        node.await_ready(within_s)
        return node

    def run(self, *words: str) -> str:
        """Run another command of the command line for this cluster's Kafka; what it printed."""
        command = [sys.executable, "-m", "headrace.cli", *words, "--kafka", self.bootstrap, "--prefix", self.prefix]
        ended = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def topic(self, name: str) -> str:
        """Name one of the cluster's topics."""
        return f"{self.prefix}.{name}"

    # --- events -------------------------------------------------------------------------------------------------

    @property
    def producer(self) -> Producer:
        """Give a producer that knows nothing of Headrace."""
        if self._producer is None:
            settings: dict[str, Any] = {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 2,
                "message.max.bytes": 8 << 20,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
            self._producer = Producer(settings)
        return self._producer

    def send(self, name: str, data: Mapping[str, Any], *, key: str | None = None, **fields: Any) -> None:
        """Hand an event to the producer; `flush` waits until Kafka has it."""
        self.send_raw(json.dumps({"name": name, "data": data, **fields}).encode(), key)

    def send_raw(self, value: bytes | None, key: str | None = None, partition: int | None = None) -> None:
        """Hand any record to the producer, for the events topic."""
        whereto = {} if partition is None else {"partition": partition}
        key_bytes = None if key is None else key.encode()
        self.producer.produce(self.topic("events"), value, key_bytes, on_delivery=self._sent, **whereto)
        self.producer.poll(0)

    def _sent(self, error: object, _: object) -> None:
        if error is not None:
            self._unsent.append(str(error))

    def flush(self, within_s: float = 60.0) -> None:
        """Wait until Kafka has every event."""
        left = self.producer.flush(within_s)
        assert not left, f"{left} events are not on Kafka after {within_s:g} s"
        assert not self._unsent, self._unsent[:3]

    # --- the end ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes.values():
            node.clean_up()
        if error is not None:
            for node in self.nodes.values():
                print(node.log_end())
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(1)
        # So many partitions would slow the broker down for the tests that follow; one that is gone needs nothing.
        admin = admin_of(self)
        with suppress(KafkaException):
            admin.list_topics(timeout=2)
            for deleted in admin.delete_topics([self.topic(name) for name in _TOPICS]).values():
                deleted.exception(10)


def admin_of(cluster: Cluster) -> AdminClient:
    """Give a client for what neither producers nor nodes do."""
    return AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})


class Load:
    """Sends orders from a thread, so many a second, until the end of the `with`; `sent` says how many."""

    def __init__(self, cluster: Cluster, per_second: int, *, keys: int = 40, **more: Any) -> None:
        self.sent = 0
        self._cluster = cluster
        self._per_second = per_second
        self._keys = keys
        self._more = more
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(0.01):
            while self.sent < (time.monotonic() - began) * self._per_second:
                send_order(self._cluster, self.sent, keys=self._keys, **self._more)
                self.sent += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._cluster.flush()


def send_order(cluster: Cluster, n: int, *, keys: int = 40, **more: Any) -> None:
    """Send order `n`; of every ten one fails at its first attempt, on a step that differs."""
    key = f"customer-{n % keys}"
    busy = {"busy": ("reserve", "pack-left", "stamp", "charge")[n // 10 % 4]} if n % 10 == 3 else {}
    cluster.send("order/created", {"n": n, "key": key, **busy, **more}, key=key)


_TOPICS = ("events", "commands", "changelog", "snapshots", "functions", "control", "history", "dead")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
