"""The trace of a run: a root named "Run", a child for each step, and their attempts below. Pure.

Source: the SDK protocol page, section 6.3, and what test harnesses around Inngest's dev server look for: `attempts` is
the number of the last attempt, from 0; a run that has ended by itself has a child "Finalization" with its output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.console.graph.app_objects import Object
from headrace.console.graph.outputs import OutputId
from headrace.console.graph.statuses import run_status, step_status
from headrace.console.graph.step_info import step_info
from headrace.console.metadata import Kept, Note, put_together
from headrace.console.moments import iso
from headrace.console.run_queries import FoundRun
from headrace.console.run_rows import ENDED
from headrace.console.steps import Attempt, RunTold, StepTold
from headrace.functions.sdk_config import app_uuid, function_uuid
from headrace.records.invoked import step_hash
from headrace.records.rows import step_name
from headrace.records.trace_ids import span_of, trace_id

ROOT, FINALIZATION = "Run", "Finalization"
_OPS = {
    "run": "RUN",
    "send_event": "RUN",
    "state": "RUN",
    "sleep": "SLEEP",
    "wait": "WAIT_FOR_EVENT",
    "invoke": "INVOKE",
    "signal": "WAIT_FOR_SIGNAL",
    "gateway": "AI_GATEWAY",
}
_TYPES = {"send_event": "step.sendEvent"}  # where it is not the name of the op


class Trace:
    """Makes the spans of one run; `app` is the name of its function's app."""

    def __init__(self, found: FoundRun, told: RunTold, notes: list[Note], app: str) -> None:
        self._row = found.row
        self._told = told
        self._notes = notes
        self._app_id = str(app_uuid(app))
        self._run: Callable[[Any], Object] | None = None

    def root(self, run: Callable[[Any], Object]) -> Object:
        """Make the whole tree; `run` makes the object of the run."""
        row = self._row
        self._run = run
        root_id = span_of(row.run_id)
        has_ended = row.status in ENDED
        span = self._span(
            root_id,
            ROOT,
            run_status(row.status),
            row.queued_ms,
            row.started_ms or (row.queued_ms if has_ended else 0),
            row.ended_ms,
            outputID=OutputId(row.run_id).encode() if has_ended else None,
            attempts=row.attempt,
            isRoot=True,
            metadata=_metadata([note for note in self._notes if not note.step_id]),
        )
        children = [self._step(step, root_id) for step in self._told.steps]
        if row.status in ("Completed", "Failed"):
            children.append(self._finalization(root_id))
        return self._with_children(span, children)

    def _step(self, step: StepTold, root_id: str) -> Object:
        row = self._row
        hashed = step_hash(step_name(step.step_id, step.occurrence))
        span_id = span_of(row.run_id, step.id)
        has_output = step.status == "Completed" or (step.status == "Failed" and step.mistake is not None)
        op = _OPS.get(step.op, "RUN")
        span = self._span(
            span_id,
            step.step_id,
            step_status(step),
            step.started_ms,
            step.started_ms,
            step.ended_ms,
            outputID=OutputId(row.run_id, step.id).encode() if has_output else None,
            attempts=max((attempt.number for attempt in step.attempts), default=0),
            stepOp=op,
            stepType=_TYPES.get(step.op, op),
            stepID=hashed,
            stepInfo=step_info(row.run_id, step),
            parentSpanID=root_id,
            metadata=_metadata(self._notes_of(step, hashed)),
        )
        # One attempt that went well is the step itself.
        failed = [attempt for attempt in step.attempts if attempt.mistake is not None]
        attempts = step.attempts if failed and op in ("RUN", "AI_GATEWAY") else []
        return self._with_children(span, [self._attempt(step, attempt, span) for attempt in attempts])

    def _attempt(self, step: StepTold, attempt: Attempt, parent: Object) -> Object:
        run_id = self._row.run_id
        ended_well = attempt.mistake is None
        return self._with_children(
            self._span(
                span_of(run_id, step.id, attempt.number),
                f"Attempt {attempt.number}",
                "COMPLETED" if ended_well else "FAILED",
                attempt.started_ms,
                attempt.started_ms,
                attempt.ended_ms,
                outputID=OutputId(run_id, step.id, -1 if ended_well else attempt.number).encode(),
                attempts=attempt.number,
                stepOp=parent["stepOp"],
                stepType=parent["stepType"],
                stepID=parent["stepID"],
                parentSpanID=parent["spanID"],
            ),
            [],
        )

    def _finalization(self, root_id: str) -> Object:
        row = self._row
        steps_ms = max((step.ended_ms for step in self._told.steps), default=row.started_ms or row.queued_ms)
        return self._with_children(
            self._span(
                span_of(row.run_id, FINALIZATION, "end"),
                FINALIZATION,
                run_status(row.status),
                steps_ms,
                steps_ms,
                row.ended_ms,
                outputID=OutputId(row.run_id).encode(),
                attempts=row.attempt,
                stepType=FINALIZATION.upper(),
                parentSpanID=root_id,
            ),
            [],
        )

    def _notes_of(self, step: StepTold, hashed: str) -> list[Note]:
        return [
            note
            for note in self._notes
            if note.step_id == hashed or (note.step_id == step.step_id and note.occurrence == step.occurrence)
        ]

    def _span(
        self, span_id: str, name: str, status: str, queued_ms: int, started_ms: int, ended_ms: int, **more: Any
    ) -> Object:
        row = self._row
        return {
            "appID": self._app_id,
            "functionID": str(function_uuid(row.function_id)),
            "runID": row.run_id,
            "run": self._run,
            "spanID": span_id,
            "traceID": trace_id(row.run_id),
            "groupID": None,
            "name": name,
            "status": status,
            "duration": ended_ms - started_ms if ended_ms and started_ms else None,
            "outputID": None,
            "queuedAt": iso(queued_ms),
            "scheduledAt": iso(queued_ms),
            "startedAt": iso(started_ms),
            "endedAt": iso(ended_ms),
            "stepOp": None,
            "stepID": None,
            "stepInfo": None,
            "stepType": "",
            "isRoot": False,
            "parentSpanID": None,
            "parentSpan": None,
            "isUserland": False,
            "metadata": [],
            **more,
        }

    def _with_children(self, span: Object, children: list[Object]) -> Object:
        for child in children:
            child["parentSpan"] = span
        span["childrenSpans"] = children
        return span


def _metadata(notes: list[Note]) -> list[Object]:
    return [_kept(kept) for kept in put_together(notes)]


def _kept(kept: Kept) -> Object:
    values = {name: msgspec.json.decode(value) for name, value in kept.values.items()}
    return {"scope": kept.scope, "kind": kept.kind, "values": values, "updatedAt": iso(kept.updated_ms)}
