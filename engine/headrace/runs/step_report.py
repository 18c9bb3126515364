"""Step report: one attempt of a step has ended."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.records.commands import StepReport
from headrace.records.history import Kind
from headrace.records.rows import Failure, Run, Step, StepOp, StepState, Timer, TimerKind, split_step_name, timer_key
from headrace.runs.announce import announce
from headrace.runs.going_on import go_on
from headrace.runs.park import PARKED_MS, tell_parked
from headrace.runs.retry import definition_of, retry_delay_ms
from headrace.runs.slots import has_slots
from headrace.runs.telling import failure_fields
from headrace.runs.weight import grows_too_large
from headrace.state import Turn

_OP_NAMES = [op.name.lower() for op in StepOp]


def take_step_report(turn: Turn, report: StepReport) -> None:
    """Record the result; or, after a failure with retries left, plan the next attempt."""
    run_key = report.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None:
        return
    key = run_key + report.step
    known = turn.state.steps.get(key)
    if known is not None and (known.state != StepState.PENDING or known.attempt != report.attempt or known.due_ms):
        return  # recorded already, or an attempt that is not outstanding (yet: its timer is still to come)
    if known is None and report.attempt != 0:
        return
    announce(turn, report.run_id, run)
    if report.output is not None and len(report.output) > turn.limits.step_output_bytes:
        _record(
            turn, run, msgspec.structs.replace(report, output=None), StepState.FAILED, _too_large(turn, report.output)
        )
        return
    if report.failure is None:
        _record(turn, run, report, StepState.DONE, None)
        return
    definition = definition_of(turn, run.function_id)
    retries = definition.retries if report.retries < 0 else report.retries
    spent = report.attempt >= retries
    if not report.failure.retriable or (spent and definition.on_exhausted != "park"):
        _record(turn, run, report, StepState.FAILED, report.failure)
        return
    if spent:
        _try_again(turn, run, report, report.failure, PARKED_MS)
        tell_parked(turn, report.run_id, run)
        return
    delay_ms = retry_delay_ms(definition.backoff, report.attempt, report.failure, report.run_id + repr(report.step))
    _try_again(turn, run, report, report.failure, turn.now_ms + delay_ms)


def _too_large(turn: Turn, output: bytes) -> Failure:
    return Failure(
        "OutputTooLarge",
        f"the step's result has {len(output)} bytes; {turn.limits.step_output_bytes} are allowed; "
        "put large data elsewhere and return a reference to it",
        retriable=False,
    )


def _record(turn: Turn, run: Run, report: StepReport, state: StepState, failure: Failure | None) -> None:
    step_id, occurrence = split_step_name(report.step)
    row = Step(
        step_id,
        report.op,
        state,
        report.attempt + 1,
        turn.next_order(),
        report.output,
        failure,
        turn.now_ms,
        report.started_ms,
    )
    run_key = report.run_id.encode()
    if grows_too_large(turn, report.run_id, run, report.step, 0 if report.output is None else len(report.output)):
        return
    turn.state.steps.put(run_key + report.step, row)
    if run.attempt:  # a recorded step gives the function body its full number of attempts again
        run.attempt = 0
        turn.state.runs.put(run_key, run)
    if failure is None:
        more: dict[str, Any] = {
            "status": "Completed",
            "step_id": step_id,
            "op": _OP_NAMES[report.op],
            "started_ms": report.started_ms,
            "output": report.output_json,
        }
        if occurrence:
            more["occurrence"] = occurrence
        if report.attempt:
            more["attempt"] = report.attempt
        turn.history(Kind.StepEnded, report.run_id, run.function_id, **more)
    else:
        _tell_failure(turn, run, report, Kind.StepEnded, failure, status="Failed")
    _tell_code(turn, run, report, row)


def _try_again(turn: Turn, run: Run, report: StepReport, failure: Failure, due_ms: int) -> None:
    step_id, _ = split_step_name(report.step)
    run_key = report.run_id.encode()
    row = Step(
        step_id,
        report.op,
        StepState.PENDING,
        report.attempt + 1,
        turn.next_order(),
        None,
        failure,
        due_ms,
        report.started_ms,
    )
    turn.state.steps.put(run_key + report.step, row)
    parked = due_ms == PARKED_MS
    if not parked:
        turn.state.timers.put(
            timer_key(due_ms, TimerKind.STEP, report.run_id, report.step),
            Timer(TimerKind.STEP, report.run_id, report.step),
        )
    _tell_failure(turn, run, report, Kind.StepAttemptFailed, failure, due_ms=0 if parked else due_ms)
    _tell_code(turn, run, report, row)


def _tell_code(turn: Turn, run: Run, report: StepReport, row: Step) -> None:
    if has_slots(run):
        turn.resolve(report.run_id, report.step, row)
    else:  # it has given them back: what is reported so late goes on with the rest
        go_on(turn, report.run_id, run, report.step, row)


def _tell_failure(
    turn: Turn, run: Run, report: StepReport, kind: Kind, failure: Failure, *, status: str = "", due_ms: int = 0
) -> None:
    step_id, occurrence = split_step_name(report.step)
    turn.history(
        kind,
        report.run_id,
        run.function_id,
        status=status,
        step_id=step_id,
        occurrence=occurrence,
        op=_OP_NAMES[report.op],
        attempt=report.attempt,
        started_ms=report.started_ms,
        due_ms=due_ms,
        **failure_fields(failure),
    )
