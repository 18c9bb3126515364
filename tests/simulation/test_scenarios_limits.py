"""What can go wrong between limits and those whom they hold: each a sentence, with all checkers looking on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import pytest

from headrace.adapters.memory_network import CALM, Faults
from headrace.functions.gathering import Batch, Debounce
from headrace.functions.limits import Concurrency, RateLimit, Throttle
from headrace.functions.selection import Idempotency, Singleton, Timeouts
from headrace.records.ids import partition_of
from headrace.testing import Member
from tests.simulation.oracle import unpack
from tests.simulation.scene import Scene, scene
from tests.simulation.starts import Follow
from tests.simulation.work_limits import LimitedWork
from tests.simulation.workload_limits import LIMITED, A, B, Limited

SLOW = Faults(delay_ms=(5.0, 25.0))
STEP_LESS: dict[str, Any] = {}


class Story:
    """A scene with functions of its own, started by events of the name "go" or of another one that they are given."""

    def __init__(self, world: Scene, limited: Limited) -> None:
        self.world = world
        self.work = LimitedWork(world, limited)
        world.more_work.append(self.work)
        world.functions.update(self.work.functions)
        self.number = 0
        self.inside_max = 0
        self.work.watching.on_enter.append(self._entered)

    def _entered(self, run_id: str, owner: Any) -> None:
        self.inside_max = max(self.inside_max, len(self.work.watching.executing))

    def send(self, ms: int = 0, name: str = "go", key: str | None = None, ts_ms: int = 0, **data: Any) -> str:
        """Send an event whose run takes so long; gives its id."""
        self.number += 1
        steps = {"s0": {"ms": ms}} if ms else {}
        event = {"name": name, "data": {"n": self.number, "steps": steps, **data}}
        return self.work.append(event, key or data.get("a", "k"), ts_ms=ts_ms)

    def follow(self, event_id: str, function_id: str) -> Follow:
        """What has become of an event at a function."""
        return self.work.starts.follows[f"sim-{function_id}", event_id]

    def follows(self, function_id: str) -> list[Follow]:
        """What has become of all events at a function, in their order."""
        return [follow for (found, _), follow in self.work.starts.follows.items() if found == f"sim-{function_id}"]

    def begun(self, function_id: str) -> list[int]:
        """The numbers of the events whose runs have begun."""
        begun = [follow for follow in self.follows(function_id) if follow.begun is not None]
        begun.sort(key=lambda follow: follow.begun or ())
        return [follow.event.data["n"] for follow in begun]

    def ended(self, function_id: str) -> list[int]:
        """The numbers of the events whose runs are over."""
        return [follow.event.data["n"] for follow in self.follows(function_id) if follow.made and follow.ended]

    def until(self, condition: Any, seconds_max: float = 30.0) -> None:
        """Let time pass until a condition holds."""
        self.world.until(condition, seconds_max)

    def knows(self, partition: int, key: str) -> bool:
        """Whether a partition has taken in a broadcast."""
        return b"H" + key.encode() in self.world.oracles[partition].state

    def owner_of(self, partition: int) -> Member:
        """The member that runs a partition now."""
        return next(member for member in self.world.alive() if partition in member.node.owned)


@contextmanager
def story(limited: Limited, partitions: int = 1, faults: Faults = CALM) -> Iterator[Story]:
    """Tell a story; come to rest and judge at its end."""
    with scene(partitions=partitions, faults=faults) as world:
        yield Story(world, limited)


def go(**options: Any) -> tuple[list[str], dict[str, Any]]:
    """Declare what the event "go" starts."""
    return ["go"], options


def value_at(partition: int, partitions: int) -> str:
    """Find a key's value that belongs to a partition."""
    return next(value for value in map(str, range(100)) if partition_of(value.encode(), partitions) == partition)


def test_every_pair_of_stages_is_combined_by_a_function() -> None:
    options = {"priority", "idempotency", "rate_limit", "debounce", "batch", "singleton", "throttle", "concurrency"}
    combined = [{*options, "timeouts"} & {*declared} for _, declared in LIMITED.values()]
    for pair in combinations(sorted({*options, "timeouts"}), 2):
        assert any({*pair} <= found and len(found) < 6 for found in combined), pair


# --- known to the old owner only ------------------------------------------------------------------------------------


@contextmanager
def only_the_owner_reads(tale: Story, home: int) -> Iterator[Member]:
    """Two nodes, of which one sleeps while the owner of a partition reads what is written; then that one dies."""
    world = tale.world
    world.node("n0")
    world.start("n1")
    world.until(lambda: [member.running() for member in world.alive()] == [1, 1])
    owner = tale.owner_of(home)
    (other,) = [member for member in world.alive() if member is not owner]
    other.memory.freeze(1.0)
    yield owner
    world.world.cluster.freeze(world.world.topics.functions, 0, 45.0)  # nobody reads it now
    owner.crash()
    world.until(lambda: other.running() == 2)


@pytest.mark.parametrize("what", ["limits", "pause"])
def test_a_limit_or_a_pause_that_only_the_dead_owner_had_read_holds_on(what: str) -> None:
    with story({"narrow": go(concurrency=Concurrency(3))}, partitions=2) as tale:
        home = partition_of(b"sim-narrow", 2)
        setting = f"~{what}/sim-narrow"
        with only_the_owner_reads(tale, home):
            if what == "limits":
                tale.work.broadcast(setting, {"concurrency": [{"limit": 1}]})
            else:
                tale.work.pause("sim-narrow")
            tale.until(lambda: tale.knows(home, setting), 0.8)
        assert not tale.knows(1 - home, setting)
        for _ in range(4):
            tale.send(300, key=value_at(home, 2))
        tale.world.pass_time(5.0)
        assert not tale.knows(1 - home, setting)
        assert tale.inside_max == (1 if what == "limits" else 0)
        assert len(tale.ended("narrow")) == (4 if what == "limits" else 0)


def test_a_function_that_only_the_dead_owner_had_read_is_started_by_its_events() -> None:
    with story({"old": go(), "new": (["fresh"], {"concurrency": Concurrency(1)})}, partitions=2) as tale:
        functions = dict(tale.world.functions)
        del tale.world.functions["sim-new"]
        home = partition_of(b"sim-new", 2)
        with only_the_owner_reads(tale, home) as owner:
            owner.reload(functions, lambda: None)  # a deploy that dies half-way
            tale.until(lambda: b"dsim-new" in tale.world.oracles[home].state, 0.8)
        assert b"dsim-new" not in tale.world.oracles[1 - home].state
        event_id = tale.send(name="fresh", key=value_at(home, 2))
        tale.until(lambda: tale.follow(event_id, "new").made is not None, 2.0)
        tale.world.pass_time(1.0)
        assert tale.begun("new") == [1]
        assert not tale.ended("new")  # there is no code for it yet
        tale.world.functions.update(functions)
        for member in tale.world.alive():
            member.reload(functions, lambda: None)
        tale.until(lambda: tale.ended("new") == [1], 60.0)


# --- slots ----------------------------------------------------------------------------------------------------------


def test_a_release_that_races_its_acquire_leaves_neither_a_slot_nor_a_place_behind() -> None:
    with story({"race": go(concurrency=[Concurrency(1), Concurrency(2, key=A, scope="app")])}, 3, SLOW) as tale:
        tale.world.node("n0")
        for number in range(24):
            event_id = tale.send(60, a="xyz"[number % 3])
            tale.until(lambda event_id=event_id: tale.follow(event_id, "race").made is not None)
            tale.world.pass_time(0.005 * (number % 8))  # before, while and after it is granted
            follow = tale.follow(event_id, "race")
            if number % 4 and follow.ended is None and follow.made is not None:
                tale.world.cancel(follow.run_id, follow.made.partition)
        assert len(tale.world.cancelled) > 12


def test_gates_of_two_functions_in_another_order_let_nobody_wait_for_ever() -> None:
    one, other = Concurrency(1, key=A, scope="app"), Concurrency(1, key=B, scope="account")
    limited = {"left": go(concurrency=[one, other]), "right": go(concurrency=[other, one])}
    with story(limited, partitions=3, faults=SLOW) as tale:
        tale.world.node("n0")
        for number in range(12):
            tale.send(20, key=f"k{number}", a="xy"[number % 2], b="pq"[number // 2 % 2])
        tale.until(lambda: len(tale.ended("left")) == len(tale.ended("right")) == 12)


def test_no_wide_slot_is_held_by_a_run_that_queues_at_a_narrow_gate() -> None:
    limited = {"two": go(concurrency=[Concurrency(2, scope="app"), Concurrency(1, key=A)])}
    with story(limited, partitions=2, faults=SLOW) as tale:
        tale.world.node("n0")
        tale.send(5_000, a="x")
        tale.until(lambda: tale.begun("two") == [1])
        tale.send(10, a="x")
        tale.world.pass_time(0.5)
        tale.send(10, a="y")  # the second slot is free for it, though one that came earlier waits
        tale.until(lambda: tale.ended("two") == [3], 1.5)


def test_a_limit_that_is_lowered_while_all_its_slots_are_given_takes_none_back_and_gives_none_out() -> None:
    with story({"wide": go(concurrency=Concurrency(3))}) as tale:
        tale.world.node("n0")
        for number in range(8):
            tale.send(1_000 + 300 * number)
        tale.until(lambda: len(tale.work.watching.executing) == 3)
        tale.work.broadcast("~limits/sim-wide", {"concurrency": [{"limit": 1}]})
        tale.until(lambda: len(tale.ended("wide")) == 2)
        assert tale.begun("wide") == [1, 2, 3]
        tale.until(lambda: len(tale.ended("wide")) == 3)
        tale.inside_max = 0
        tale.until(lambda: len(tale.ended("wide")) == 8)
        assert tale.inside_max == 1


def test_a_limit_that_is_raised_lets_go_at_once_those_who_wait() -> None:
    with story({"wide": go(concurrency=Concurrency(1))}) as tale:
        tale.world.node("n0")
        for _ in range(4):
            tale.send(5_000)
        tale.until(lambda: tale.begun("wide") == [1])
        tale.work.broadcast("~limits/sim-wide", {"concurrency": [{"limit": 3}]})
        tale.until(lambda: tale.begun("wide") == [1, 2, 3], 0.5)


def test_a_paused_key_stays_paused_when_its_owner_changes_and_its_runs_keep_their_order() -> None:
    with story({"keyed": go(concurrency=Concurrency(1, key=A))}, partitions=2) as tale:
        first = tale.world.node("n0")
        tale.work.pause("sim-keyed/x")
        tale.until(lambda: all(tale.knows(p, "~pause/sim-keyed/x") for p in (0, 1)))
        for number in range(6):
            tale.send(20, a="xy"[number % 2])
        tale.until(lambda: tale.ended("keyed") == [2, 4, 6])
        tale.world.start("n1")
        first.stop(lambda: None)
        tale.until(lambda: first.stopped)
        tale.until(tale.world.world.settled)
        tale.send(20, a="x")
        tale.world.pass_time(2.0)
        assert tale.begun("keyed") == [2, 4, 6]
        tale.work.pause("sim-keyed/x", paused=False)
        tale.until(lambda: tale.begun("keyed") == [2, 4, 6, 1, 3, 5, 7])


# --- what stages hold -----------------------------------------------------------------------------------------------


def test_a_batch_and_a_debounce_go_on_where_a_dead_owner_left_them() -> None:
    limited = {
        "gather": go(batch=Batch(4, "20s", key=A)),
        "part": go(batch=Batch(5, "3s", partitioned=True)),
        "late": go(debounce=Debounce("8s", key=A, timeout="30s")),
    }
    with story(limited, partitions=2) as tale:
        member = tale.world.node("n0")
        sent = [tale.send(a="x") for _ in range(3)]
        tale.until(lambda: tale.follow(sent[2], "gather").held)
        member.crash()
        tale.world.pass_time(5.0)
        tale.world.start("n0", afresh=True)
        sent.append(tale.send(a="x"))
        tale.until(lambda: tale.follow(sent[3], "late").made is not None)
        assert [member.event.id for member in tale.follow(sent[0], "gather").members] == sent
        assert [follow.verdict for follow in tale.follows("late")[:3]] == ["debounce_replaced"] * 3
        assert tale.follow(sent[0], "part").made is not None


WINDOWS: Limited = {
    "rate": go(rate_limit=RateLimit(2, "60s")),
    "pace": go(throttle=Throttle(2, "20s", burst=1)),
    "late": go(debounce=Debounce("5s", timeout="8s")),
    "gather": go(batch=Batch(50, "5s")),
    "once": go(idempotency=Idempotency(A, "100s")),
    "queue": (["go", "hold"], {"concurrency": Concurrency(1), "timeouts": Timeouts(start="60s")}),
}


@pytest.mark.parametrize("how", ["nobody runs", "the broker stands still"])
def test_windows_of_all_stages_after_five_minutes_of_standstill(how: str) -> None:
    with story(WINDOWS, partitions=2) as tale:
        member = tale.world.node("n0")
        tale.send(100_000, name="hold")
        for number in range(8):
            tale.send(a="xy"[number % 2])
        tale.until(lambda: len(tale.begun("pace")) == 3, 2.0)
        if how == "nobody runs":
            member.crash()
            tale.world.pass_time(300.0)
            tale.world.start("n0")
        else:
            tale.world.world.cluster.restart_broker(300.0)
            tale.world.pass_time(300.0)
        tale.until(lambda: len(tale.ended("gather")) == 1 and len(tale.ended("late")) == 1, 60.0)
        # As many as from idle, not as many as five minutes would have let go.
        tale.until(lambda: len(tale.begun("pace")) == 6, 5.0)
        assert len(tale.follow(tale.follows("gather")[0].event.id, "gather").members) == 8
        more = [tale.send(a="x"), tale.send(a="z")]
        tale.until(lambda: all(tale.follow(event_id, "once").made for event_id in more), 5.0)  # the window is over
        assert all(tale.follow(event_id, "rate").made for event_id in more)


def test_owners_whose_clocks_differ_by_half_a_minute_hand_over_open_windows() -> None:
    with story(WINDOWS, partitions=2) as tale:
        for name, skew_ms in (("n0", 30_000), ("n1", -30_000), ("n2", 30_000)):
            member = tale.world.start(name)
            member.clock.jump(skew_ms)
            tale.until(tale.world.world.settled)
            for number in range(4):
                tale.send(50, a="xy"[number % 2])
            tale.world.pass_time(1.0)
            member.crash()
            tale.world.pass_time(1.0)
        # Each hand-over takes the ten seconds of a session; the windows are neither longer nor shorter for the clocks.
        times = [unpack(oracle.state[b"P"])[0] for oracle in tale.world.oracles]
        wall_ms = tale.world.world.cluster.clock.wall_ms()
        assert all(abs(wall_ms - now_ms) < 25_000 for now_ms in times), (wall_ms, times)
        assert len(tale.begun("once")) == 2
        assert len(tale.begun("rate")) == 2


def test_a_debounce_that_is_put_off_again_and_again_goes_on_when_its_time_is_over() -> None:
    with story({"late": go(debounce=Debounce("700ms", timeout="2s"))}) as tale:
        tale.world.node("n0")
        for _ in range(9):
            tale.send()
            tale.world.pass_time(0.3)
        assert len(tale.follows("late")) == 9
        assert tale.ended("late")


def test_of_several_that_would_take_the_place_of_a_run_the_last_one_does() -> None:
    away = value_at(1 - partition_of(b"sim-last", 2), 2)  # where the runs are is not where their lock is
    limited = {"last": go(singleton=Singleton("cancel"), concurrency=Concurrency(5, key=A))}
    with story(limited, partitions=2, faults=SLOW) as tale:
        tale.world.node("n0")
        tale.send(20_000, a=away)
        tale.until(lambda: tale.begun("last") == [1])
        for _ in range(3):
            tale.send(10, a=away)
        tale.until(lambda: tale.ended("last") == [1, 4])
        assert [follow.verdict for follow in tale.follows("last")] == [
            "",
            "singleton_replaced",
            "singleton_replaced",
            "",
        ]


def test_what_is_skipped_gives_back_no_lock() -> None:
    with story({"first": go(singleton=Singleton("skip"))}) as tale:
        tale.world.node("n0")
        tale.send(3_000)
        for _ in range(3):
            tale.world.pass_time(0.3)
            tale.send()
        tale.world.pass_time(0.5)
        assert [follow.verdict for follow in tale.follows("first")[1:]] == ["singleton_skipped"] * 3


def test_a_lock_comes_back_from_what_a_later_stage_has_dropped() -> None:
    options = {"singleton": Singleton("skip"), "throttle": Throttle(1, "4s"), "timeouts": Timeouts(start="1s")}
    with story({"first": go(**options)}, partitions=2) as tale:
        tale.world.node("n0")
        tale.send()
        tale.until(lambda: tale.ended("first") == [1])
        tale.send()
        tale.until(lambda: tale.follows("first")[1].verdict == "start_timeout")
        tale.world.pass_time(3.0)
        tale.send()
        tale.until(lambda: tale.ended("first") == [1, 3], 1.0)


def test_what_windows_have_left_behind_is_gone_within_a_minute_of_their_end() -> None:
    limited = {
        "rate": go(rate_limit=RateLimit(2, "5s", key=A)),
        "pace": go(throttle=Throttle(2, "5s", key=A), concurrency=Concurrency(3, key=B)),
        "once": go(idempotency=Idempotency(A, "10s")),
    }
    with story(limited, partitions=2) as tale:
        tale.world.node("n0")
        for number in range(6):
            tale.send(a="xyz"[number % 3], b="pq"[number % 2])
        tale.until(lambda: len(tale.ended("pace")) == 6)
        kept = [key for oracle in tale.world.oracles for key in oracle.state if key[:1] in (b"a", b"A", b"e")]
        assert len(kept) > 8
        tale.world.pass_time(135.0)
        kept = [key for oracle in tale.world.oracles for key in oracle.state if key[:1] in (b"a", b"A", b"e")]
        assert kept == []
