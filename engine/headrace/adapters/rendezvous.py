"""Let a thread of an executor wait for something that the loop does.

A thread may simply block on a future; on virtual time that would stop the clock that it waits for, because time waits
for threads. Here the thread says that it waits, and the loop takes it back into account in the same moment in which it
hands the result over, so that virtual time cannot run on before the thread does.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Generic, TypeVar

from headrace.adapters.virtual_loop import VirtualLoop

T = TypeVar("T")


class Rendezvous(Generic[T]):
    """One result that the loop hands to one waiting thread; on any asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop if isinstance(loop, VirtualLoop) else None
        self._future: Future[T] = Future()
        self._lock = threading.Lock()
        self._waiting = False

    def wait(self) -> T:
        """Block this thread until the loop has given a result, and return it or raise its error."""
        with self._lock:
            if self._loop is not None and not self._future.done():
                self._waiting = True
                self._loop.thread_waits()
        return self._future.result()

    def give(self, result: T) -> None:
        """Hand over the result; called on the loop, once."""
        with self._lock:
            self._go_on()
            self._future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Hand over an error; called on the loop, once."""
        with self._lock:
            self._go_on()
            self._future.set_exception(error)

    def _go_on(self) -> None:
        if self._waiting and self._loop is not None:
            self._loop.thread_goes_on()
