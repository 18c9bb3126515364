"""What runs and steps came to, by the ids under which traces name it. Source: the SDK protocol page, section 6.3."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec
from graphql import GraphQLError

from headrace.console.graph.app_objects import Object
from headrace.console.graph.look import Look
from headrace.console.run_answers import error_object
from headrace.console.run_queries import FoundRun, find_run, read_run_records
from headrace.console.run_rows import ENDED, RunRow
from headrace.console.steps import Mistake, StepTold, tell_run

_EVENT_FIELDS = ("name", "data", "user", "id", "ts", "v")


class OutputId(NamedTuple):
    """What an output is of: a run, one of its steps (by its id within the run), or one attempt of a step."""

    run_id: str
    step: str = ""
    attempt: int = -1

    def encode(self) -> str:
        """Write it; for those who ask it is a word without meaning."""
        return base64.urlsafe_b64encode(msgspec.json.encode(list(self))).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> OutputId:
        """Read it."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return cls(*msgspec.json.decode(raw, type=tuple[str, str, int]))
        except (binascii.Error, msgspec.MsgspecError, UnicodeEncodeError, ValueError):
            raise GraphQLError(f"error parsing span identifier: {text[:60]!r} is none") from None


def run_output(row: RunRow) -> str | None:
    """Give what a run came to: the JSON of its result or of its error; None while it lives."""
    if row.status not in ENDED:
        return None
    if row.status == "Completed":
        return row.output or "null"
    return msgspec.json.encode(error_object(run_mistake(row))).decode("utf-8", "replace")


def run_mistake(row: RunRow) -> Mistake:
    """Give the error that a run ended with."""
    return Mistake(row.error_name, row.error_message, row.error_stack, row.error_more)


def span_output(look: Look, output_id: str) -> Object:
    """Answer `runTraceSpanOutputByID`: data, or the error."""
    wanted = OutputId.decode(output_id)
    found = find_run(look.rows, wanted.run_id)
    if found is None:
        raise GraphQLError(f"error retrieving run: there is no run {wanted.run_id[:60]!r}")
    if not wanted.step:
        return _of_run(found)
    told = tell_run(read_run_records(look.rows, wanted.run_id), look.now_ms)
    for step in told.steps:
        if step.id == wanted.step:
            return _of_step(step, wanted.attempt)
    raise GraphQLError(f"the run {wanted.run_id} has no step {wanted.step[:60]!r}")


def _of_run(found: FoundRun) -> Object:
    if found.row.status == "Completed":
        return _data(found.row.output or "null")
    if found.row.status in ENDED:
        return _error(run_mistake(found.row))
    raise GraphQLError(f"the run {found.row.run_id} has not ended: it has no output yet")


def _of_step(step: StepTold, attempt: int) -> Object:
    if attempt >= 0:
        for one in step.attempts:
            if one.number == attempt and one.mistake is not None:
                return _error(one.mistake)
    if step.mistake is not None and step.status != "Completed":
        return _error(step.mistake)
    if step.status != "Completed":
        raise GraphQLError(f"the step {step.id!r} has not ended: it has no output yet")
    return _data(step_data(step))


def step_data(step: StepTold) -> str:
    """Give what a step came to, as JSON; a wait came to the event itself."""
    if step.op == "wait":
        try:
            found = msgspec.json.decode(step.output or "null", type=dict[str, msgspec.Raw] | None)
        except msgspec.MsgspecError:
            found = None
        if found and "event" in found and "index" in found:
            event = msgspec.json.decode(found["event"], type=dict[str, msgspec.Raw])
            return msgspec.json.encode({name: event[name] for name in _EVENT_FIELDS if name in event}).decode()
    return step.output or "null"


def _data(text: str) -> Object:
    return {"input": None, "data": text, "error": None}


def _error(mistake: Mistake) -> Object:
    fields: dict[str, Any] = error_object(mistake)
    error = {
        "message": mistake.message,
        "name": mistake.name or None,
        "stack": mistake.stack or None,
        "cause": fields.get("cause"),
    }
    return {"input": None, "data": None, "error": error}
