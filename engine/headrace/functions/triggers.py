"""Triggers: which events start a function, and which cron lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.errors import BadDeclaration
from headrace.functions.cron_trigger import Cron, looks_like_cron, read_cron
from headrace.functions.reading import read_expression
from headrace.functions.shapes import option_shape
from headrace.records.definitions import CronTrigger, EventTrigger
from headrace.records.events import NAME_LENGTH_MAX

TRIGGERS_MAX = 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@option_shape
@dataclass(frozen=True, slots=True)
class OnEvent:
    """Start a function when an event of this name comes, if `if_` (CEL over `event`) is true or left out.

    A name is exact ("order/created") or ends in a wildcard after / or . ("order/*", "order/item.*").
    """

    name: str
    if_: str | None = None


def read_triggers(value: object, where: str) -> tuple[list[EventTrigger], list[CronTrigger]]:
    """Read the option `trigger` (or `triggers`): a name, an `OnEvent`, a `Cron`, or a list of these."""
    declared = list(value) if isinstance(value, list | tuple) else [value]
    triggers: list[EventTrigger] = []
    crons: list[CronTrigger] = []
    for one in declared:
        if isinstance(one, Cron):
            crons += [cron for cron in read_cron(one, where) if cron not in crons]
        else:
            trigger = _read_trigger(one, where)
            if trigger not in triggers:
                triggers.append(trigger)
    if not declared or max(len(declared), len(triggers) + len(crons)) > TRIGGERS_MAX:
        raise BadDeclaration(
            "triggers_invalid",
            f"the function has {max(len(declared), len(triggers) + len(crons))} triggers",
            why=f"a function has 1 to {TRIGGERS_MAX}",
            do='write trigger="order/created"',
            where=where,
        )
    lines = [(cron.line, cron.timezone) for cron in crons]
    twice = next((line for place, (line, zone) in enumerate(lines) if (line, zone) in lines[:place]), None)
    if twice is not None:
        raise BadDeclaration(
            "triggers_invalid",
            f"the function has two Cron triggers with the line {twice!r}, which differ in their options",
            why="both would start it at the same time",
            do="keep one of them",
            where=where,
        )
    return triggers, crons


def _read_trigger(value: object, where: str) -> EventTrigger:
    if isinstance(value, str):
        if looks_like_cron(value):
            raise BadDeclaration(
                "trigger_invalid",
                f"a trigger's event name is {value!r}, which is a cron line",
                why="a text is the name of an event",
                do=f"write trigger=Cron({value!r})",
                where=where,
            )
        value = OnEvent(value)
    if not isinstance(value, OnEvent):
        raise BadDeclaration(
            "trigger_invalid",
            f"a trigger is {value!r} ({type(value).__name__})",
            why="a trigger is an event's name, OnEvent(name, if_=…) or Cron(line)",
            do='write trigger="order/created", or trigger=OnEvent("order/created", if_="event.data.total > 100")',
            where=where,
        )
    _check_name(value.name, where)
    return EventTrigger(value.name, read_expression(value.if_ or None, "if_", where))


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
