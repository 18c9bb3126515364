"""One run told as people want to see it: its steps with their attempts, and the phases it went through. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace.console.run_rows import error_more, phase_after
from headrace.records.history import Lifecycle


class Mistake(NamedTuple):
    """An error as it was recorded."""

    name: str
    message: str
    stack: str
    more: str = ""  # what else it says, a JSON object


class Attempt(NamedTuple):
    """One attempt of a step or of the function body that has ended. `next_ms` is when the next was planned, or 0."""

    number: int
    started_ms: int
    ended_ms: int
    mistake: Mistake | None
    next_ms: int


@dataclass
class StepTold:
    """One step. `status` is Running, Completed, Failed or Cancelled; `phase` says what a running one does."""

    step_id: str
    occurrence: int
    op: str
    status: str = "Running"
    phase: str = ""
    started_ms: int = 0
    ended_ms: int = 0
    due_ms: int = 0
    output: str = ""
    told: str = ""  # what it waits for, in words
    planned_due_ms: int = 0  # until when, as it was planned
    mistake: Mistake | None = None
    attempts: list[Attempt] = field(default_factory=list)
    seq: int = 0  # of its last record

    @property
    def id(self) -> str:
        """Name it within its run: the id that the code gave it, and from the second occurrence on which one it is."""
        return f"{self.step_id}:{self.occurrence}" if self.occurrence else self.step_id


class Stretch(NamedTuple):
    """A time during which a run was in one phase."""

    begin_ms: int
    end_ms: int
    phase: str


@dataclass
class RunTold:
    """All of a run; `attempts` are the failed ones of the function body."""

    steps: list[StepTold]
    stretches: list[Stretch]
    attempts: list[Attempt]


def tell_run(records: Sequence[Lifecycle], now_ms: int) -> RunTold:
    """Tell a run from its records, which are in their order."""
    steps: dict[tuple[str, int], StepTold] = {}
    attempts: list[Attempt] = []
    ended = None
    for record in records:
        if record.kind in ("StepPlanned", "StepAttemptFailed", "StepEnded"):
            key = (record.step_id, record.occurrence)
            step = steps.get(key)
            if step is None:
                step = steps[key] = StepTold(record.step_id, record.occurrence, record.op)
            _tell_step(step, record)
        elif record.kind == "RunAttemptFailed":
            attempts.append(Attempt(record.attempt, record.started_ms, record.at_ms, _mistake(record), record.due_ms))
        elif record.kind == "RunEnded":
            ended = record
    for step in steps.values():
        _settle(step, ended, now_ms)
    ordered = sorted(steps.values(), key=lambda step: (step.started_ms, step.seq))
    return RunTold(ordered, _stretches(records, now_ms), attempts)


def _tell_step(step: StepTold, record: Lifecycle) -> None:
    step.op = record.op or step.op
    step.seq = record.seq
    began_ms = record.started_ms or record.at_ms
    step.started_ms = min(step.started_ms, began_ms) if step.started_ms else began_ms
    step.due_ms = record.due_ms
    if record.kind == "StepPlanned":
        step.phase = phase_after(record) or "executing"
        step.told = record.explanation
        step.planned_due_ms = record.due_ms
        return
    mistake = _mistake(record)
    step.mistake = mistake
    waits = record.kind == "StepAttemptFailed"
    next_ms = record.due_ms if waits else 0
    step.attempts.append(Attempt(record.attempt, began_ms, record.at_ms, mistake, next_ms))
    if waits:
        step.phase = "backing_off"
    else:
        step.status = record.status
        step.phase = ""
        step.ended_ms = record.at_ms
        step.output = record.output


def _settle(step: StepTold, ended: Lifecycle | None, now_ms: int) -> None:
    if step.status != "Running":
        return
    if ended is not None:
        step.status = "Cancelled"
        step.phase = ""
        step.ended_ms = ended.at_ms
    elif step.phase == "backing_off" and 0 < step.due_ms <= now_ms:
        step.phase = "executing"  # the next attempt begins without a record


def _mistake(record: Lifecycle) -> Mistake | None:
    if not (record.error_name or record.error_message):
        return None
    return Mistake(record.error_name, record.error_message, record.error_stack, error_more(record))


def _stretches(records: Sequence[Lifecycle], now_ms: int) -> list[Stretch]:
    found: list[Stretch] = []
    phase, since_ms, due_ms = "", 0, 0
    for record in records:
        if (
            record.event_ids
        ):  # the record that makes the run; it may come a moment later than the run, or be its only one
            phase, since_ms = record.phase or "executing", record.started_ms or record.at_ms
        after = phase_after(record)
        if after is None or record.kind == "RunScheduled":
            continue
        if phase:
            found += _split(phase, since_ms, record.at_ms, due_ms)
        phase, since_ms, due_ms = after, record.at_ms, record.due_ms
    if phase:
        found += _split(phase, since_ms, max(now_ms, since_ms), due_ms)
    return _joined(found)


def _split(phase: str, begin_ms: int, end_ms: int, due_ms: int) -> list[Stretch]:
    # A back-off ends at its due time without a record; from then on the code is at work.
    if phase == "backing_off" and begin_ms < due_ms < end_ms:
        return [Stretch(begin_ms, due_ms, phase), Stretch(due_ms, end_ms, "executing")]
    return [Stretch(begin_ms, end_ms, phase)]


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and joined[-1].phase == stretch.phase:
            joined[-1] = joined[-1]._replace(end_ms=stretch.end_ms)
        elif stretch.end_ms > stretch.begin_ms or not joined:
            joined.append(stretch)
    return joined
