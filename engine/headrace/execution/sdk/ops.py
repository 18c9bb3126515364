"""Ops: the kinds of things that apps do or want. Source: the SDK protocol page, section 3.3."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from headrace.execution.sdk.answer import Op
from headrace.execution.sdk.wishes import (
    defer_wish,
    drop_wish,
    invoke_wish,
    options_of,
    signal_wish,
    sleep_wish,
    wait_wish,
)
from headrace.records.commands import AnyCommand

Wish = Callable[[Op, str, bytes, int], AnyCommand]  # (op, run id, step, now) → what the machine is asked


class Kind(Enum):
    """What is done about an op."""

    RUN = "run"  # a step was made
    ERROR = "error"  # one has failed, and may be tried again
    FAILED = "failed"  # one has failed for good
    PLANNED = "planned"  # one is to be made by a call of its own
    SLEEP = "sleep"
    WAIT = "wait"
    INVOKE = "invoke"
    SIGNAL = "signal"
    GATEWAY = "gateway"  # the engine makes a request
    COMPLETE = "complete"  # the function has returned
    DISCOVER = "discover"  # the function is to be called again
    DEFER = "defer"  # another function is to be run once this run has ended
    DROP = "drop"  # or is not to be run after all
    NONE = "none"

    @property
    def wish(self) -> Wish | None:
        """What reads it as something asked of the machine."""
        return _WISHES.get(self)


_WISHES: dict[Kind, Wish] = {
    Kind.SLEEP: sleep_wish,
    Kind.WAIT: wait_wish,
    Kind.INVOKE: invoke_wish,
    Kind.SIGNAL: signal_wish,
    Kind.DEFER: defer_wish,
    Kind.DROP: drop_wish,
}
KINDS: dict[str, Kind] = {
    "steprun": Kind.RUN,
    "step": Kind.RUN,
    "steperror": Kind.ERROR,
    "stepfailed": Kind.FAILED,
    "stepplanned": Kind.PLANNED,
    "sleep": Kind.SLEEP,
    "waitforevent": Kind.WAIT,
    "invokefunction": Kind.INVOKE,
    "waitforsignal": Kind.SIGNAL,
    "aigateway": Kind.GATEWAY,
    "gateway": Kind.GATEWAY,
    "runcomplete": Kind.COMPLETE,
    "discoveryrequest": Kind.DISCOVER,
    "deferadd": Kind.DEFER,
    "deferabort": Kind.DROP,
    "none": Kind.NONE,
}
DEFERS = frozenset({Kind.DEFER, Kind.DROP})
QUIET = DEFERS | {Kind.NONE}  # the function waits for none of them
LAZY = QUIET | {Kind.DISCOVER}
_LAST = {Kind.COMPLETE: 3, Kind.DISCOVER: 2}


def told_first(known: tuple[Op, Kind, bytes]) -> int:
    """Order the ops of one answer: waits before what may send the event that they wait for, the end last."""
    kind = known[1]
    return 0 if kind is Kind.WAIT or kind in DEFERS else _LAST.get(kind, 1)


def races(op: Op) -> bool:
    """Tell whether the function goes on after this op, whatever becomes of those beside it."""
    return bytes(op.opts) not in (b"null", b"") and options_of(op).get("parallelMode") == "race"
