"""Blocking steps: `ctx.step` of a plain `def` function. The calls of `Steps`, which block and return the value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from headrace.execution.asking import (
    SIGNALLED,
    AnEvent,
    Ask,
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
from headrace.execution.callables import Callee, callee_of
from headrace.execution.live_run import LiveRun
from headrace.execution.mapping import PARALLEL, check_parallel, item_id, map_steps
from headrace.execution.step_calls import AS_RECORDED, ask_step
from headrace.execution.threads import ask_loop, run_blocking
from headrace.functions.waits import Wait, Waited


class BlockingSteps:
    """`ctx.step` of a plain `def` function: the calls of `Steps`, which block and return the value."""

    __slots__ = ("_live",)

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    def _ask(self, step_id: str, command: Ask, callee: Callee = AS_RECORDED) -> Any:
        return ask_loop(self._live, lambda _: ask_step(self._live, step_id, command, callee))

    def run(self, step_id: str, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call `function(*args, **kwargs)` and record what it returns; raises StepError when its retries are spent."""
        return run_blocking(self._live, step_id, function, args, kwargs, -1)

    def sleep(self, step_id: str, duration: Duration, /) -> None:
        """Go on after a duration."""
        self._ask(step_id, sleep_command(self._live, duration))

    def sleep_until(self, step_id: str, when: datetime | int | float | str, /) -> None:
        """Go on at a moment."""
        self._ask(step_id, sleep_until_command(when))

    def send_event(self, step_id: str, events: AnEvent | Sequence[AnEvent], /) -> list[str]:
        """Publish one event or several, once; give their ids."""
        ids: list[str] = self._ask(step_id, events_command(self._live, events))
        return ids

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
    ) -> Waited:
        """Go on when an event of this name comes, or when the time is over."""
        waited: Waited = self._ask(step_id, wait_command(event, match, if_, timeout, since), read_waited(self._live))
        return waited

    def wait_any(
        self,
        step_id: str,
        waits: Sequence[Wait | Mapping[str, Any] | str],
        /,
        *,
        timeout: Duration | None = None,
        since: str | None = None,
    ) -> Waited:
        """Go on when the first of several events comes; the other waits are over then."""
        waited: Waited = self._ask(step_id, wait_any_command(waits, timeout, since), read_waited(self._live))
        return waited

    def wait_for_signal(self, step_id: str, /, signal: str, *, timeout: Duration | None = None) -> Waited:
        """Go on when somebody sends the signal of this name, or when the time is over."""
        waited: Waited = self._ask(step_id, signal_command(signal, timeout), SIGNALLED)
        return waited

    def invoke(self, step_id: str, /, function: Any, data: Any = None, *, timeout: Duration | None = None) -> Any:
        """Run another function, by its full id or itself, and give what it returns."""
        return self._ask(step_id, *invoke_command(self._live, function, data, timeout))

    def map(self, step_id: str, items: Iterable[Any], function: Any, /, *, parallel: int = PARALLEL) -> list[Any]:
        """Run `function(item)` as a step for each item; async callables so many at a time, plain ones in turn.

        This thread is the one that runs plain callables.
        """
        live = self._live
        if callee_of(function).is_async:
            results: list[Any] = ask_loop(live, lambda _: map_steps(live, step_id, items, function, parallel))
            return results
        check_parallel(step_id, parallel)
        return [self.run(item_id(step_id, number), function, item) for number, item in enumerate(items)]

    def options(
        self, *, retries: int | None = None, timeout: Duration | None = None, **unknown: Any
    ) -> BlockingStepOptions:
        """Give `run` with options of its own."""
        return BlockingStepOptions(self._live, *read_step_options(retries, timeout, unknown))


class BlockingStepOptions:
    """`run` for steps with options of their own."""

    __slots__ = ("_live", "_retries", "_timeout_ms")

    def __init__(self, live: LiveRun, retries: int, timeout_ms: int) -> None:
        self._live = live
        self._retries = retries
        self._timeout_ms = timeout_ms

    def run(self, step_id: str, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call `function(*args, **kwargs)` and record what it returns, with these options."""
        limited = within(step_id, callee_of(function), function, self._timeout_ms)
        return run_blocking(self._live, step_id, function, args, kwargs, self._retries, limited)
