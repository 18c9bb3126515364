"""Slots: what a limited run holds while it executes, seen from its home.

The gates (`admission/gates.py`) are asked one after the other, in the order that all runs keep. A run gives back what
it has and what it has asked for whenever it sleeps, waits, backs off, is parked or ends, and asks anew, under the next
number, before its code goes on. Commands between two partitions keep their order, so the old `Release` is at the gate
before the new `Acquire`; and what a gate answers to an old number is void, for its `Release` is on its way already.
"""

from __future__ import annotations

from headrace.functions.gates import limits_of
from headrace.records.commands import Acquire, Release
from headrace.records.rows import Phase, Run, Slots, TimerKind, timer_key
from headrace.state import Turn


def has_slots(run: Run) -> bool:
    """Tell whether the run's code may execute now."""
    slots = run.slots
    return slots is None or (slots.asked > 0 and slots.granted == len(slots.gates))


def ask_gates(turn: Turn, run_id: str, run: Run, slots: Slots) -> bool:
    """Ask the first of its gates for a slot; True when nothing limits the run any more.

    The limits that its function has now count, for a run that began under others as well.
    """
    definition = turn.definition(run.function_id)
    if definition is not None and turn.now_ms > run.created_ms:
        limits = limits_of(definition)
        if limits.names != [gate.limit for gate in slots.gates]:
            event, now_ms = run.events[0], turn.now_ms
            slots.gates = limits.gates(event, limits.place(event, now_ms), now_ms, turn.partitions)
    slots.number += 1
    if not slots.gates:
        return True
    run.phase = Phase.QUEUED
    ask_next(turn, run_id, run, slots)
    return False


def ask_next(turn: Turn, run_id: str, run: Run, slots: Slots) -> None:
    """Ask the next gate."""
    index = slots.asked
    slots.asked += 1
    gate = slots.gates[index]
    turn.command(
        gate.partition,
        Acquire(
            gate.id,
            run_id,
            slots.number,
            index,
            turn.partition,
            run.function_id,
            gate.limit,
            gate.share,
            slots.order_ms,
            slots.begun,
            run.place,
        ),
    )


def release_slots(turn: Turn, run_id: str, slots: Slots) -> None:
    """Give back what the run has, and what it has asked for; the caller puts the run."""
    for gate in slots.gates[: slots.asked]:
        turn.command(gate.partition, Release(gate.id, run_id, slots.number))
    slots.asked = slots.granted = 0


def leave_gates(turn: Turn, run_id: str, slots: Slots) -> None:
    """Let nothing be left of a run that has ended."""
    release_slots(turn, run_id, slots)
    if slots.paused:
        turn.state.gates.paused.delete(slots.paused)
    if slots.expires_ms and not slots.begun:
        turn.state.timers.delete(timer_key(slots.expires_ms, TimerKind.QUEUE, run_id))
