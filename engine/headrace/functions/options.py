"""The options of a function: those there are, and what people type instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.errors import BadDeclaration
from headrace.expressions import format_duration
from headrace.functions.gathering import read_batch, read_debounce
from headrace.functions.limits import read_concurrency, read_rate_limit, read_throttle
from headrace.functions.mistakes import nearest, snake_case
from headrace.functions.other_names import ALIASES, INSTEAD
from headrace.functions.reading import invalid, read_choice, read_duration_ms
from headrace.functions.selection import (
    read_cancel_on,
    read_idempotency,
    read_priority,
    read_singleton,
    read_timeouts,
)

# What `read_flow` reads, in the order of the stages that a start passes; each goes into the definition under its name.
_READERS = {
    "idempotency": read_idempotency,
    "rate_limit": read_rate_limit,
    "debounce": read_debounce,
    "batch": read_batch,
    "singleton": read_singleton,
    "throttle": read_throttle,
    "concurrency": read_concurrency,
    "priority": read_priority,
    "cancel_on": read_cancel_on,
    "timeouts": read_timeouts,
}
AVAILABLE = (
    "name",
    "trigger",
    "triggers",
    "retries",
    "on_failure",
    *_READERS,
    "on_exhausted",
    "start_from",
    "middleware",
)
# Part of the public interface, and not in this version. Refused: an option that is silently not kept does harm.
LATER = ("history",)
ON_EXHAUSTED = ("fail", "park")


def check_options(names: Iterable[str], where: str) -> None:
    """Refuse every option that is not there, naming the nearest one that is."""
    for name in names:
        if name in LATER:
            raise BadDeclaration(
                "option_not_available",
                f"the option {name!r} is not in this version",
                why="an option that is not kept must not be accepted",
                do=f"remove it; there are: {', '.join(AVAILABLE)}",
                where=where,
            )
        if name not in AVAILABLE:
            raise _unknown(name, where)


def read_flow(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Read the options that decide when a run starts and ends, as fields of the definition."""
    flow = {name: read(options[name], where) for name, read in _READERS.items() if options.get(name) is not None}
    if options.get("on_exhausted") is not None:
        aliases = {"pause": "park", "wait": "park", "stop": "fail"}
        flow["on_exhausted"] = read_choice(options["on_exhausted"], ON_EXHAUSTED, "on_exhausted", where, aliases)
    if options.get("start_from") is not None:
        flow["start_from"] = _read_start_from(options["start_from"], where)
    return flow


def _read_start_from(value: object, where: str) -> str:
    """Read how far back in the log a new function's events begin: a time ("30d"), or an offset."""
    if type(value) is int:
        if value >= 0:
            return str(value)
        raise invalid(
            f"start_from is {value}",
            "a number is an offset, counted from 0 in every partition",
            'write start_from=0, or start_from="30d" for a time',
            where,
        )
    if isinstance(value, float) or (isinstance(value, str) and value.isdecimal()):
        number = int(float(value)) if math.isfinite(float(value)) and float(value) >= 1 else 1
        raise invalid(
            f"start_from is {value!r}",
            "a time has units, and an offset is a whole number",
            f'write start_from="{number}s" for a time, or start_from={number} for an offset',
            where,
        )
    return format_duration(read_duration_ms(value, "start_from", where))


def _unknown(name: str, where: str) -> BadDeclaration:
    instead = INSTEAD.get(snake_case(name))
    meant = "" if instead else nearest(name, (*AVAILABLE, *LATER), ALIASES)
    do = instead or (f"did you mean {meant}?" if meant else "remove it")
    if meant in LATER:
        do += " (it is not in this version)"
    return BadDeclaration(
        "option_unknown",
        f"there is no option {name!r}",
        why=f"a function takes: {', '.join(AVAILABLE)}",
        do=do,
        where=where,
    )
