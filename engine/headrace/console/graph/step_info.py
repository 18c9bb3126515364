"""What a step of a trace is about: until when it sleeps, what it waits for, whom it has invoked. Pure."""

from __future__ import annotations

import re

import msgspec

from headrace.console.graph.app_objects import Object
from headrace.console.moments import iso
from headrace.console.steps import StepTold
from headrace.records.ids import derive_ulid
from headrace.records.rows import step_name

_YEAR_MS = 365 * 24 * 3_600_000  # a wait without a time-out, as those who ask expect one
# What `runs/wait.py` and `runs/invoke.py` say of a step that they plan.
_INVOKED = re.compile(r"run ([0-9A-HJKMNP-TV-Z]{26}) of (.+)")
_SIGNAL = re.compile(r"waits for the signal (['\"])(.*)\1")
_WAIT = re.compile(r"waits for (\S+)(?: where (.+)| with the same (\S+))?")


def step_info(run_id: str, step: StepTold) -> Object | None:
    """Show it; None where nothing is known."""
    if step.op == "sleep":
        return {"__typename": "SleepStepInfo", "sleepUntil": iso(step.planned_due_ms or step.due_ms or step.ended_ms)}
    if step.op == "wait":
        return _wait(step)
    if step.op == "signal":
        named = _SIGNAL.match(step.told)
        return {
            "__typename": "WaitForSignalStepInfo",
            "signal": named[2] if named else "",
            "timeout": _timeout(step),
            "timedOut": _timed_out(step),
        }
    if step.op == "invoke":
        return _invoke(run_id, step)
    return {"__typename": "RunStepInfo", "type": "step.sendEvent" if step.op == "send_event" else None}


def _wait(step: StepTold) -> Object:
    found = _WAIT.match(step.told)
    name, where, match = found.groups() if found else ("", None, None)
    expression = where or (f"event.{match} == async.{match}" if match else None)
    return {
        "__typename": "WaitForEventStepInfo",
        "eventName": name,
        "expression": expression,
        "timeout": _timeout(step),
        "foundEventID": None,
        "timedOut": _timed_out(step),
    }


def _invoke(run_id: str, step: StepTold) -> Object:
    found = _INVOKED.match(step.told)
    name = step_name(step.step_id, step.occurrence)
    return {
        "__typename": "InvokeStepInfo",
        # As `runs/invoke.py` makes it.
        "triggeringEventID": derive_ulid(step.started_ms, b"%s\0%s\0invoked" % (run_id.encode(), name)),
        "functionID": found[2] if found else "",
        "timeout": _timeout(step),
        "returnEventID": None,
        "runID": found[1] if found else None,
        "timedOut": step.mistake is not None and step.mistake.name == "InvokeTimeout",
    }


def _timeout(step: StepTold) -> str | None:
    return iso(step.planned_due_ms or step.started_ms + _YEAR_MS)


def _timed_out(step: StepTold) -> bool | None:
    if step.status != "Completed":
        return None
    try:
        return msgspec.json.decode(step.output or "null") is None
    except msgspec.MsgspecError:
        return False
