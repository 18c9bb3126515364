"""Processes that die with this one, ports to listen on, and the question whether a broker is ready."""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.adapters.embedded_kafka_lock import open_private
from headrace.errors import NotReady

_SUPERVISOR = Path(__file__).with_name("embedded_kafka_supervisor.py")
_SUPERVISOR_START_S = 20.0
_END_S = 20.0
# Broker ports are taken from below the range that outgoing connections use. A client that keeps knocking at a closed
# port inside that range is at some time given this very port as its own, connects to itself, and keeps the broker out.
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_FROM = 32_768
_PORTS_BELOW = 12_000
_METADATA, _METADATA_VERSION = 3, 4  # Kafka protocol guide: api key, and the first version whose brokers can be judged
_ANSWER_BYTES_MAX = 65_536


class SupervisedProcess:
    """A command that ends when this process does, however it ends (see embedded_kafka_supervisor.py).

    Runs in `folder` in a session of its own (a Ctrl-C in the terminal is not meant for it), with everything it writes
    to its standard streams in `output`, and no more rights on its files than its owner has. `held` are descriptors
    that it shall keep open as long as it lives. `pid` is the process id of the command itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        output: Path,
        environment: Mapping[str, str],
        held: Sequence[int] = (),
        niceness: int = 0,
    ) -> None:
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(niceness)]
        with open_private(output) as written:
            self._supervisor = subprocess.Popen(
                [*supervisor, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=written,
                cwd=folder,
                env=dict(environment),
                pass_fds=held,
                start_new_session=True,
                umask=0o077,
                bufsize=0,
            )
        try:
            self.pid = self._read_pid()
        except BaseException:
            self.kill()
            raise

    @property
    def running(self) -> bool:
        """Say whether the command is still there."""
        return self._supervisor.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Tell how it ended (128 + signal if by one), None while it runs."""
        return self._supervisor.poll()

    def terminate(self, wait_s: float) -> None:
        """Ask it to end, wait for that, and kill it if it takes longer."""
        self._tell(b"t")
        try:
            self._supervisor.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait until it is gone."""
        self._tell(b"k")
        try:
            self._supervisor.wait(_END_S)
        except subprocess.TimeoutExpired:
            # It hangs in the kernel. The parent-death signal takes the child along, as far as anything can.
            self._supervisor.kill()
            self._supervisor.wait()
        self._close()

    def wait(self) -> int:
        """Wait until it has ended by itself; its exit status."""
        status = self._supervisor.wait()
        self._close()
        return status

    def _read_pid(self) -> int:
        assert self._supervisor.stdout is not None
        if select.select([self._supervisor.stdout], [], [], _SUPERVISOR_START_S)[0]:
            line = self._supervisor.stdout.readline()
            if line.strip().isdigit():
                return int(line)
        raise NotReady(
            "process_not_started",
            f"{sys.executable} did not start the process of the embedded Kafka",
            why="a small Python process keeps watch over Kafka, so that it never outlives Headrace",
            do="see whether the machine can start processes at all (memory, process limit: `ulimit -u`)",
        )

    def _tell(self, order: bytes) -> None:
        assert self._supervisor.stdin is not None
        if not self._supervisor.stdin.closed:
            try:
                self._supervisor.stdin.write(order)
            except BrokenPipeError:
                return

    def _close(self) -> None:
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                pipe.close()


def free_port(taken: Sequence[int] = ()) -> int:
    """Find a port of 127.0.0.1 that nobody listens on, outside the range of outgoing connections."""
    below = _ephemeral_from()
    candidates = [port for port in range(below - _PORTS_BELOW, below) if port not in taken]
    for port in random.sample(candidates, min(200, len(candidates))):
        if port_is_free(port):
            return port
    raise NotReady(
        "no_free_port",
        f"none of 200 ports tried below {below} is free on 127.0.0.1",
        why="the embedded Kafka listens on two ports",
        do="end what occupies them, or name a port that is free",
    )


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now; lingering connections do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def serves_cluster(port: int, cluster_id: str, wait_s: float) -> bool:
    """Say whether the broker of this cluster answers there and may be used, waiting up to `wait_s` for its answer.

    A connection alone proves nothing: the listener is open long before the broker is let into its cluster. So this asks
    for the metadata, which names the brokers that are in.
    """
    request = struct.pack(">hhihi?", _METADATA, _METADATA_VERSION, 1, -1, 0, False)
    try:
        with socket.create_connection(("127.0.0.1", port), wait_s) as connection:
            connection.settimeout(wait_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _receive(connection, 4))
            if size > _ANSWER_BYTES_MAX:
                return False
            answer = _receive(connection, size)
    except OSError:
        return False
    # correlation id, throttle time, number of brokers; the cluster's id stands behind the brokers.
    return bool(struct.unpack_from(">iii", answer)[2] >= 1 and cluster_id.encode() in answer)


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        if not (piece := connection.recv(size - len(received))):
            raise ConnectionResetError("closed before the whole answer")
        received += piece
    return bytes(received)


def _ephemeral_from() -> int:
    try:
        low = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        return _EPHEMERAL_FROM
    # Where the range was widened to nearly all ports there is no place below it.
    return low if low > 2 * _PORTS_BELOW else _EPHEMERAL_FROM


def wait_until_free(port: int, wait_s: float) -> bool:
    """Wait, bounded, until a port is free; False if it is not by then."""
    deadline = time.monotonic() + wait_s
    while not port_is_free(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True
