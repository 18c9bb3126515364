"""How a process is told to stop: once for in good order, twice for at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click

from headrace.adapters.kafka_loop import post
from headrace.errors import HeadraceError

T = TypeVar("T")


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C that came from outside; code that raises KeyboardInterrupt by itself raises another one."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted for a SIGINT that comes meanwhile; for what runs before there is a loop."""

    def interrupt(*_: object) -> NoReturn:
        raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Stop:
    """Asked for by a signal or by the node itself; `status` is what the process ends with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = asyncio.Event()
        self.status = 0
        self.error: HeadraceError | None = None

    def listen(self) -> None:
        """Take SIGINT and SIGTERM: the first asks, the second ends the process on the spot (130, 143)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._signalled, number)

    @property
    def asked(self) -> bool:
        """Say whether a stop was asked for."""
        return self._asked.is_set()

    def ask(self, error: HeadraceError | None = None) -> None:
        """Stop in good order; with an error the process ends with status 1 and says it."""
        if error is not None and self.error is None:
            self.error, self.status = error, 1
        self._asked.set()

    async def wait(self) -> None:
        """Wait until it is asked for."""
        await self._asked.wait()

    async def unless(self, call: Callable[[], T]) -> T | None:
        """Run something that blocks, on a thread, and wait for it or for the stop: then None, and it is left alone."""
        done = aside(self._loop, call)
        asked = asyncio.ensure_future(self._asked.wait())
        either: set[asyncio.Future[Any]] = {done, asked}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if done.done():
            return done.result()
        done.cancel()
        return None

    def _signalled(self, number: int) -> None:
        if not self._asked.is_set():
            self._asked.set()
            return
        click.echo("Stopped at once. Nothing that was recorded is lost.", err=True)
        leave(128 + number)


def aside(loop: asyncio.AbstractEventLoop, call: Callable[[], T]) -> asyncio.Future[T]:
    """Run something that blocks on a thread that does not hold up the end of the process."""
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = call()
        except BaseException as problem:
            post(loop, _fail, done, problem)
        else:
            post(loop, _succeed, done, result)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return done


def leave(status: int) -> NoReturn:
    """End the process now, whatever its threads are doing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _succeed(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[T], problem: BaseException) -> None:
    if not done.done():
        done.set_exception(problem)
