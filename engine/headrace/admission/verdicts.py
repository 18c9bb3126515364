"""Verdicts: what is told of a start that a stage has dropped."""

from __future__ import annotations

from headrace.records.commands import Answer
from headrace.records.history import Kind
from headrace.records.rows import Failure, Start
from headrace.state import Turn


def drop(turn: Turn, start: Start, status: str, code: str, explanation: str) -> None:
    """Write the verdict, for each event, and answer whoever has invoked it: nothing is dropped in silence."""
    turn.history(
        Kind.EventVerdict,
        "",
        start.function_id,
        event_ids=[event.id for event in start.events],
        status=status,
        code=code,
        explanation=explanation,
    )
    for reply in start.replies:
        failure = Failure("NotStarted", f"{start.function_id} was not started: {explanation}", retriable=False)
        turn.command(reply.partition, Answer(reply.run_id, reply.step, start.run_id, None, failure))
