"""What starts and what cancels functions that SDKs register. Source: the SDK protocol page, 2.3, 7.9 and 9."""

from __future__ import annotations

from typing import Any

from headrace.errors import BadDeclaration
from headrace.expressions import beyond_conditions
from headrace.functions.cron import parse_cron, read_cron_line
from headrace.functions.sdk_fields import (
    as_object,
    check_expression,
    read_expression_text,
    read_go_duration_ms,
    refused,
    text_of,
)
from headrace.records.definitions import CancelOn, CronTrigger, EventTrigger

_TRIGGERS_MAX, _CANCELS_MAX = 10, 5
_TEXT_MAX = 255
_JITTER_MS_MIN, _JITTER_MS_MAX = 1_000, 5 * 60_000
_CANCEL_MS_MAX = 365 * 24 * 3_600_000
EVERY_FIRE = "all"  # runs that one line has started may overlap


def read_triggers(values: list[Any], notes: list[str]) -> tuple[list[EventTrigger], list[CronTrigger]]:
    """Read `triggers`: up to ten, each an event or a cron line; with none a function is only invoked."""
    if len(values) > _TRIGGERS_MAX:
        raise refused(
            f"This function exceeds the max number of triggers: {_TRIGGERS_MAX}", f"it has {len(values)}", "remove some"
        )
    events: list[EventTrigger] = []
    crons: list[CronTrigger] = []
    for value in values:
        fields = as_object(value, "a trigger")
        if "event" in fields and "cron" in fields:
            raise refused("A trigger cannot have both an event and a cron trigger", "each is a trigger", "write two")
        if "event" in fields:
            event = _event_trigger(fields)
            if event in events:
                raise refused(f"duplicate trigger event: {event.event}", "both would start it once", "remove one")
            events.append(event)
        elif "cron" in fields:
            line = text_of(fields, "cron")
            if any(cron.line == line for cron in crons):
                raise refused(f"duplicate cron expression: {line}", "both would start it at the same time")
            crons.append(_cron_trigger(line, text_of(fields, "jitter")))
        else:
            raise refused("A trigger must supply an event name or a cron schedule")
    fires = [cron for cron in crons if not _never_fires(cron.line)]
    notes += [f"its cron line {cron.line!r} never fires" for cron in crons if cron not in fires]
    return events, fires


def _event_trigger(fields: dict[str, Any]) -> EventTrigger:
    name = text_of(fields, "event")
    if not name:
        raise refused("An event trigger must specify an event name")
    if len(name) > _TEXT_MAX:
        raise refused(f"event name is too long. maximum length is {_TEXT_MAX} characters", f"it has {len(name)}")
    what = f"trigger expression on '{name}'"
    return EventTrigger(name, read_expression_text(fields, "expression", what, ("event", "async")))


def _cron_trigger(line: str, jitter: str) -> CronTrigger:
    if len(line) > _TEXT_MAX:
        raise refused(f"cron is too long. maximum length is {_TEXT_MAX} characters", f"it has {len(line)}")
    try:
        read_cron_line(line)
    except BadDeclaration as error:
        raise refused(f"'{line}' isn't a valid cron schedule", error.what, error.do) from None
    jitter_ms = read_go_duration_ms(jitter, "The cron jitter") if jitter.strip() else 0
    if jitter_ms and jitter_ms < _JITTER_MS_MIN:
        raise refused("cron jitter must be at least 1s", f"it is {jitter!r}")
    if jitter_ms > _JITTER_MS_MAX:
        raise refused("cron jitter must be less than or equal to 5m0s", f"it is {jitter!r}")
    return CronTrigger(line, "", jitter_ms, EVERY_FIRE)


def _never_fires(line: str) -> bool:
    try:
        parse_cron(line)
    except BadDeclaration:
        return True
    return False


def read_cancels(values: list[Any]) -> list[CancelOn]:
    """Read `cancel`: up to five events, each with a restricted condition and a time for which it counts."""
    if len(values) > _CANCELS_MAX:
        raise refused(
            f"This function exceeds the max number of cancellation events: {_CANCELS_MAX}", f"it has {len(values)}"
        )
    found: list[CancelOn] = []
    for value in values:
        fields = as_object(value, "cancel")
        event, condition, timeout = (text_of(fields, name) for name in ("event", "if", "timeout"))
        if not event:
            raise refused("A cancellation must specify an event name")
        if condition.strip():
            _check_condition(condition)
        timeout_ms = read_go_duration_ms(timeout, "The cancellation timeout") if timeout else 0
        entry = CancelOn(event, "", condition.strip(), min(timeout_ms, _CANCEL_MS_MAX))
        if entry not in found:
            found.append(entry)
    return found


def _check_condition(condition: str) -> None:
    check_expression(condition, "Cancellation expression", ("event", "async"))
    beyond = beyond_conditions(condition)
    if beyond:
        raise refused(
            f"Cancellation expression is invalid: function calls are disallowed (uses {beyond!r})",
            "what cancels runs is looked up for each event: it compares, combines and indexes, and nothing else",
            "compare fields, as in event.data.id == async.data.id",
        )
