"""Gates: who may execute. Slots are given out here, as leases of runs, on the partition of the gate.

A run belongs to its home, and nodes come and go: a lease is a row that stands until the run's home sends `Release`,
which it does whenever the run ends, sleeps, waits or backs off, for every gate that it has asked. From one partition to
another commands come once and in order (I5), so a `Release` is never ahead of its `Acquire`; and what belongs to an
earlier time of the run (an older `number`) is void. So no slot is given out beyond the limit, and none is lost (I8).

A queue is ordered: runs that have begun before those that have not; then by the time at which they came to their home,
shifted by their priority; then by arrival. Between shares (the keys of runs, at a gate that is wider than one key) it
is each one's turn after the other. Runs that have not begun and whose function or key is paused are passed over.

The numbers of limits are read anew for every slot, so they may be changed at any time, by a deploy or an operator.
"""

from __future__ import annotations

from headrace.functions.gates import GATE_BYTES, queue_place, slots_at
from headrace.records.commands import Acquire, Granted, Release
from headrace.records.gate_rows import QueuedRun, SlotClaim
from headrace.state import Turn


def acquire_slot(turn: Turn, asked: Acquire) -> None:
    """Give the run a slot if there is one and nobody waits before it; else let it wait."""
    gates = turn.state.gates
    gate = asked.gate
    key = gate + asked.run_id.encode()
    known = gates.claims.get(key)
    if known is not None:
        if known.number >= asked.number:
            return
        _leave(turn, gate, key, known)
    full = gates.claims.given(gate) >= slots_at(turn.definition(asked.function_id), asked.limit)
    if not full and not gates.turns.shares(gate) and (asked.begun or not turn.paused(asked.function_id, asked.place)):
        gates.claims.put(key, SlotClaim(asked.number))
        turn.command(asked.home, Granted(asked.run_id, asked.number, asked.index))
        return
    queue = gate + asked.share
    if asked.share not in gates.turns.shares(gate):
        gates.queue.begin(queue)
        gates.turns.put(queue, turn.next_order())
    place = queue + queue_place(asked.order_ms, turn.next_order(), begun=asked.begun)
    gates.queue.put(
        place,
        QueuedRun(
            asked.run_id,
            asked.number,
            asked.index,
            asked.home,
            asked.function_id,
            asked.limit,
            asked.begun,
            asked.place,
        ),
    )
    gates.claims.put(key, SlotClaim(asked.number, place))
    if not full:
        give_slots(turn, gate)  # all who wait before it may be held by a pause


def release_slot(turn: Turn, released: Release) -> None:
    """Take a slot back, or a place in the queue; what belongs to another time of the run is nothing."""
    key = released.gate + released.run_id.encode()
    known = turn.state.gates.claims.get(key)
    if known is not None and known.number == released.number:
        _leave(turn, released.gate, key, known)
        give_slots(turn, released.gate)


def _leave(turn: Turn, gate: bytes, key: bytes, known: SlotClaim) -> None:
    turn.state.gates.claims.delete(key)
    if known.queued:
        turn.state.gates.queue.delete(known.queued)
        share = known.queued[GATE_BYTES:-16]
        if turn.state.gates.queue.first(gate + share) is None:
            turn.state.gates.turns.delete(gate + share)


def give_slots(turn: Turn, gate: bytes) -> None:
    """Give out what slots there are."""
    while (given := _give_next(turn, gate)) is not None:
        # Runs of one function have one limit, so the next one need not be looked at. Elsewhere each may have its own.
        if given.limit.startswith("function:") and _is_full(turn, gate, given):
            return


def _is_full(turn: Turn, gate: bytes, run: QueuedRun) -> bool:
    return turn.state.gates.claims.given(gate) >= slots_at(turn.definition(run.function_id), run.limit)


def _give_next(turn: Turn, gate: bytes) -> QueuedRun | None:
    gates = turn.state.gates
    shares = gates.turns.shares(gate)
    given = gates.claims.given(gate)
    for share in shares:  # most often the first one may
        place = gates.queue.first(gate + share)
        waiting = None if place is None else gates.queue.get(place)
        if place is not None and waiting is not None and _may_have(turn, waiting, given):
            _give(turn, gate, share, place, waiting)
            return waiting
    return None


def _may_have(turn: Turn, waiting: QueuedRun, given: int) -> bool:
    if given >= slots_at(turn.definition(waiting.function_id), waiting.limit):
        return False
    return waiting.begun or not turn.paused(waiting.function_id, waiting.place)


def _give(turn: Turn, gate: bytes, share: bytes, place: bytes, waiting: QueuedRun) -> None:
    gates = turn.state.gates
    gates.queue.delete(place)
    if gates.queue.first(gate + share) is None:
        gates.turns.delete(gate + share)
    elif len(gates.turns.shares(gate)) > 1:
        gates.turns.put(gate + share, turn.next_order())
    gates.claims.put(gate + waiting.run_id.encode(), SlotClaim(waiting.number))
    turn.command(waiting.home, Granted(waiting.run_id, waiting.number, waiting.index))


def look_at_gates(turn: Turn) -> None:
    """Give out the slots of every gate at which runs wait: limits have changed, or a pause is over."""
    for gate in turn.state.gates.turns.gates():
        give_slots(turn, gate)
