"""Why an event started what it started, and nothing else: a verdict for every function. Pure.

What the engine decided stands in its records (runs, verdicts). That a function does not wait for an event leaves no
record, so that is found out here, from the function's triggers as they are now and with the engine's own rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.console.event_queries import FoundEvent, FoundVerdict
from headrace.console.function_queries import FoundFunction
from headrace.console.moments import iso
from headrace.expressions import format_duration
from headrace.records.definitions import Definition, EventTrigger
from headrace.records.rows import KnownEvent
from headrace.routing.triggers import Routes, wildcards


class Reason(NamedTuple):
    """What became of an event for one function. `outcome` is started, dropped, waiting, unmatched or unknown."""

    function_id: str
    outcome: str
    code: str
    explanation: str
    action: str = ""
    run_id: str = ""


HELD = "held_"  # what the codes of verdicts begin with that are not the last word (`admission/verdicts.py`)
_ORDER = ("started", "dropped", "waiting", "unknown", "unmatched")


def explain_event(
    event: FoundEvent,
    functions: Sequence[FoundFunction],
    started: Sequence[tuple[str, str, str]],
    verdicts: Sequence[FoundVerdict],
    now_ms: int,
) -> list[Reason]:
    """Tell for each function what became of the event; `started` lists its runs as (run id, function id, status)."""
    reasons = [
        Reason(function_id, "started", "run_started", f"it started a run, which is {status}", run_id=run_id)
        for run_id, function_id, status in started
    ]
    reasons += [_verdict(v, "dropped") for v in verdicts if not v.code.startswith(HELD)]
    told = {reason.function_id for reason in reasons}
    # What a stage has held is told of until it is known what became of it; of several stages the last one holds it.
    held = {v.function_id: _verdict(v, "waiting") for v in sorted(verdicts, key=_time) if v.code.startswith(HELD)}
    reasons += [reason for function_id, reason in held.items() if function_id not in told]
    told |= held.keys()
    for found in functions:
        if found.function_id not in told and found.definition is not None:
            reasons.append(_reason(event, found, found.definition, now_ms))
    return sorted(reasons, key=lambda reason: (_ORDER.index(reason.outcome), reason.function_id))


def _time(verdict: FoundVerdict) -> int:
    return verdict.at_ms


def _verdict(verdict: FoundVerdict, outcome: str) -> Reason:
    code, explanation = verdict.code or verdict.status, verdict.explanation or verdict.status
    return Reason(verdict.function_id, outcome, code, explanation, verdict.action)


def _reason(event: FoundEvent, found: FoundFunction, definition: Definition, now_ms: int) -> Reason:
    named = [trigger for trigger in definition.triggers if _fits(trigger, event.name)]
    if not named:
        waits = " or ".join(trigger.event for trigger in definition.triggers)
        said = f"it waits for {waits}" if waits else "it is started by no event"
        return Reason(found.function_id, "unmatched", "other_event", f"{said}, and the event is {event.name}")
    known = KnownEvent(event.event_id, event.name, event.body, event.ts_ms, event.received_ms, event.given_id or "")
    if not Routes([definition]).match(known, now_ms):
        conditions = " and ".join(trigger.expression for trigger in named)
        return Reason(
            found.function_id,
            "unmatched",
            "expression_not_true",
            f"its condition is not true of this event: {conditions}",
            "compare the fields that the condition names with the event's",
        )
    if event.ts_ms > now_ms:
        return Reason(found.function_id, "waiting", "event_in_the_future", f"it will be started at {iso(event.ts_ms)}")
    if found.changed_ms > event.received_ms:
        return Reason(
            found.function_id,
            "unknown",
            "function_changed_later",
            f"it waits for such events now, but was declared or changed at {iso(found.changed_ms)}, after this one",
            "send the event again",
        )
    if definition.batch is not None:
        return Reason(
            found.function_id,
            "unknown",
            "batch_may_gather",
            f"it gathers such events: a run is started once there are {definition.batch.max_size}, or"
            f" {format_duration(definition.batch.timeout_ms)} after the first; no run of this one is known here yet",
        )
    return Reason(
        found.function_id,
        "unknown",
        "run_not_seen",
        "it waits for such events, and no run of it is known here: it may be about to come, or older than what is kept",
    )


def _fits(trigger: EventTrigger, name: str) -> bool:
    return trigger.event == name or trigger.event in wildcards(name)
