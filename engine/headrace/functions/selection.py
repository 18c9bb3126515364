"""Selection: which starts count, which go first, and which end a run again."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.functions.reading import (
    Duration,
    invalid,
    read_choice,
    read_duration_ms,
    read_event_name,
    read_expression,
    read_match,
    read_optional_ms,
    read_shape,
    several,
)
from headrace.functions.shapes import option_shape
from headrace.records import definitions

CANCEL_ON_MAX = 10
MODES = ("skip", "cancel")


@option_shape
@dataclass(frozen=True, slots=True)
class Priority:
    """Order runs that queue: `run` (CEL over `event`) gives seconds by which one goes before (or behind) the others.

    Any finite number counts, clamped to 12 hours either way; what gives no number is 0.
    """

    run: str


@option_shape
@dataclass(frozen=True, slots=True)
class Singleton:
    """Have one run at a time: "skip" drops a new one while another runs, "cancel" ends the other one first.

    With a `key` (CEL over `event`), one for each of its values.
    """

    mode: str
    key: str | None = None


@option_shape
@dataclass(frozen=True, slots=True)
class Idempotency:
    """Start once for each value of `key` (CEL over `event`) within `window`."""

    key: str
    window: Duration = "24h"


@option_shape
@dataclass(frozen=True, slots=True)
class CancelOn:
    """Cancel a run when the event comes, if it matches what started the run; for `timeout` from its start on.

    `match="data.orderId"`: both events have the field, and it is equal. `if_`: CEL over `event` (what started the run)
    and `async` (the event that comes). With neither, any event of the name cancels.
    """

    event: str
    match: str | None = None
    if_: str | None = None
    timeout: Duration | None = None


@option_shape
@dataclass(frozen=True, slots=True)
class Timeouts:
    """Cancel a run that has not begun `start` after its event (its time in queues), or not ended `finish` later."""

    start: Duration | None = None
    finish: Duration | None = None


def read_priority(value: object, where: str) -> str:
    """Read the option `priority`: an expression, or a `Priority`."""
    example = "priority=\"event.data.plan == 'pro' ? 120 : 0\""
    if isinstance(value, int | float):
        raise invalid(
            f"priority is {value!r}", "the same for all runs, it would order nothing", f"write {example}", where
        )
    given = read_shape(value, Priority, "priority", where, example, short="run")
    if given.run is None:
        raise invalid("priority.run is None", "it says who goes first", f"write {example}", where)
    return read_expression(given.run, "priority", where)


def read_singleton(value: object, where: str) -> definitions.Singleton:
    """Read the option `singleton`: "skip", "cancel", or a `Singleton`."""
    given = read_shape(value, Singleton, "singleton", where, 'singleton="skip"', short="mode")
    return definitions.Singleton(
        read_choice(given.mode, MODES, "singleton.mode", where, {"replace": "cancel", "drop": "skip"}),
        read_expression(given.key, "singleton.key", where),
    )


def read_idempotency(value: object, where: str) -> definitions.Idempotency:
    """Read the option `idempotency`: an expression, or an `Idempotency`."""
    example = 'idempotency="event.data.orderId"'
    given = read_shape(value, Idempotency, "idempotency", where, example, short="key")
    if given.key is None:
        raise invalid("idempotency.key is None", "starts with an equal key are the same one", f"write {example}", where)
    key = read_expression(given.key, "idempotency.key", where)
    return definitions.Idempotency(key, read_duration_ms(given.window, "idempotency.window", where))


def read_cancel_on(value: object, where: str) -> list[definitions.CancelOn]:
    """Read the option `cancel_on`: an event's name, a `CancelOn`, or a list of these."""
    read: list[definitions.CancelOn] = []
    for one in several(value, "cancel_on", CANCEL_ON_MAX, where):
        given = read_shape(one, CancelOn, "cancel_on", where, 'cancel_on="order/cancelled"', short="event")
        match, expression = read_condition(given.match, given.if_, "cancel_on", where)
        entry = definitions.CancelOn(
            read_event_name(given.event, "cancel_on.event", where, "runs are found by the event's own name"),
            match,
            expression,
            read_optional_ms(given.timeout, "cancel_on.timeout", where),
        )
        if entry not in read:
            read.append(entry)
    return read


def read_condition(match: object, if_: object, option: str, where: str) -> tuple[str, str]:
    """Read how an arriving event is told to be the right one: `match`, or `if_`, or neither."""
    if match is not None and if_ is not None:
        raise invalid(
            f"{option} has match={match!r} and if_={if_!r}",
            "match is short for an if_ that says the same",
            f'write if_="event.{match} == async.{match} && …", and no match',
            where,
        )
    return read_match(match, f"{option}.match", where), read_expression(if_, f"{option}.if_", where, ("event", "async"))


def read_timeouts(value: object, where: str) -> definitions.Timeouts:
    """Read the option `timeouts`: a `Timeouts`, or a dict of its shape."""
    example = 'timeouts=Timeouts(finish="1h")'
    given = read_shape(value, Timeouts, "timeouts", where, example)
    if given.start is None and given.finish is None:
        raise invalid("timeouts has neither start nor finish", "nothing would ever time out", f"write {example}", where)
    return definitions.Timeouts(
        read_optional_ms(given.start, "timeouts.start", where), read_optional_ms(given.finish, "timeouts.finish", where)
    )
