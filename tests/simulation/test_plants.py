"""Planted bugs. Goal: some checker finds each of them soon, so that silence of the checkers means something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import tests.simulation.plants_limits
import tests.simulation.plants_waits  # noqa: F401 - plants register themselves
import tests.simulation.test_scenarios_limits as limits
from tests.simulation import test_scenarios_waits as waits
from tests.simulation.plan import draw_plan
from tests.simulation.plants import PLANTS
from tests.simulation.simulation import Simulation
from tests.simulation.test_scenarios import (
    test_a_cancellation_in_the_log_beats_a_timer_that_became_due_while_nobody_ran as cancelled_while_down,
)
from tests.worker.test_overlay import one_row_travels
from tests.worker.test_restore import restored_after_a_stop_in_the_middle_of_a_commit

SEEDS_MAX = 80
# The world that is looked at first, where that is not world 0: it has shown the plant before. Where it no longer does,
# all the others are looked through as well.
SHOWN_IN = {
    "a Release leaves a place in the queue alone": 5,
    "a batch takes one event more than it may": 3,
    "a gap between published events is accepted at once": 40,
    "a gate that has given out more than its limit gives on": 110,
    "a machine runs before its claim is read back": 1,
    "a new owner does not know who waits at a gate": 1,
    "a priority puts a run behind others": 5,
    "a rate limit counts what it drops": 7,
    "a rate makes up for the time in which nothing came": 5,
    "a repeat prolongs the window": 105,
    "a run that sleeps forgets its slots without giving them back": 2,
    "a run that was called answers after its caller has given up": 1,
    "a throttle lets one more go at once": 6,
    "a throttle's queue is not looked at again": 9,
    "a time-out is decided while the log is still read": 18,
    "an event resolves any number of waits of a run": 6,
    "an event whose own time is long past is dropped": 1,
    "an older event that comes late replaces the one that is held": 2,
    "late acknowledgements count": 6,
    "the offset alone is the rule": 1,
    "the time of a turn is the node's own": 1,
    "the timer of a batch that was full ends the next one early": 7,
    "time deletes records of the commands topic": 1,
    "time deletes records of the snapshots topic": 1,
    "what a neighbour was handed overtakes what is in the log": 1,
    "what operators have set is not in the state": 8,
}
# What random worlds come upon too seldom is found by a story of its own.
STORIES: dict[str, Callable[[], None]] = {
    "a row whose bytes are the same is taken for the same write": lambda: one_row_travels("xdxhfhf", 0),
    "a stored position is that of a chunk": restored_after_a_stop_in_the_middle_of_a_commit,
    "timers fire before what stood in the log at the claim is applied": cancelled_while_down,
    "a look-back ends one event before the live stream": lambda: waits.test_a_look_back_meets_the_live_stream_exactly(
        3
    ),
    "what is remembered of recent events stays": waits.test_what_is_remembered_of_recent_events_is_forgotten_in_time,
    "gates are asked in the order in which they are declared": (
        limits.test_gates_of_two_functions_in_another_order_let_nobody_wait_for_ever
    ),
    "a raised limit is not told to those who wait": limits.test_a_limit_that_is_raised_lets_go_at_once_those_who_wait,
    "a debounce has no bound": limits.test_a_debounce_that_is_put_off_again_and_again_goes_on_when_its_time_is_over,
    "what is dropped behind a singleton keeps its lock": (
        limits.test_a_lock_comes_back_from_what_a_later_stage_has_dropped
    ),
    "a lock is given back by anybody": limits.test_what_is_skipped_gives_back_no_lock,
    "time-outs do not wait for what the other partitions have to tell": (
        lambda: waits.test_timers_after_five_minutes_in_which_nobody_ran(0)
    ),
    "the home takes an answer that comes too late": (
        waits.test_an_answer_that_comes_when_another_one_has_won_changes_nothing
    ),
    "a cron line is planned anew by each owner": (
        waits.test_a_cron_line_keeps_its_fires_when_its_partition_is_handed_over
    ),
    "the other waits of a step are not withdrawn": (waits.test_the_first_of_several_events_withdraws_the_other_waits),
    "a signal is for all who wait": waits.test_a_signal_is_for_the_one_who_has_waited_longest_and_for_nobody_else,
    "a signal is for the one who has asked last": (
        waits.test_a_signal_is_for_the_one_who_has_waited_longest_and_for_nobody_else
    ),
    "nobody tells the caller of a run that it was cancelled": (
        waits.test_a_cancellation_that_overtakes_a_start_on_its_way_reaches_it_and_the_parent_hears
    ),
}


@pytest.mark.parametrize("name", [name for name in PLANTS if name not in STORIES])
def test_a_checker_finds(name: str) -> None:
    plant = PLANTS[name]
    for seed in [SHOWN_IN.get(name, 0), *range(SEEDS_MAX)]:
        try:
            with plant.planted():
                Simulation(plant.plan(draw_plan(seed))).run()
        except AssertionError as violation:  # a checker's, or the engine's own
            print(f"found in world {seed}: {violation}")
            return
    raise AssertionError(f"{SEEDS_MAX} worlds in which {name}, and no checker found anything")


@pytest.mark.parametrize("name", STORIES)
def test_a_story_finds(name: str) -> None:
    STORIES[name]()
    with PLANTS[name].planted(), pytest.raises(AssertionError):
        STORIES[name]()


def test_a_plant_is_taken_out_again() -> None:
    plan = draw_plan(3)
    before = Simulation(plan).run().trace
    for plant in PLANTS.values():
        with plant.planted():
            pass
    assert Simulation(plan).run().trace == before
