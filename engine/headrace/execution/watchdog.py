"""A thread that looks whether user code blocks the loop, on which every run, lease and timer of the node depends."""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.functions import Function

_LOGGER = logging.getLogger("headrace.execution")
_OURS = str(Path(__file__).parent)
_LIBRARIES = tuple(
    {path for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
)


class Watchdog:
    """Asks the loop for a sign of life, and names the code that keeps it from giving one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, functions: Mapping[str, Function], blocked_ms: int) -> None:
        self._loop = loop
        self._functions = functions
        self._blocked_s = blocked_ms / 1000
        self._ident = 0
        self._answered = threading.Event()
        self._closed = threading.Event()
        self.blocked = 0  # how often the loop was found blocked
        self._thread = threading.Thread(target=self._watch, name="headrace-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; never waits for the loop."""
        self._closed.set()
        self._answered.set()
        self._thread.join(1)

    def watch(self, functions: Mapping[str, Function]) -> None:
        """Know these functions from now on."""
        self._functions = functions

    def _answer(self) -> None:
        self._ident = threading.get_ident()
        self._answered.set()

    def _watch(self) -> None:
        while not self._closed.wait(self._blocked_s / 2):
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed
                return
            if not self._answered.wait(self._blocked_s) and not self._closed.is_set():
                if self._ident and self._loop.is_running():
                    self._report()
                self._answered.wait()  # one report for one blockage

    def _report(self) -> None:
        frame = sys._current_frames().get(self._ident)
        found = find_user_code(frame, self._functions)
        if found is None:
            return  # idle in the selector of a loop that does not run, or in the engine itself
        self.blocked += 1
        function_id, place = found
        _LOGGER.warning(
            "[loop_blocked] the function %s has blocked the loop for more than %d ms at %s; "
            "nothing else runs on this node meanwhile. Await instead of waiting, or write slow parts as plain `def` "
            "steps: they run on threads",
            function_id or "(unknown)",
            int(self._blocked_s * 1000),
            place,
            extra={"code": "loop_blocked", "function_id": function_id, "place": place},
        )


def find_user_code(frame: FrameType | None, functions: Mapping[str, Function]) -> tuple[str, str] | None:
    """Find (function id, "file:line") of the user code on a stack; its id is "" where that cannot be told."""
    place = function_id = ""
    files: list[str] = []
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_OURS):
            function_id = function_id or _function_of(frame)
        elif not file.startswith(_LIBRARIES) and not file.startswith("<"):
            place = place or f"{file}:{frame.f_lineno}"
            files.append(file)
        frame = frame.f_back
    if function_id:
        return function_id, place or "(a library)"
    for function in functions.values():  # a branch that the function started: none of our frames is below it
        if function.place.rpartition(":")[0] in files:
            return function.id, place
    return None


def _function_of(frame: FrameType) -> str:
    live = frame.f_locals.get("live")
    function = getattr(live, "function", None)
    return getattr(function, "id", "")
