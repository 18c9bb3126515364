"""Rest: whether the code of a run can do anything by itself, or only when a step it asked for is resolved.

asyncio does not say what a task waits for in the end, so this follows the futures: a task waits for one of our steps;
or for other tasks, through `gather`, `wait`, `TaskGroup`, `wait_for`, `shield` or plainly; or for something else (a
socket, a timer, a queue between branches), of which nobody can say when it comes. The attributes read here are those
of CPython's asyncio from 3.11 on; where one is missing, the answer is "cannot tell", which is safe: such a run is
evicted later, and a new owner starts it for nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.execution.live_run import LiveRun


def at_rest(live: LiveRun) -> bool:
    """Whether none of the run's tasks is about to run; those inside a step's callable do not count."""
    for task in (live.main, *live.branches):
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
    ours = {call.waiter for call in live.calls.values()}
    ours.discard(None)
    return all(_waits(task, ours, live) for task in (main, *live.branches))


def _waits(task: asyncio.Task[Any], ours: set[Any], live: LiveRun) -> bool:
    waiter = getattr(task, "_fut_waiter", None)
    if task.done() or waiter is None or waiter.done():
        return False
    return _is_resolved_by_steps(waiter, ours, live)


def _is_resolved_by_steps(waiter: Any, ours: set[Any], live: LiveRun) -> bool:
    if waiter in ours:
        return True
    if isinstance(waiter, asyncio.Task):
        return waiter in live.branches  # which are all looked at themselves
    children = getattr(waiter, "_children", None)
    if children is not None:  # gather
        return all(child.done() or child in ours or child in live.branches for child in children)
    return any(_wakes(branch, waiter) for branch in live.branches)


def _wakes(task: asyncio.Task[Any], waiter: Any) -> bool:
    """Whether a call-back of the task refers to the future: it is what `wait`, `TaskGroup` and the like wait for."""
    for callback in getattr(task, "_callbacks", None) or ():
        if _refers(callback[0] if isinstance(callback, tuple) else callback, waiter):
            return True
    return False


def _refers(callback: Any, waiter: Any) -> bool:
    if isinstance(callback, partial):
        return any(argument is waiter for argument in callback.args) or _refers(callback.func, waiter)
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            if cell.cell_contents is waiter:
                return True
        except ValueError:  # not bound yet
            continue
    holder = getattr(callback, "__self__", None)
    return holder is not None and any(value is waiter for value in getattr(holder, "__dict__", {}).values())
