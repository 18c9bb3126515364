"""Asking: from what user code asks of the machine, checked, to the command that asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import BadDeclaration
from headrace.execution.callables import Callee, Decode, callee_of
from headrace.expressions import parse_duration_ms, parse_when_ms
from headrace.functions.errors import StepMisuse
from headrace.functions.event import Event, event_json, plain_value, sent_events
from headrace.functions.mistakes import nearest
from headrace.functions.retries import read_attempts
from headrace.functions.waits import Wait, Waited, read_signal, read_since, read_wait, read_waits
from headrace.records import commands
from headrace.records.commands import AnyCommand, EventsAsked, InvokeAsked, SignalAsked, SleepAsked, WaitAsked

if TYPE_CHECKING:
    from headrace.execution.live_run import LiveRun

Duration = str | int | float | timedelta
AnEvent = Event | Mapping[str, Any]
Ask = Callable[[str, bytes], AnyCommand]  # (run id, step) → what is submitted
Invocable = str | Callable[..., Any]

WAIT_MS_MAX = 10 * 366 * 24 * 3_600_000


def sleep_command(live: LiveRun, duration: Duration) -> Ask:
    """Check a duration; give what asks for the sleep."""
    duration_ms = parse_duration_ms(duration)
    return lambda run_id, step: SleepAsked(run_id, step, 0, duration_ms, live.owned.owner.time_ms())


def sleep_until_command(when: datetime | int | float | str) -> Ask:
    """Check a moment; give what asks for the sleep."""
    due_ms = parse_when_ms(when)
    return lambda run_id, step: SleepAsked(run_id, step, due_ms, 0)


def events_command(live: LiveRun, events: AnEvent | Sequence[AnEvent]) -> Ask:
    """Check events, by the models of the app too; give what asks for them to be published."""
    function = live.function
    packed = [event_json(event, function.shared.models) for event in sent_events(events, function.middleware)]
    return lambda run_id, step: EventsAsked(run_id, step, packed)


def wait_command(event: str, match: str | None, if_: str | None, timeout: Duration | None, since: str | None) -> Ask:
    """Check a wait for one event; give what asks for it."""
    plain = (
        isinstance(event, str) and (match is None or isinstance(match, str)) and (if_ is None or isinstance(if_, str))
    )
    wait = _read_known(event, match, if_) if plain else read_wait(Wait(event, match, if_))
    return _wait_ask([wait], timeout, since)


@lru_cache(maxsize=1024)  # a function's code asks for the same waits in every run, and again when it is replayed
def _read_known(event: str, match: str | None, if_: str | None) -> commands.Wait:
    return read_wait(Wait(event, match, if_))


def wait_any_command(
    waits: Sequence[Wait | Mapping[str, Any] | str], timeout: Duration | None, since: str | None
) -> Ask:
    """Check waits of which the first event counts; give what asks for them."""
    return _wait_ask(read_waits(waits), timeout, since)


def _wait_ask(waits: list[Any], timeout: Duration | None, since: str | None) -> Ask:
    timeout_ms, since_run = _timeout_ms(timeout), read_since(since)
    return lambda run_id, step: WaitAsked(run_id, step, waits, timeout_ms, since_run)


def signal_command(signal: str, timeout: Duration | None) -> Ask:
    """Check the name of a signal; give what asks for the wait."""
    name, timeout_ms = read_signal(signal), _timeout_ms(timeout)
    return lambda run_id, step: SignalAsked(run_id, step, name, timeout_ms)


def _timeout_ms(timeout: Duration | None) -> int:
    # 0 is "for ever" to the machine: a time-out of 0 is over with the next turn, as one of a millisecond is.
    if timeout is None:
        return 0
    timeout_ms = parse_duration_ms(timeout, option="timeout")
    if timeout_ms > WAIT_MS_MAX:
        raise BadDeclaration(
            "duration_too_long",
            f"timeout is {timeout!r}",
            why="a run waits for 10 years at most",
            do="leave timeout out to wait for ever",
        )
    return max(1, timeout_ms)


def invoke_command(live: LiveRun, function: Invocable, data: Any, timeout: Duration | None) -> tuple[Ask, Callee]:
    """Check what is to be invoked; give what asks for it, and how its result is read."""
    full_id, decode = _invoked(live, function)
    try:
        json = msgspec.json.encode({} if data is None else data, enc_hook=plain_value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StepMisuse(
            "invoke_data_unserialisable",
            f"the data for {full_id!r} cannot be written as JSON: {error}",
            why="what is invoked is started by an event, and its data is JSON",
            do="give plain data, dates, dataclasses or pydantic models",
        ) from None
    if not json.startswith(b"{"):
        raise StepMisuse(
            "invoke_data_invalid",
            f"the data for {full_id!r} is {data!r}",
            why="what is invoked finds it in ctx.event.data, an object",
            do='write data={"orderId": order_id}',
        )
    timeout_ms = _timeout_ms(timeout)
    return (lambda run_id, step: InvokeAsked(run_id, step, full_id, json, timeout_ms)), Callee(False, decode)


def _invoked(live: LiveRun, function: Invocable) -> tuple[str, Decode | None]:
    functions = live.home.functions
    if isinstance(function, str) and function:
        own_id = f"{live.function.app}-{function}"
        full_id = own_id if function not in functions and own_id in functions else function
        known = functions.get(full_id)
        return full_id, None if known is None else callee_of(known.call).decode
    found = [known for known in functions.values() if known.call is function]
    if found:
        return found[0].id, callee_of(found[0].call).decode
    name = getattr(function, "__name__", repr(function))
    meant = nearest(str(name), [known.call.__name__ for known in functions.values() if hasattr(known.call, "__name__")])
    raise StepMisuse(
        "invoke_unknown",
        f"invoke got {name!r}, which is not declared as a function here",
        why="what is invoked is a function of an app: its full id, or the function itself",
        do=f"did you mean {meant!r}?" if meant else 'write function="shop-process-order"',
    )


def read_waited(live: LiveRun) -> Callee:
    """Give how the result of a wait is read: typed data where the app has a model for the event."""
    models = live.function.shared.models

    def decode(raw: Any) -> Waited:
        if raw is None:
            return Waited()
        event = Event(**{name: value for name, value in raw["event"].items() if name in Event.__struct_fields__})
        return Waited(models.typed(event), int(raw.get("index", 0)))

    return Callee(False, decode)


def read_signalled(raw: Any) -> Waited:
    """Read the result of a wait for a signal."""
    return Waited() if raw is None else Waited(None, 0, raw.get("data"), timed_out=False)


SIGNALLED = Callee(False, read_signalled)


class StepTimeout(TimeoutError):
    """An attempt of a step took longer than its `timeout`; it is tried again as after any failure."""


def read_step_options(retries: int | None, timeout: Duration | None, unknown: Mapping[str, Any]) -> tuple[int, int]:
    """Read the options of a step: its own number of retries (-1: the function's), its time-out in ms (0: none)."""
    for name in unknown:
        meant = nearest(name, ("retries", "timeout"), {"attempts": "retries", "max_attempts": "retries"})
        raise BadDeclaration(
            "option_unknown",
            f"a step has no option {name!r}",
            why="an option that is not kept must not be accepted; a step takes: retries, timeout",
            do=f"did you mean {meant!r}?" if meant else "remove it",
        )
    return -1 if retries is None else read_attempts(retries), _timeout_ms(timeout)


def within(step_id: str, callee: Callee, function: Any, timeout_ms: int) -> Any:
    """Give a callable that does the same and is cancelled after so long."""
    if not timeout_ms:
        return function
    if not callee.is_async:
        raise StepMisuse(
            "timeout_on_thread",
            f"the step {step_id!r} has a timeout, and {getattr(function, '__name__', function)!r} is a plain function",
            why="a plain function runs on a thread, which nobody can interrupt; its next attempt would run beside it",
            do="give an async function, or use the time-outs of the library that it calls",
        )

    async def limited(*args: Any, **kwargs: Any) -> Any:
        limit = asyncio.timeout(timeout_ms / 1000)
        try:
            async with limit:
                return await function(*args, **kwargs)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StepTimeout(f"the attempt took longer than {timeout_ms} ms") from error

    return limited
