"""Triggers: which events start a function."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.errors import BadDeclaration
from headrace.expressions import compile_expression
from headrace.records.definitions import EventTrigger
from headrace.records.events import NAME_LENGTH_MAX

TRIGGERS_MAX = 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class OnEvent:
    """Start a function when an event of this name comes, if `if_` (CEL over `event`) is true or left out.

    A name is exact ("order/created") or ends in a wildcard after / or . ("order/*", "order/item.*").
    """

    name: str
    if_: str | None = None


def read_triggers(value: object, where: str) -> list[EventTrigger]:
    """Read the option `trigger` (or `triggers`): a name, an `OnEvent`, or a list of these."""
    declared = list(value) if isinstance(value, list | tuple) else [value]
    if not declared or len(declared) > TRIGGERS_MAX:
        raise BadDeclaration(
            "triggers_invalid",
            f"the function has {len(declared)} triggers",
            why=f"a function has 1 to {TRIGGERS_MAX}",
            do='write trigger="order/created"',
            where=where,
        )
    triggers: list[EventTrigger] = []
    for one in declared:
        trigger = _read_trigger(one, where)
        if trigger not in triggers:
            triggers.append(trigger)
    return triggers


def _read_trigger(value: object, where: str) -> EventTrigger:
    if isinstance(value, str):
        value = OnEvent(value)
    if not isinstance(value, OnEvent):
        raise BadDeclaration(
            "trigger_invalid",
            f"a trigger is {value!r} ({type(value).__name__})",
            why="a trigger is an event's name, or OnEvent(name, if_=…)",
            do='write trigger="order/created", or trigger=OnEvent("order/created", if_="event.data.total > 100")',
            where=where,
        )
    _check_name(value.name, where)
    if not value.if_:
        return EventTrigger(value.name)
    try:
        compile_expression(value.if_, variables=("event",), option="if_")
    except BadDeclaration as error:
        raise BadDeclaration(error.code, error.what, why=error.why, do=error.do, where=where) from None
    return EventTrigger(value.name, value.if_)


def _check_name(name: object, where: str) -> None:
    if not isinstance(name, str) or not name or len(name) > NAME_LENGTH_MAX or _CONTROL.search(name):
        raise BadDeclaration(
            "trigger_name_invalid",
            f"a trigger's event name is {name!r}",
            why=f"an event's name is a text of 1 to {NAME_LENGTH_MAX} characters, without control characters",
            do='write trigger="order/created"',
            where=where,
        )
    star = name.find("*")
    if star < 0:
        return
    if star == len(name) - 1 and star >= 2 and name[star - 1] in "/.":
        return
    stem = name[:star].rstrip("/.")
    raise BadDeclaration(
        "trigger_wildcard_invalid",
        f"a trigger's event name is {name!r}",
        why="a wildcard stands for the rest of a name: one *, at its end, behind / or .",
        do=f'write "{stem}/*"' if stem else 'name what the events have in common, as in "order/*"',
        where=where,
    )
