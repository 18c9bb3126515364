"""`headrace start --processes N`: a small parent and N nodes, each in a process of its own.

The first node serves HTTP, for the whole cluster as every node does; the others only work. Each has a folder of its own
below the data directory, and with it a name of its own. The parent passes signals on. It restarts nothing: when a node
ends by itself the parent says so, stops the others in good order and ends with status 1, for whatever supervises it to
start everything again. Each node watches a pipe from the parent and stops when it breaks, however the parent ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

from headrace.cli.logs import tell

PIPE_VARIABLE = "HEADRACE_PARENT_PIPE"
_STOP_S = 40.0  # a node drains within 30
_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def node_folder(data_dir: Path, index: int) -> Path:
    """Name the data directory of one of several nodes."""
    return data_dir / f"node-{index}"


def node_commands(arguments: Sequence[str], data_dir: Path, processes: int, instance_id: str | None) -> list[list[str]]:
    """Write the command line of each node: the arguments that all share, and what makes each its own."""
    commands = []
    for index in range(processes):
        own = ["--data-dir", str(node_folder(data_dir, index)), "--processes", "1"]
        if instance_id is not None:
            own += ["--instance-id", f"{instance_id}-{index}"]
        if index:
            own.append("--no-http")
        commands.append([sys.executable, "-m", "headrace.cli", "start", *arguments, *own])
    return commands


def run_processes(commands: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None) -> int:
    """Run the commands until one ends or a signal comes; the exit status: 0 for a stop that was asked for, else 1."""
    reading, writing = os.pipe()
    happened: SimpleQueue[tuple[str, int]] = SimpleQueue()
    before = {number: signal.signal(number, lambda n, _: happened.put(("signal", n))) for number in _FORWARDED}
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            variables = {**(os.environ if environment is None else environment), PIPE_VARIABLE: str(reading)}
            # A session of its own: Ctrl-C reaches the parent alone, which passes it on once.
            nodes.append(subprocess.Popen(command, env=variables, pass_fds=[reading], start_new_session=True))
        os.close(reading)
        reading = -1
        for index, node in enumerate(nodes):
            _watch(node, index, happened)
        return _supervise(nodes, happened)
    finally:
        for node in nodes:
            if node.poll() is None:
                node.kill()
                node.wait()
        for descriptor in (reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(node: subprocess.Popen[bytes], index: int, happened: SimpleQueue[tuple[str, int]]) -> None:
    def wait() -> None:
        node.wait()
        happened.put(("ended", index))

    threading.Thread(target=wait, name=f"node-{index}", daemon=True).start()


def _supervise(nodes: Sequence[subprocess.Popen[bytes]], happened: SimpleQueue[tuple[str, int]]) -> int:
    left = set(range(len(nodes)))
    status = 0
    stopping = False

    def pass_on(number: int) -> None:
        for index in left:
            nodes[index].send_signal(number)

    while left:
        what, which = happened.get()
        if what == "signal":
            stopping = True
            pass_on(which)
            continue
        left.discard(which)
        code = nodes[which].returncode
        if stopping:
            status = status or (0 if code == 0 else _shell_status(code))
            continue
        tell(
            "node_ended",
            f"node {which} (process {nodes[which].pid}) ended by itself, status {_shell_status(code)}; "
            "nothing is restarted here, the other nodes are stopped",
        )
        stopping, status = True, 1
        pass_on(signal.SIGTERM)
        _kill_later(nodes)
    return status


def _kill_later(nodes: Sequence[subprocess.Popen[bytes]]) -> None:
    def kill() -> None:
        for node in nodes:
            if node.poll() is None:
                node.kill()

    timer = threading.Timer(_STOP_S, kill)
    timer.daemon = True
    timer.start()


def _shell_status(code: int) -> int:
    return 128 - code if code < 0 else code


def stop_with_parent(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call when the parent that started this process is gone; nothing happens where there is none."""
    descriptor = os.environ.pop(PIPE_VARIABLE, "")
    if not descriptor.isdigit():
        return
    pipe = int(descriptor)

    def broken() -> None:
        # Nothing is ever written: what can be read is the end.
        loop.remove_reader(pipe)
        os.close(pipe)
        tell("parent_gone", "the process that started this node is gone; it stops")
        stop()

    os.set_inheritable(pipe, False)
    loop.add_reader(pipe, broken)
