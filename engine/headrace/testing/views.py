"""Runs as the history tells them, which is what a test asks for. A view reads afresh each time it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace.records.history import Lifecycle


class Mistake(NamedTuple):
    """An error as it was recorded."""

    name: str
    message: str
    stack: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class Verdict(NamedTuple):
    """What a stage has decided about an event: `code` names it ("rate_limited"), `explanation` is a sentence."""

    function_id: str
    code: str
    explanation: str


@dataclass
class StepView:
    """One step. `status` is Running, Completed, Failed or Cancelled; `attempts` counts those that have ended."""

    id: str  # as the code gave it; from the second occurrence on with ":1", ":2", …
    op: str  # run, sleep, wait, signal, invoke, send_event or state
    status: str = "Running"
    attempts: int = 0
    output: Any = None
    error: Mistake | None = None


@dataclass
class Told:
    """What the history says of one run so far."""

    id: str
    function_id: str
    partition: int
    status: str = "Running"
    phase: str = "executing"
    output: Any = None
    error: Mistake | None = None
    attempt: int = 0
    event_ids: list[str] = field(default_factory=list)
    steps: dict[str, StepView] = field(default_factory=dict)


class RunView:
    """One run. Everything is read when it is asked for."""

    def __init__(self, told: Callable[[], Told]) -> None:
        self._told = told

    @property
    def id(self) -> str:
        """The run's id."""
        return self._told().id

    @property
    def function_id(self) -> str:
        """The full id of its function."""
        return self._told().function_id

    @property
    def partition(self) -> int:
        """The partition where it lives."""
        return self._told().partition

    @property
    def status(self) -> str:
        """Running, Completed, Failed or Cancelled."""
        return self._told().status

    @property
    def phase(self) -> str:
        """What a running one does: queued, executing, sleeping, waiting, backing_off, parked, no_code; "" once over."""
        return self._told().phase

    @property
    def output(self) -> Any:
        """What the function returned, or None."""
        return self._told().output

    @property
    def error(self) -> Mistake | None:
        """Why it failed or was cancelled, or why it backs off now."""
        return self._told().error

    @property
    def attempt(self) -> int:
        """How many attempts of the function body had failed before the last one."""
        return self._told().attempt

    @property
    def event_ids(self) -> list[str]:
        """The internal ids of the events that started it."""
        return list(self._told().event_ids)

    @property
    def steps(self) -> dict[str, StepView]:
        """Its steps by id, in the order in which they first show."""
        return self._told().steps

    def __repr__(self) -> str:
        told = self._told()
        steps = ", ".join(f"{step.id} {step.status}" for step in told.steps.values())
        return f"<{told.function_id} {told.id}: {told.status} {told.phase} [{steps}]>"


def fold(told: Told, record: Lifecycle) -> None:
    """Take the next record of a run into what is told of it; records come in the order of their seq."""
    kind = record.kind
    if record.event_ids:
        told.event_ids = record.event_ids
    if kind.startswith("Step"):
        _fold_step(told, record)
        told.phase = {"StepPlanned": "sleeping", "StepAttemptFailed": "backing_off"}.get(kind, "executing")
    elif kind == "RunEnded":
        told.status, told.phase, told.attempt = record.status, "", record.attempt
        told.output, told.error = _value(record.output), _mistake(record)
        for step in told.steps.values():
            if step.status == "Running":
                step.status = "Cancelled"
    else:  # RunScheduled, RunPhase, RunAttemptFailed
        told.phase, told.attempt, told.error = record.phase, record.attempt, _mistake(record)


def _fold_step(told: Told, record: Lifecycle) -> None:
    step_id = f"{record.step_id}:{record.occurrence}" if record.occurrence else record.step_id
    step = told.steps.get(step_id)
    if step is None:
        step = told.steps[step_id] = StepView(step_id, record.op)
    if record.kind != "StepPlanned":
        step.attempts = record.attempt + 1
        step.error = _mistake(record)
    if record.kind == "StepEnded":
        step.status, step.output = record.status, _value(record.output)


def _mistake(record: Lifecycle) -> Mistake | None:
    if not record.error_name and not record.error_message:
        return None
    return Mistake(record.error_name, record.error_message, record.error_stack)


def _value(text: str) -> Any:
    return json.loads(text) if text else None
