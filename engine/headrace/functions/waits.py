"""Waits: what a run waits for besides time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.errors import BadDeclaration
from headrace.functions.event import Event
from headrace.functions.reading import invalid, read_choice, read_event_name, read_shape
from headrace.functions.selection import read_condition
from headrace.records import commands

WAITS_MAX = 20
_WHY = "a run waits for an event by its own name"


@dataclass(frozen=True, slots=True)
class Wait:
    """One of the events that `ctx.step.wait_any` waits for.

    `match="data.orderId"`: what started the run and the event that comes both have the field, and it is equal. `if_`:
    CEL over `event` (what started the run) and `async` (the event that comes).
    """

    event: str
    match: str | None = None
    if_: str | None = None


class Waited:
    """What a wait came to: `event` and `index` (which of the waits), or `data` of a signal; false when it timed out."""

    __slots__ = ("_data", "event", "index", "timed_out")

    def __init__(
        self, event: Event | None = None, index: int = -1, data: Any = None, *, timed_out: bool | None = None
    ) -> None:
        self.event = event
        self.index = index
        self.timed_out = event is None if timed_out is None else timed_out
        self._data = data

    @property
    def data(self) -> Any:
        """The data of the event, or what was sent along with the signal; None when it timed out."""
        return self._data if self.event is None else self.event.data

    def __bool__(self) -> bool:
        return not self.timed_out

    def __repr__(self) -> str:
        return "<timed out>" if self.timed_out else f"<waited: {self.event or self._data!r}>"


def read_wait(wait: object, option: str = "wait_for_event") -> commands.Wait:
    """Check one wait: a `Wait`, a dict of its shape, or an event's name."""
    given = read_shape(wait, Wait, option, "", 'Wait("payment/succeeded", match="data.orderId")', short="event")
    match, expression = read_condition(given.match, given.if_, option, "")
    return commands.Wait(read_event_name(given.event, f"{option}.event", "", _WHY), match, expression)


def read_waits(waits: object) -> list[commands.Wait]:
    """Check the waits of `wait_any`: a list of 1 to 20."""
    if not isinstance(waits, list | tuple) or not 1 <= len(waits) <= WAITS_MAX:
        raise BadDeclaration(
            "option_invalid",
            f"wait_any waits for {waits!r}",
            why=f"it takes a list of 1 to {WAITS_MAX} waits; the first event that comes decides",
            do='write wait_any("paid", [Wait("payment/succeeded", match="data.orderId"), Wait("order/cancelled")])',
        )
    return [read_wait(wait, "wait_any") for wait in waits]


def read_since(since: object) -> bool:
    """Read from when on events count: from now (None), or from what started the run ("run")."""
    return since is not None and bool(read_choice(since, ("run",), "since", "", {"start": "run", "event": "run"}))


def read_signal(signal: object) -> str:
    """Check the name of a signal."""
    if isinstance(signal, str) and 0 < len(signal) <= 512 and signal.isprintable():
        return signal
    raise invalid(
        f"signal is {signal!r}",
        "a signal has a name of 1 to 512 printable characters, by which it is sent",
        'write signal="approve-7"',
        "",
    )
