"""Suspend: the code of a run can do nothing until a timer or an answer comes."""

from __future__ import annotations

from headrace.records.commands import Suspended
from headrace.records.history import Kind
from headrace.records.rows import Step, StepOp, is_waiting
from headrace.runs.announce import announce
from headrace.runs.park import is_parked, tell_parked
from headrace.runs.slots import release_slots
from headrace.state import Turn


def suspend_run(turn: Turn, command: Suspended) -> None:
    """Note that a new owner need not start the run; nothing, if a step it waits for is resolved meanwhile."""
    run_key = command.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or run.retry_due_ms:
        return
    waiting: list[Step] = []
    for step in command.waiting:
        row = turn.state.steps.get(run_key + step)
        if row is None or not is_waiting(row):
            return
        waiting.append(row)
    if run.suspended or not waiting:
        return
    announce(turn, command.run_id, run)
    turn.state.runs.suspend(run_key, run)
    if run.slots is not None:
        release_slots(turn, command.run_id, run.slots)
    if any(is_parked(row) for row in waiting):
        tell_parked(turn, command.run_id, run)
        return
    due_ms = min((row.due_ms for row in waiting if row.due_ms), default=0)
    turn.history(Kind.RunPhase, command.run_id, run.function_id, phase=_phase(waiting), due_ms=due_ms)


def _phase(waiting: list[Step]) -> str:
    ops = {row.op for row in waiting}
    if StepOp.RUN in ops:
        return "backing_off"
    return "sleeping" if ops == {StepOp.SLEEP} else "waiting"
