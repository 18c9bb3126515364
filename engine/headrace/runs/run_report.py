"""Run report: one attempt of the function body has ended."""

from __future__ import annotations

from headrace.records.commands import RunReport
from headrace.records.history import Kind
from headrace.records.rows import Timer, TimerKind, timer_key
from headrace.runs.announce import announce
from headrace.runs.ending import end_run
from headrace.runs.retry import definition_of, retry_delay_ms
from headrace.state import Turn


def take_run_report(turn: Turn, report: RunReport) -> None:
    """Complete the run; or, after a failure, plan the next attempt while there are retries left, else fail it."""
    run_key = report.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or run.attempt != report.attempt or run.retry_due_ms:
        return
    failure = report.failure
    if failure is None:
        end_run(turn, report.run_id, run, "Completed", output=report.output, output_json=report.output_json)
        return
    definition = definition_of(turn, run.function_id)
    if not failure.retriable or run.attempt >= definition.retries:
        end_run(turn, report.run_id, run, "Failed", failure=failure)
        return
    due_ms = turn.now_ms + retry_delay_ms(definition.backoff, run.attempt, failure, report.run_id)
    announce(turn, report.run_id, run)
    run.attempt += 1
    run.retry_due_ms = due_ms
    turn.state.runs.suspend(run_key, run)
    turn.state.timers.put(timer_key(due_ms, TimerKind.RUN, report.run_id), Timer(TimerKind.RUN, report.run_id))
    turn.history(
        Kind.RunAttemptFailed,
        report.run_id,
        run.function_id,
        phase="backing_off",
        attempt=report.attempt,
        due_ms=due_ms,
        error_name=failure.name,
        error_message=failure.message,
        error_stack=failure.stack,
    )
