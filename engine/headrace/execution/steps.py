"""Steps: what user code calls as `ctx.step`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, overload

from headrace.errors import BadDeclaration
from headrace.execution.callables import callee_of
from headrace.execution.live_run import LiveRun
from headrace.execution.step_calls import ask_step, run_step
from headrace.expressions import parse_duration_ms, parse_when_ms
from headrace.functions.event import Event, event_json
from headrace.functions.retries import read_attempts
from headrace.records.commands import AnyCommand, EventsAsked, SleepAsked

P = ParamSpec("P")
T = TypeVar("T")
AnEvent = Event | Mapping[str, Any]


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
        return ask_step(_promised(self._live, step_id), step_id, sleep_command(duration))

    def sleep_until(self, step_id: str, when: datetime | int | float | str, /) -> Coroutine[Any, Any, None]:
        """Go on at a moment: a datetime with its zone, an ISO 8601 text, or milliseconds since 1970."""
        return ask_step(_promised(self._live, step_id), step_id, sleep_until_command(when))

    def send_event(self, step_id: str, events: AnEvent | Sequence[AnEvent], /) -> Coroutine[Any, Any, list[str]]:
        """Publish one event or several, once; give their ids."""
        return ask_step(_promised(self._live, step_id), step_id, events_command(events))

    def options(self, *, retries: int | None = None, **unknown: Any) -> StepOptions:
        """Give `run` with options of its own: `ctx.step.options(retries=0).run("charge", charge, card)`."""
        return StepOptions(self._live, read_step_options(retries, unknown))


def _promised(live: LiveRun, step_id: str) -> LiveRun:
    # Nothing happens before the coroutine is awaited: a call without await is found when the function returns.
    if type(step_id) is str:
        live.promised.add(step_id)
    return live


class StepOptions:
    """`run` for steps with options of their own."""

    __slots__ = ("_live", "_retries")

    def __init__(self, live: LiveRun, retries: int) -> None:
        self._live = live
        self._retries = retries

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
        return run_step(_promised(self._live, step_id), step_id, callee, function, args, kwargs, self._retries)


def sleep_command(duration: str | int | float | timedelta) -> Callable[[str, bytes], AnyCommand]:
    """Check a duration; give what asks for the sleep."""
    duration_ms = parse_duration_ms(duration)
    return lambda run_id, step: SleepAsked(run_id, step, 0, duration_ms)


def sleep_until_command(when: datetime | int | float | str) -> Callable[[str, bytes], AnyCommand]:
    """Check a moment; give what asks for the sleep."""
    due_ms = parse_when_ms(when)
    return lambda run_id, step: SleepAsked(run_id, step, due_ms, 0)


def events_command(events: AnEvent | Sequence[AnEvent]) -> Callable[[str, bytes], AnyCommand]:
    """Check events; give what asks for them to be published."""
    several = [events] if isinstance(events, Event | Mapping) else list(events)
    packed = [event_json(event) for event in several]
    return lambda run_id, step: EventsAsked(run_id, step, packed)


def read_step_options(retries: int | None, unknown: Mapping[str, Any]) -> int:
    """Read the options of a step: its own number of retries, or -1 for the function's."""
    for name in unknown:
        later = name == "timeout"
        raise BadDeclaration(
            "option_not_available" if later else "option_unknown",
            f"a step has no option {name!r}" + (" in this version" if later else ""),
            why="an option that is not kept must not be accepted; a step takes: retries",
            do="remove it",
        )
    return -1 if retries is None else read_attempts(retries)
