"""Keep one child process exactly as long as the process that wants it. A script; run it, do not import it.

    python -I -S embedded_kafka_supervisor.py PARENT_PID NICENESS COMMAND…

In:    on standard input `t` (ask the child to end: SIGTERM) or `k` (end it: SIGKILL). The end of input means that the
       parent is gone: SIGKILL.
Out:   the child's process id as one line on standard output; the exit status is the child's (128 + signal).
Rules: the standard library only, and little of it: this process lives as long as the child does.

Why a process of its own, and not a parent-death signal set by the parent: that signal comes when the *thread* dies
that started the child, and exists on Linux only. Here the main thread is the only one. The pipe alone would not do
either: if the parent forks (multiprocessing), the fork holds the pipe open after the parent is gone; so the parent's
process id is watched as well.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# How often the parent is looked for where the kernel offers nothing to wait on.
_LOOK_EVERY_S = 0.5


def supervise(parent: int, niceness: int, command: list[str]) -> int:
    """Start the command, wait until it ends or the parent does; the exit status."""
    wake_up, wake_up_end = os.pipe()
    os.set_blocking(wake_up_end, False)
    signal.set_wakeup_fd(wake_up_end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = _start(command, niceness)
    for asked_to_end in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(asked_to_end, lambda *_: os.kill(child, signal.SIGTERM))
    os.write(1, b"%d\n" % child)
    parent_end = _watch(parent)
    watched = [0, wake_up] if parent_end is None else [0, wake_up, parent_end]
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        ready = select.select(watched, [], [], _LOOK_EVERY_S if parent_end is None else None)[0]
        if wake_up in ready:
            os.read(wake_up, 512)
        said = os.read(0, 1) if 0 in ready else None
        if said == b"t":
            os.kill(child, signal.SIGTERM)
        elif said is not None or parent_end in ready or os.getppid() != parent:
            os.kill(child, signal.SIGKILL)
            # Dead for certain once it has been waited for; nothing else matters any more.
            os.waitpid(child, 0)
            return 128 + signal.SIGKILL


def _start(command: list[str], niceness: int) -> int:
    die_with_me = _parent_death_signal()
    supervisor = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        die_with_me()
        if os.getppid() != supervisor:
            os._exit(1)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        if niceness:
            os.nice(niceness)
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error}\n".encode())
    finally:
        os._exit(127)


def _parent_death_signal() -> Callable[[], object]:
    """Find what makes the kernel end the child if this very process is killed: Linux only, else nothing."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    import ctypes

    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _watch(parent: int) -> int | None:
    """Open a descriptor that becomes readable when the parent ends, where there is such a thing (Linux 5.3)."""
    if sys.platform.startswith("linux"):
        try:
            return os.pidfd_open(parent)
        except OSError:
            return None
    return None


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
