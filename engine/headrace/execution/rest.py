"""Rest: whether the code of a run can do anything by itself, or only when a step it asked for is resolved.

asyncio does not say what a task waits for in the end, so this follows the futures: a task waits for one of our steps;
or for other tasks, through `gather`, `wait`, `TaskGroup`, `wait_for`, `shield` or plainly; or for something else (a
socket, a timer, a queue between branches), of which nobody can say when it comes. The attributes read here are those
of CPython's asyncio from 3.11 on; where one is missing, the answer is "cannot tell", which is safe: such a run is
evicted later, and a new owner starts it for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.execution.live_run import LiveRun


def at_rest(live: LiveRun, branches: Iterable[asyncio.Task[Any]]) -> bool:
    """Whether neither the body's task nor one of these is about to run; inside a step's callable does not count."""
    for task in (live.main, *branches):
        if task is None or task.done():  # who waits for it is about to be told
            return False
        waiter = getattr(task, "_fut_waiter", None)
        if (waiter is None or waiter.done()) and not _executes(live, task):
            return False
    return True


def _executes(live: LiveRun, task: asyncio.Task[Any]) -> bool:
    return any(call.executing and call.task is task for call in live.calls.values())


def waits_for_steps_alone(live: LiveRun) -> bool:
    """Whether it is certain that nothing but a step's resolution makes the code go on."""
    if live.thread is not None:
        return live.thread.blocked
    main = live.main
    if main is None:
        return False
    if not live.branches and len(live.calls) == 1:  # by far the most frequent case
        (call,) = live.calls.values()
        return call.waiter is not None and getattr(main, "_fut_waiter", None) is call.waiter
    known: set[Any] = {call.waiter for call in live.calls.values() if call.waiter is not None}
    known |= live.branches  # which are all looked at themselves
    unexplained: list[Any] = []
    for task in (main, *live.branches):
        waiter = getattr(task, "_fut_waiter", None)
        if task.done() or waiter is None or waiter.done():
            return False
        if waiter not in known and not _is_gather_of(waiter, known):
            unexplained.append(waiter)
    if not unexplained:
        return True
    woken = {id(future) for branch in live.branches for future in _woken_by(branch)}
    return all(id(waiter) in woken for waiter in unexplained)


def _is_gather_of(waiter: Any, known: set[Any]) -> bool:
    children = getattr(waiter, "_children", None)
    return children is not None and all(child.done() or child in known for child in children)


def _woken_by(task: asyncio.Task[Any]) -> Iterator[Any]:
    """List what the call-backs of a task refer to; what `wait`, `TaskGroup` and the like wait for is among it."""
    for entry in getattr(task, "_callbacks", None) or ():
        callback = entry[0] if isinstance(entry, tuple) else entry
        while isinstance(callback, partial):
            yield from callback.args
            callback = callback.func
        for cell in getattr(callback, "__closure__", None) or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not bound yet
                continue
        yield from getattr(getattr(callback, "__self__", None), "__dict__", {}).values()
