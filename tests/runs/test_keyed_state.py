"""Keyed state. Goal: one value for each function, key and name, written once, in the commit that records the step."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.records.commands import StateAsked
from headrace.records.definitions import Concurrency, Definition, EventTrigger
from headrace.records.limits import RunLimits
from headrace.records.rows import Start, StepState, keyed_state_key
from headrace.records.values import pack_value, unpack_value
from headrace.runs import start_run
from tests.runs.partitions import START_MS, Partitions
from tests.turns import known_event

COUNT = Definition(
    "shop-count", "shop", "count", [EventTrigger("seen")], concurrency=[Concurrency(1, "event.data.user")]
)
OTHER = Definition(
    "shop-other", "shop", "other", [EventTrigger("seen")], concurrency=[Concurrency(1, "event.data.user")]
)


class Kept:
    """Runs for some key on one partition, and what they keep."""

    def __init__(self) -> None:
        self.world = Partitions(COUNT, OTHER, partitions=1)
        self.number = 0

    def run(self, place: bytes | None, function_id: str = COUNT.id) -> str:
        self.number += 1
        known = known_event(number=self.number, at_ms=START_MS)
        start = Start(function_id, known.id, [known], START_MS, place=place)
        with self.world.all[0].turn(START_MS) as turn:
            start_run(turn, start)
        return known.id

    def ask(self, run_id: str, verb: str, name: str = "n", value: Any = None, step: bytes = b"") -> Any:
        """What the step gives; its failure, if it fails."""
        self.number += 1
        step = step or b"state-%d" % self.number
        packed = pack_value(value) if verb == "set" else None
        self.world.apply(0, StateAsked(run_id, step, verb, name, packed))
        row = self.world.step(run_id, step)
        if row is None:
            return None
        return row.failure if row.state == StepState.FAILED else unpack_value(row.output or b"")


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_what_one_run_sets_the_next_one_of_its_key_gets(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    assert kept.ask(run_id, "get") is None
    assert kept.ask(run_id, "set", value={"count": 1}) is None
    assert kept.ask(run_id, "get") == {"count": 1}
    kept.world.end(run_id)
    run_id = kept.run(b"ann")
    assert kept.ask(run_id, "get") == {"count": 1}
    assert kept.ask(run_id, "delete") is None
    assert kept.ask(run_id, "get") is None
    assert kept.world.rows(b"m") == 0


def test_keys_names_and_functions_are_apart(kept: Kept) -> None:
    ann, bob, other = kept.run(b"ann"), kept.run(b"bob"), kept.run(b"ann", OTHER.id)
    empty = kept.run(b"")
    kept.ask(ann, "set", "n", 1)
    for run_id in (bob, other, empty):
        assert kept.ask(run_id, "get", "n") is None
    assert kept.ask(ann, "get", "m") is None
    kept.ask(empty, "set", "n", 2)
    assert kept.ask(ann, "get", "n") == 1
    assert keyed_state_key("f", b"ab", "c") != keyed_state_key("f", b"a", "bc")
    assert keyed_state_key("fa", b"b", "c") != keyed_state_key("f", b"ab", "c")


def test_a_step_is_done_once_and_keeps_what_it_found(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    assert kept.ask(run_id, "get", step=b"first") is None
    kept.ask(run_id, "set", value=7)
    assert kept.ask(run_id, "get", step=b"first") is None  # as it was found then
    kept.ask(run_id, "set", value=8, step=b"first")
    assert kept.ask(run_id, "get") == 7


def test_the_value_and_the_step_are_of_one_commit(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    partition = kept.world.all[0]
    with partition.turn(START_MS):
        kept.world.inputs[0].command(StateAsked(run_id, b"s", "set", "n", pack_value(1)))
        kept.world.crash(0)  # nothing of an open turn is in the store
    assert kept.world.rows(b"m") == 0
    assert kept.world.step(run_id, b"s") is None


def test_values_of_every_kind_come_back(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    for value in (None, 0, 1 << 70, 1.5, "text", b"bytes", [1, {"a": None}], {"x": True}):
        kept.ask(run_id, "set", value=value)
        assert kept.ask(run_id, "get") == value


def test_without_a_concurrency_key_there_is_no_state(kept: Kept) -> None:
    failure = kept.ask(kept.run(None), "set", value=1)
    assert failure.name == "StateRefused"
    assert "no concurrency key" in failure.message
    assert not failure.retriable
    assert kept.world.rows(b"m") == 0


def test_names_and_values_have_limits(kept: Kept) -> None:
    kept.world.all[0].open_turn.limits = RunLimits(keyed_value_bytes=100, keyed_name_bytes=5)
    run_id = kept.run(b"ann")
    assert "101 bytes; 100 are allowed" in kept.ask(run_id, "set", "n", b"x" * 100).message
    assert kept.ask(run_id, "set", "n", b"x" * 99) is None
    assert "6 bytes; 1 to 5" in kept.ask(run_id, "get", "nämes").message
    assert "0 bytes" in kept.ask(run_id, "get", "").message
    assert "'swap'" in kept.ask(run_id, "swap").message


def test_a_value_that_makes_the_run_too_large_is_not_written(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    kept.ask(run_id, "set", "large", b"x" * 500)
    kept.world.all[0].open_turn.limits = RunLimits(run_state_bytes=400)
    assert kept.ask(run_id, "get", "large") is None
    ended = kept.world.ended(run_id)
    assert ended is not None
    assert (ended.status, ended.code) == ("Failed", "run_state_too_large")
    late = kept.run(b"bob")
    kept.world.all[0].open_turn.limits = RunLimits(steps=0)
    kept.ask(late, "set", "n", 1)
    assert kept.world.rows(b"m") == 1


def test_an_answer_to_a_run_that_has_ended_is_nothing(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    kept.world.end(run_id)
    assert kept.ask(run_id, "set", value=1) is None
    assert kept.world.rows(b"m") == 0


def test_the_history_shows_the_step(kept: Kept) -> None:
    run_id = kept.run(b"ann")
    kept.ask(run_id, "set", value=[1])
    kept.ask(run_id, "get")
    shown = [(r.op, r.status, r.output) for r in kept.world.history if r.kind == "StepEnded"]
    assert shown == [("state", "Completed", "null"), ("state", "Completed", "[1]")]
