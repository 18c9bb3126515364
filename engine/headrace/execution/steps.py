"""Steps: what user code calls as `ctx.step`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, overload

from headrace.execution.asking import (
    SIGNALLED,
    AnEvent,
    Duration,
    events_command,
    invoke_command,
    read_step_options,
    read_waited,
    signal_command,
    sleep_command,
    sleep_until_command,
    wait_any_command,
    wait_command,
    within,
)
from headrace.execution.callables import callee_of
from headrace.execution.live_run import LiveRun
from headrace.execution.mapping import PARALLEL, map_steps
from headrace.execution.step_calls import ask_step, run_step
from headrace.functions.waits import Wait, Waited

P = ParamSpec("P")
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item


class Steps:
    """The durable parts of a function: each is remembered by its id, and never done again once it is recorded.

    In an `async def` function every call is awaited; in a plain `def` function it blocks and returns the value.
    """

    __slots__ = ("_live",)

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    @overload
    def run(
        self, step_id: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def run(
        self, step_id: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    def run(self, step_id: str, function: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call `function(*args, **kwargs)` and record what it returns; async on the loop, plain ones on a thread.

        Tried again when it raises, as the function's `retries` say. Raises StepError when they are spent.
        """
        return run_step(_promised(self._live, step_id), step_id, callee_of(function), function, args, kwargs)

    def sleep(self, step_id: str, duration: str | int | float | timedelta, /) -> Coroutine[Any, Any, None]:
        """Go on after a duration: "30m", "1h30m", a timedelta, or seconds."""
        command = sleep_command(self._live, duration)
        return ask_step(_promised(self._live, step_id), step_id, command)

    def sleep_until(self, step_id: str, when: datetime | int | float | str, /) -> Coroutine[Any, Any, None]:
        """Go on at a moment: a datetime with its zone, an ISO 8601 text, or milliseconds since 1970."""
        command = sleep_until_command(when)
        return ask_step(_promised(self._live, step_id), step_id, command)

    def send_event(self, step_id: str, events: AnEvent | Sequence[AnEvent], /) -> Coroutine[Any, Any, list[str]]:
        """Publish one event or several, once; give their ids."""
        command = events_command(self._live, events)
        return ask_step(_promised(self._live, step_id), step_id, command)

    def wait_for_event(
        self,
        step_id: str,
        /,
        event: str,
        *,
        match: str | None = None,
        if_: str | None = None,
        timeout: Duration | None = None,
        since: str | None = None,
    ) -> Coroutine[Any, Any, Waited]:
        """Go on when an event of this name comes; what is given has `.event`, and is false when it timed out.

        `match="data.orderId"`: it is equal in what started the run and in the event that comes. `if_`: CEL over `event`
        and `async`. `since="run"` also takes events that came after the one that started the run.
        """
        command = wait_command(event, match, if_, timeout, since)
        return ask_step(_promised(self._live, step_id), step_id, command, read_waited(self._live))

    def wait_any(
        self,
        step_id: str,
        waits: Sequence[Wait | Mapping[str, Any] | str],
        /,
        *,
        timeout: Duration | None = None,
        since: str | None = None,
    ) -> Coroutine[Any, Any, Waited]:
        """Go on when the first of several events comes: `.index` says which of the waits it was, `.event` is the event.

        The other waits are over then.
        """
        command = wait_any_command(waits, timeout, since)
        return ask_step(_promised(self._live, step_id), step_id, command, read_waited(self._live))

    def wait_for_signal(
        self, step_id: str, /, signal: str, *, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, Waited]:
        """Go on when somebody sends the signal of this name; what is given has `.data`, and is false on time-out."""
        command = signal_command(signal, timeout)
        return ask_step(_promised(self._live, step_id), step_id, command, SIGNALLED)

    @overload
    def invoke(
        self,
        step_id: str,
        /,
        function: Callable[..., Awaitable[T]],
        data: Any = None,
        *,
        timeout: Duration | None = None,
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def invoke(
        self, step_id: str, /, function: str | Callable[..., T], data: Any = None, *, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, T]: ...

    def invoke(
        self, step_id: str, /, function: Any, data: Any = None, *, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Run another function, by its full id or itself, and give what it returns; its event holds `data`.

        Raises StepError when it fails, is cancelled or takes longer than `timeout`; its `run_id` names the run.
        """
        command, callee = invoke_command(self._live, function, data, timeout)
        return ask_step(_promised(self._live, step_id), step_id, command, callee)

    @overload
    def map(
        self, step_id: str, items: Iterable[I], function: Callable[[I], Awaitable[T]], /, *, parallel: int = PARALLEL
    ) -> Coroutine[Any, Any, list[T]]: ...

    @overload
    def map(
        self, step_id: str, items: Iterable[I], function: Callable[[I], T], /, *, parallel: int = PARALLEL
    ) -> Coroutine[Any, Any, list[T]]: ...

    def map(
        self, step_id: str, items: Iterable[Any], function: Any, /, *, parallel: int = PARALLEL
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run `function(item)` as a step for each item, so many at a time; give the results in the items' order.

        The steps are called `id[0]`, `id[1]`, … . When one fails no further ones begin, those in progress end, and its
        StepError is raised.
        """
        return map_steps(_promised(self._live, step_id), step_id, items, function, parallel)

    def options(self, *, retries: int | None = None, timeout: Duration | None = None, **unknown: Any) -> StepOptions:
        """Give `run` with options of its own: `ctx.step.options(retries=0, timeout="10s").run("charge", charge, card)`.

        `timeout` is for each attempt; one that takes longer has failed. Async callables only.
        """
        return StepOptions(self._live, *read_step_options(retries, timeout, unknown))


def _promised(live: LiveRun, step_id: str) -> LiveRun:
    # Nothing happens before the coroutine is awaited: a call without await is found when the function returns.
    if type(step_id) is str:
        live.promised.add(step_id)
    return live


class StepOptions:
    """`run` for steps with options of their own."""

    __slots__ = ("_live", "_retries", "_timeout_ms")

    def __init__(self, live: LiveRun, retries: int, timeout_ms: int) -> None:
        self._live = live
        self._retries = retries
        self._timeout_ms = timeout_ms

    @overload
    def run(
        self, step_id: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def run(
        self, step_id: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    def run(self, step_id: str, function: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call `function(*args, **kwargs)` and record what it returns, with these options."""
        callee = callee_of(function)
        limited = within(step_id, callee, function, self._timeout_ms)
        return run_step(_promised(self._live, step_id), step_id, callee, limited, args, kwargs, self._retries)
