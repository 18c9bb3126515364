"""Pauses: new runs of a paused function, or of a paused key, are held at their homes. Those that have begun go on."""

from __future__ import annotations

from hashlib import blake2b

from headrace.functions.gates import queue_place
from headrace.records.gate_rows import PAUSED_BYTES
from headrace.records.history import Kind
from headrace.records.rows import Run, Slots
from headrace.runs.announce import announce
from headrace.state import Turn


def paused_queue(pause: str) -> bytes:
    """Name the queue of the runs that a pause holds."""
    return blake2b(pause.encode(), digest_size=PAUSED_BYTES).digest()


def hold_run(turn: Turn, run_id: str, run: Run, slots: Slots, pause: str) -> None:
    """Hold a run until the pause is over; it keeps its place in the queue."""
    key = paused_queue(pause) + queue_place(slots.order_ms, turn.next_order())
    turn.state.gates.paused.put(key, run_id.encode())
    slots.paused = key
    turn.state.runs.put(run_id.encode(), run)
    announce(turn, run_id, run)
    slots.told = True
    turn.history(
        Kind.RunPhase,
        run_id,
        run.function_id,
        phase="queued",
        code="function_paused",
        explanation=f"{pause} is paused: the run begins when it is resumed",
        action=f"headrace resume {run.function_id}",
    )
