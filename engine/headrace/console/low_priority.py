"""How a side process keeps out of the way, and how it never outlives the process that started it."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
# ioprio_set(2): system call numbers by machine; who = this process, class = idle.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_IDLE = 3 << 13


def yield_to_others() -> None:
    """Take the lowest priority for the processor and the disk, where the system has such a thing."""
    if hasattr(os, "nice"):
        os.nice(19)
    number = _IOPRIO_SET.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        # A refusal changes nothing: the process merely competes for the disk.
        ctypes.CDLL(None, use_errno=True).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


def die_with_parent(parent: int) -> None:
    """End this process when its parent is gone, however that ended (SIGKILL too).

    Two ways: the kernel's signal where there is one, and the end of standard input, which the parent holds open. Both
    take effect at once, in the middle of whatever is going on: what this process writes must bear that.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before the signal was asked for
            os._exit(0)
    threading.Thread(target=_exit_at_end_of_input, name="parent-watch", daemon=True).start()


def _exit_at_end_of_input() -> None:
    while True:
        try:
            if not os.read(0, 4096):
                break
        except InterruptedError:
            continue
        except OSError:
            break
    os._exit(0)
