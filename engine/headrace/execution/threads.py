"""Plain `def` functions: they run on a thread, and each step call goes through the loop.

The call is made on the loop like that of an `async def` function (`step_calls.py`), so replays, attempts and order are
the same; a plain callable is handed back to the thread that asked, which runs it while it waits. A run that has nothing
to do but to wait for a timer is evicted at once: `Unwound` is raised at the step call, and no thread is held.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context as Variables
from contextvars import copy_context
from functools import partial
from threading import get_ident
from typing import Any

from headrace.adapters.rendezvous import Rendezvous
from headrace.execution.callables import Callee, callee_of
from headrace.execution.current import CURRENT
from headrace.execution.live_run import LiveRun
from headrace.execution.step_calls import guarded, run_step

# What the loop has to say to a thread that waits in a step call: call this, and wait on for what comes through that.
_Message = tuple[Callable[[], Any], "Rendezvous[_Message] | None"]


class Unwound(BaseException):
    """Leaves a plain function whose run goes on later, from its record; `finally` blocks run, steps do nothing."""


class HandlerThread:
    """The thread that runs the body of a plain function."""

    __slots__ = ("blocked", "boxes", "ident")

    def __init__(self) -> None:
        self.ident = 0  # 0: it has not begun
        self.blocked = False  # in a step call
        self.boxes: set[_Box] = set()

    def unwind(self) -> None:
        """End every step call that is waited for."""
        for box in list(self.boxes):
            box.end(partial(_raise, Unwound()))


class _Box:
    """One step call of a thread. All but `wait` happens on the loop."""

    __slots__ = ("_first", "_live", "_over", "_rendezvous")

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._over = False
        self._rendezvous: Rendezvous[_Message] = Rendezvous(live.loop)
        # The thread begins with this one, however late it comes: the loop may have gone on to the next by then.
        self._first = self._rendezvous

    def wait(self) -> Any:
        """Do what the loop asks for until the call is over (on the thread that asked)."""
        rendezvous = self._first
        while True:
            perform, following = rendezvous.wait()
            value = perform()
            if following is None:
                return value
            rendezvous = following

    def begin(self, variables: Variables, call: Callable[[_Box], Coroutine[Any, Any, Any]], ident: int) -> None:
        if self._over:
            return
        thread = self._live.thread
        if thread is not None and thread.ident == ident:
            thread.blocked = True
        # Made by hand: the factory would take it for a branch of the function.
        task = asyncio.Task(call(self), loop=self._live.loop, context=variables)
        task.add_done_callback(partial(self._done, ident))

    def _done(self, ident: int, task: asyncio.Task[Any]) -> None:
        live = self._live
        if live.thread is not None and live.thread.ident == ident:
            live.thread.blocked = False
        if task.cancelled():
            unwinding = live.ended or live.closing
            self.end(partial(_raise, Unwound() if unwinding else asyncio.CancelledError()))
            return
        error = task.exception()
        self.end(partial(_raise, error) if error is not None else task.result)

    def end(self, perform: Callable[[], Any]) -> None:
        if not self._over:
            self._over = True
            self._rendezvous.give((perform, None))

    async def hand_back(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Have the waiting thread call a plain function, and wait for what it gives."""
        if self._over:
            raise asyncio.CancelledError
        loop = self._live.loop
        done: asyncio.Future[Any] = loop.create_future()
        current = CURRENT.get()

        def perform() -> None:
            value = error = None
            token = CURRENT.set(current)
            try:
                value = guarded(function, args, kwargs)
            except BaseException as raised:
                error = raised
            finally:
                CURRENT.reset(token)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, done, value, error)

        waiting, self._rendezvous = self._rendezvous, Rendezvous(loop)
        waiting.give((perform, self._rendezvous))
        value = await done
        return await value if inspect.isawaitable(value) else value


def _raise(error: BaseException) -> None:
    raise error


def _settle(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(value)
    else:
        done.set_exception(error)


def ask_loop(live: LiveRun, call: Callable[[_Box], Coroutine[Any, Any, Any]]) -> Any:
    """Have the loop make a step call, and wait for its result."""
    thread = live.thread
    if thread is None:
        raise Unwound
    box = _Box(live)
    thread.boxes.add(box)
    try:
        if live.ended:  # after the box is known to `unwind`, so that one of both ends the call
            raise Unwound
        try:
            live.loop.call_soon_threadsafe(box.begin, copy_context(), call, get_ident())
        except RuntimeError:  # the loop is closed
            raise Unwound from None
        return box.wait()
    finally:
        thread.boxes.discard(box)


def run_blocking(
    live: LiveRun, step_id: str, function: Any, args: Any, kwargs: Any, retries: int, limited: Any = None
) -> Any:
    """Have a callable run as a step; a plain one on the thread that asks. `limited` is called in its place."""
    callee = callee_of(function)
    if callee.is_async:
        called = function if limited is None else limited
        return ask_loop(live, lambda _: run_step(live, step_id, callee, called, args, kwargs, retries))
    awaited = Callee(True, callee.decode)
    return ask_loop(
        live, lambda box: run_step(live, step_id, awaited, partial(box.hand_back, function), args, kwargs, retries)
    )


async def call_on_thread(live: LiveRun, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Run the body of a plain function on a thread of the pool."""
    live.thread = HandlerThread()
    work = partial(copy_context().run, _body, live, arguments, named)
    return await live.loop.run_in_executor(live.home.pool, work)


def _body(live: LiveRun, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
    thread = live.thread
    if thread is None or live.ended:
        raise Unwound
    thread.ident = get_ident()
    return guarded(live.function.call, arguments, named)
