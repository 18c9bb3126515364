"""Verdicts: what is told of a start that a stage has dropped, or holds."""

from __future__ import annotations

from headrace.records.commands import Answer, ReleaseLock
from headrace.records.history import Kind
from headrace.records.rows import Failure, Reply, Start
from headrace.state import Turn


def drop(turn: Turn, start: Start, status: str, code: str, explanation: str, action: str = "") -> None:
    """Write the verdict, for each event, and answer whoever has invoked it: nothing is dropped in silence.

    The locks that it has taken on its way are given back.
    """
    turn.history(
        Kind.EventVerdict,
        "",
        start.function_id,
        event_ids=[event.id for event in start.events],
        status=status,
        code=code,
        explanation=explanation,
        action=action,
    )
    for reply in start.replies:
        answer_dropped(turn, start.function_id, start.run_id, reply, explanation)
    for lock in start.locks:
        turn.command(lock.partition, ReleaseLock(lock.key, start.run_id))


def answer_dropped(turn: Turn, function_id: str, run_id: str, reply: Reply, explanation: str) -> None:
    """Tell one who has invoked the function that no run came of it."""
    failure = Failure("NotStarted", f"{function_id} was not started: {explanation}", retriable=False)
    turn.command(reply.partition, Answer(reply.run_id, reply.step, run_id, None, failure))


def tell_held(turn: Turn, start: Start, status: str, explanation: str, due_ms: int = 0) -> None:
    """Write that a stage holds the start, until `due_ms` if that is known: it will be told of again."""
    turn.history(
        Kind.EventVerdict,
        "",
        start.function_id,
        event_ids=[event.id for event in start.events],
        status=status,
        due_ms=due_ms,
        code=f"held_{status}",
        explanation=explanation,
    )


def let_go(turn: Turn, start: Start) -> None:
    """Let a start that was held go on from its stage."""
    turn.command(turn.partition, start)
