"""Signals: somebody sends a name, and one run that waits for it goes on: the one that asked first."""

from __future__ import annotations

from headrace.functions.correlation import signal_digest
from headrace.records.history import Kind
from headrace.records.waits import NOBODY_WAITS, SIGNALLED, SendSignal, WaitAnswer
from headrace.routing.deciding import remove
from headrace.state import Turn


def send_signal(turn: Turn, command: SendSignal) -> None:
    """Give the signal to the run that has waited longest, and write what became of it; nobody: it is gone."""
    everybody = turn.state.waiting.waiters.scan(signal_digest(command.signal))
    waiting = (found for found in everybody if not found[1].replaced)
    first = min(waiting, key=lambda found: (found[1].asked_ms, found[1].run_id, found[1].step), default=None)
    if first is None:
        turn.history(
            Kind.EventVerdict,
            "",
            "",
            event_ids=[command.id],
            status=NOBODY_WAITS,
            code="signal_not_awaited",
            explanation=f"no run waits for the signal {command.signal!r}",
        )
        return
    key, waiter = first
    remove(turn, b"", None, key, waiter)
    turn.command(
        waiter.home,
        WaitAnswer(waiter.run_id, waiter.step, waiter.index, waiter.n, signal=command.data),
    )
    turn.history(
        Kind.EventVerdict,
        waiter.run_id,
        "",
        event_ids=[command.id],
        status=SIGNALLED,
        code="signalled",
        explanation=f"run {waiter.run_id}",
    )
