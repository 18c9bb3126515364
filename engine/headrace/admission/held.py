"""Held: starts that stages hold on this partition, to count them, and to take them away."""

from __future__ import annotations

from collections.abc import Callable

from headrace.admission.debounce import held_by_debounce, take_debounced
from headrace.admission.gathering import count_gathered, remove_gathered
from headrace.admission.singleton import take_waiting, waiting_for_lock
from headrace.admission.throttle import count_throttled, held_by_throttle, take_queued, take_queued_at
from headrace.admission.verdicts import drop
from headrace.records.commands import CancelRun, CancelStart
from headrace.records.rows import KnownEvent, Start
from headrace.state import State, Turn

# Where a start that has a lock may be held, by its run id: what takes it away, or gives None.
TAKERS: list[Callable[[Turn, str], Start | None]] = [take_queued]


def count_held(state: State, function_id: str) -> dict[str, int]:
    """Count what is held of a function on this partition: events of batches, starts of the other stages."""
    return {
        "debounce": len(held_by_debounce(state, function_id)),
        "batch": count_gathered(state, function_id),
        "singleton": len(waiting_for_lock(state, function_id)),
        "throttle": count_throttled(state, function_id),
    }


def remove_held(
    turn: Turn, function_id: str, unwanted: Callable[[KnownEvent], bool], code: str, explanation: str
) -> int:
    """Remove what is held of a function on this partition, with the verdict "cancelled"; return how many.

    Of a batch that is being gathered each event is asked for; of a start the first one, which speaks for all of them.
    """
    removed = remove_gathered(turn, function_id, unwanted, "cancelled", code, explanation)
    for held, take in (
        (held_by_debounce(turn.state, function_id), take_debounced),
        (waiting_for_lock(turn.state, function_id), take_waiting),
        (held_by_throttle(turn.state, function_id), take_queued_at),
    ):
        for key, start in held:
            if unwanted(start.events[0]):
                take(turn, key)
                drop(turn, start, "cancelled", code, explanation)
                removed += 1
    return removed


def cancel_start(turn: Turn, command: CancelStart) -> None:
    """Cancel what the start has become here; or follow it to the next partition of its trail."""
    for take in TAKERS:
        start = take(turn, command.run_id)
        if start is not None:
            drop(turn, start, "cancelled", "singleton_cancelled", command.reason)
            return
    if turn.state.runs.get(command.run_id.encode()) is not None:
        turn.command(turn.partition, CancelRun(command.run_id, command.reason))
    elif len(command.trail) > 1:
        rest = command.trail[1:]
        turn.command(rest[0], CancelStart(command.function_id, command.run_id, command.reason, rest))
