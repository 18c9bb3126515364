"""Leases in any order of events: what a random day must never break (I8, I9), and bugs that it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headrace.admission import acquire_slot, release_slot
from headrace.functions.gates import slots_at
from headrace.records.commands import Acquire, CancelRun, Granted, Release, Suspended
from headrace.records.gate_rows import SlotClaim
from headrace.runs import cancel_run, suspend_run, take_granted
from headrace.runs.slots import release_slots
from headrace.worker.turn import OpenTurn
from tests.concurrency.day import Day, Wrong
from tests.concurrency.shop import Planted

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_slot_beyond_the_limit_none_lost_and_keys_in_order(seed: int) -> None:
    day = Day(seed)
    day.pass_by()
    assert day.counts["finished"] > 10
    assert day.counts["crashes"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_limits_and_pauses_that_change_meanwhile_lose_nothing(seed: int) -> None:
    day = Day(seed, changes=True)
    day.pass_by()
    assert day.counts["limits changed"] > 0
    assert day.counts["pauses changed"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_grants_and_releases_that_come_twice_count_once(seed: int) -> None:
    day = Day(seed, twice=True)
    day.pass_by()
    assert day.counts["repeats"] > 0


# --- bugs -----------------------------------------------------------------------------------------------------------


def _release_leaves_the_queue_alone(turn: OpenTurn, released: Release) -> None:
    claim = turn.state.gates.claims.get(released.gate + released.run_id.encode())
    if claim is not None and not claim.queued:
        release_slot(turn, released)


def _release_of_any_time(turn: OpenTurn, released: Release) -> None:
    claim = turn.state.gates.claims.get(released.gate + released.run_id.encode())
    if claim is not None:
        release_slot(turn, msgspec.structs.replace(released, number=claim.number))


def _grant_of_any_time(turn: OpenTurn, granted: Granted) -> None:
    run = turn.state.runs.get(granted.run_id.encode())
    if run is not None and run.slots is not None:
        slots = run.slots
        take_granted(turn, Granted(granted.run_id, slots.number, slots.granted))


def _grant_that_gives_back_what_is_void(turn: OpenTurn, granted: Granted) -> None:
    # Looks right: nobody wants the slot any more. But the run may have asked anew under this gate since.
    run = turn.state.runs.get(granted.run_id.encode())
    if run is not None and run.slots is not None and granted.number != run.slots.number:
        gate = run.slots.gates[granted.index]
        turn.command(gate.partition, Release(gate.id, granted.run_id, run.slots.number))
    take_granted(turn, granted)


def _acquire_overtakes_the_queue(turn: OpenTurn, asked: Acquire) -> None:
    gates = turn.state.gates
    if gates.claims.given(asked.gate) <= slots_at(turn.definition(asked.function_id), asked.limit):
        gates.claims.put(asked.gate + asked.run_id.encode(), SlotClaim(asked.number))
        turn.command(asked.home, Granted(asked.run_id, asked.number, asked.index))
    else:
        acquire_slot(turn, asked)


def _acquire_by_arrival_backwards(turn: OpenTurn, asked: Acquire) -> None:
    acquire_slot(turn, msgspec.structs.replace(asked, order_ms=-turn.next_order()))


def _cancel_forgets_what_it_has_only_asked_for(turn: OpenTurn, command: CancelRun) -> None:
    run = turn.state.runs.get(command.run_id.encode())
    if run is not None and run.slots is not None:
        run.slots.asked = run.slots.granted
    cancel_run(turn, command)


def _suspend_keeps_the_slots(turn: OpenTurn, command: Suspended) -> None:
    run = turn.state.runs.get(command.run_id.encode())
    if run is not None and run.slots is not None:
        run.slots.asked = 0  # it asks anew, and nobody is told
    suspend_run(turn, command)


def _suspend_releases_and_does_not_note_it(turn: OpenTurn, command: Suspended) -> None:
    run = turn.state.runs.get(command.run_id.encode())
    if run is None or run.slots is None or run.suspended:
        suspend_run(turn, command)
        return
    slots = run.slots
    asked, granted = slots.asked, slots.granted
    release_slots(turn, command.run_id, slots)
    suspend_run(turn, command)
    if run.suspended:
        slots.asked, slots.granted = asked, granted
        turn.state.runs.put(command.run_id.encode(), run)


BUGS: list[tuple[type, Callable[[OpenTurn, Any], None], dict[str, bool]]] = [
    (Release, _release_leaves_the_queue_alone, {}),
    (Release, _release_of_any_time, {"twice": True}),
    (Granted, _grant_of_any_time, {"twice": True}),
    (Granted, _grant_that_gives_back_what_is_void, {"twice": True}),
    (Acquire, _acquire_overtakes_the_queue, {}),
    (Acquire, _acquire_by_arrival_backwards, {}),
    (CancelRun, _cancel_forgets_what_it_has_only_asked_for, {}),
    (Suspended, _suspend_keeps_the_slots, {}),
    (Suspended, _suspend_releases_and_does_not_note_it, {}),
]


@pytest.mark.parametrize(("kind", "bug", "options"), BUGS, ids=[bug.__name__.strip("_") for _, bug, _ in BUGS])
def test_a_bug_is_found(kind: type, bug: Callable[[OpenTurn, Any], None], options: dict[str, bool]) -> None:
    planted: Planted = {kind: bug}
    for seed in range(60):
        try:
            Day(seed, planted=planted, **options).pass_by()
        except Wrong:
            return
    pytest.fail("60 days have not shown it")
