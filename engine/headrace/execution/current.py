"""Where the code that is running belongs: to the body of a run, or to one of its steps; and the tasks it spawns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.execution.live_run import Call, LiveRun

# The LiveRun in the body of a function, the Call inside a step's callable, None everywhere else. Tasks and threads
# that the code starts inherit it.
CURRENT: ContextVar[LiveRun | Call | None] = ContextVar("headrace_current", default=None)


class _Guarded(Coroutine[Any, Any, Any]):
    """A branch of user code; what would end the loop, such as `sys.exit()` in it, is a failure of the branch."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:
        try:
            return self._inner.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def throw(self, *error: Any) -> Any:
        try:
            return self._inner.throw(*error)
        except (SystemExit, KeyboardInterrupt) as exit_asked:
            raise RuntimeError(f"{type(exit_asked).__name__}: {exit_asked}") from exit_asked

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:  # cr_frame and the like, for those who print stacks
        return getattr(self._inner, name)


def is_running(task: asyncio.Task[Any] | None) -> bool:
    """Whether this is called from within the task."""
    try:
        return task is not None and asyncio.current_task() is task
    except RuntimeError:  # no loop is running
        return False


def watch_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Have every task that the body of a run creates on this loop noted in its `LiveRun`.

    Needed to tell code in several branches from code in one, which gets its recorded results without a detour.
    """
    previous = loop.get_task_factory()
    if getattr(previous, "notes_branches", False):
        return

    def create(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        current = CURRENT.get()
        branch = current is not None and current.is_body and asyncio.iscoroutine(coroutine)
        if branch:
            coroutine = _Guarded(coroutine)
        if previous is None:
            task = asyncio.Task(coroutine, loop=loop, **options)
        else:
            task = previous(loop, coroutine, **options)  # type: ignore[assignment]
        if branch and current is not None:
            current.live.adopt(task)
        return task

    create.notes_branches = True  # type: ignore[attr-defined]
    loop.set_task_factory(create)
