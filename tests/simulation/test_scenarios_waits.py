"""What can go wrong between those who wait and what they wait for: each a sentence, with all checkers looking on."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.adapters.memory_network import Faults
from headrace.records.ids import partition_of
from headrace.worker.layout import Limits
from tests.simulation.ledger_waits import decider_of, digest_of
from tests.simulation.scene import Scene, scene
from tests.simulation.work_waits import WaitsWork
from tests.simulation.workload_waits import idle_ticker

PATH = "async.data.k"
SLOW = Faults(delay_ms=(1.0, 10.0))
OVER_THE_LOG = Limits(short_way=False)  # where commands are held up on their way


def work_of(world: Scene) -> WaitsWork:
    """Give the scene's work."""
    (work,) = world.more_work
    assert isinstance(work, WaitsWork)
    return work


def value_decided_at(partition: int, partitions: int, event: str = "wait/a") -> int:
    """Find a value for which that partition decides."""
    values = range(100)
    return next(k for k in values if decider_of(digest_of(event, PATH, b"%d" % k), partitions) == partition)


def on(partition: int, partitions: int) -> str:
    """Find a record key that belongs to a partition."""
    return next(key for key in map(str, range(100)) if partition_of(key.encode(), partitions) == partition)


def wait_for(event: str = "wait/a", ms: int = 0, how: str = "match", **more: Any) -> dict[str, Any]:
    """Write what a run asks for."""
    return {"do": "event", "of": [[event, how]], "ms": ms, **more}


class Story:
    """Numbers what a scene sends."""

    def __init__(self, world: Scene) -> None:
        self.world = world
        self.work = work_of(world)
        self.number = 0

    def run(self, *asks: dict[str, Any], k: int = 0, key: str | None = None, **more: Any) -> int:
        """Start a run that asks for these things; gives its number."""
        name = more.pop("name", "wait/go")
        self.number += 1
        self.work.start(name, {"n": self.number, "k": k, "asks": list(asks)}, key=key, **more)
        return self.number

    def come(self, name: str = "wait/a", k: int = 0, key: str | None = None) -> int:
        """Have an event come; gives its number."""
        self.number += 1
        self.work.come(name, {"e": self.number, "k": k}, key=key)
        return self.number

    def given(self, number: int, step: bytes = b"ask-0") -> Any:
        """What the code of a run was given by a step; None as long as it waits."""
        for (run_id, name), value in self.work.waits.given.items():
            if name == step and self.work.number_of(run_id) == number:
                return value
        return None

    def asked(self, number: int) -> bool:
        """Whether a run has asked for its first step."""
        return any(self.work.number_of(run_id) == number for run_id, _ in self.work.ledger.steps)


def test_a_shape_that_only_the_owner_before_has_read_is_forwarded_by_the_next_one() -> None:
    with scene(work="waits") as world:
        story = Story(world)
        first = world.node("n0")
        second = world.start("n1")
        world.until(lambda: second.ready()[0])
        second.memory.freeze(3.0)
        number = story.run(wait_for())
        world.until(lambda: any(key[:1] == b"u" for key in world.oracles[0].state))
        world.until(lambda: story.work.ledger.shape_rows[0, "wait/a", PATH][3])
        functions = world.world.cluster.topics[world.world.topics.functions].partitions[0]
        world.world.cluster.freeze(functions.topic.name, 0, 60.0)
        second.memory.thaw()
        first.crash()
        world.until(lambda: second.running() == 1)
        assert second.node.definitions.position < functions.end, "it has read the shape by itself"
        e = story.come()
        world.until(lambda: story.given(number) == ("event", 0, e), 5.0)
        assert second.node.definitions.position < functions.end


@pytest.mark.parametrize("before", range(7))
def test_a_look_back_meets_the_live_stream_exactly(before: int) -> None:
    """Method: six events, one every 4 ms, while the shape is taken up; so many are in the log before it."""
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        world.node("n0")
        k, home, other = value_decided_at(1, 2), on(0, 2), on(1, 2)
        number = story.run(*(wait_for(since=True) for _ in range(6)), k=k, key=home)
        world.pass_time(0.004)
        events = []
        for place in range(6):
            if place == before:
                world.until(lambda: story.asked(number))
            events.append(story.come(k=k, key=home if before % 2 else (home, other)[place % 2]))
            world.pass_time(0.004)
        steps = [b"ask-%d" % place for place in range(6)]
        world.until(lambda: story.given(number, steps[-1]))
        found = [story.given(number, step)[2] for step in steps]
        assert sorted(found) == events, "one of them came twice, or never"
        if before % 2:
            assert found == events, "of several that are there the earliest counts"


def test_what_came_before_anybody_waited_is_found_by_the_next_owner_of_the_look_back() -> None:
    with scene(partitions=2, work="waits") as world:
        story = Story(world)
        first = world.node("n0")
        k = value_decided_at(1, 2)
        number = story.run({"do": "nap", "ms": 2_000}, wait_for(ms=60_000, since=True), k=k, key=on(0, 2))
        e = story.come(k=k, key=on(0, 2))
        world.pass_time(1.9)
        world.world.cluster.freeze(world.world.topics.events, 0, 25.0)  # the look-back cannot read
        world.until(lambda: any(row[10] for row in story.work.ledger.shape_rows.values()))
        first.crash()
        world.start("n1")
        world.until(lambda: story.given(number, b"ask-1") == ("event", 0, e))


def test_a_cancellation_that_is_there_before_its_run_keeps_it_from_beginning() -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        world.node("n0")
        later = story.work.now_ms() + 3_000
        asks = [wait_for(ms=1_000)]
        number = story.run(*asks, k=5, key=on(0, 2), name="wait/stoppable", ts_ms=later)
        other = story.run(*asks, k=6, key=on(0, 2), name="wait/stoppable", ts_ms=later)
        world.pass_time(1.0)
        story.come("wait/stop", k=5, key=on(1, 2))
        world.until(lambda: story.given(other))
        world.pass_time(1.0)
        assert number not in {story.work.number_of(run_id) for run_id in story.work.began}
        assert [end.status for end in story.work.ends_of("sim-stoppable")].count("Cancelled") == 1


def test_a_cancellation_that_overtakes_a_start_on_its_way_reaches_it_and_the_parent_hears() -> None:
    with scene(partitions=4, work="waits", limits=OVER_THE_LOG) as world:
        story = Story(world)
        world.node("n0")
        commands = world.world.topics.commands
        calls = [{"do": "invoke", "does": "complete", "nap": 1, "ms": 0}]
        numbers = [story.run(*calls, k=5, key=on(0, 4)) for _ in range(6)]
        world.world.loop.run_until(lambda: bool(story.work.ledger.steps), 5.0)
        for partition in range(1, 4):
            world.world.cluster.freeze(commands, partition, 3.0)  # starts are on their way
        world.pass_time(0.5)
        story.come("wait/stop", k=5, key=on(0, 4))
        world.until(lambda: all(story.given(number) for number in numbers))
        given = [story.given(number) for number in numbers]
        cancelled = [value for value in given if value[:2] == ("failed", "Cancelled")]
        assert len(cancelled) >= 2, given
        assert {run_id for _, _, run_id in cancelled}.isdisjoint(story.work.began)


def test_of_a_match_and_a_time_out_that_are_both_on_their_way_the_first_one_counts() -> None:
    """Method: the event comes so many milliseconds around the time-out, a little later each time."""
    results = set()
    for early_ms in range(-24, 25, 4):
        with scene(partitions=2, work="waits", faults=SLOW) as world:
            story = Story(world)
            world.node("n0")
            k = value_decided_at(1, 2)
            story.run(wait_for(ms=1), k=k)  # the shape is up from now on
            world.pass_time(1.0)
            number = story.run(wait_for(ms=2_000), k=k, key=on(0, 2))
            world.until(lambda: story.asked(number))  # noqa: B023
            (life,) = [s for s in story.work.ledger.steps.values() if story.work.number_of(s.run_id) == number]
            world.pass_time((life.asked_ms + 2_000 + early_ms - story.work.now_ms()) / 1000)
            e = story.come(k=k, key=on(0, 2))
            world.until(lambda: story.given(number))  # noqa: B023
            assert story.given(number) in (("event", 0, e), ("late",))
            results.add(story.given(number)[0])
    assert results == {"event", "late"}, "they did not meet"


def test_a_time_out_that_is_decided_while_the_match_of_another_wait_travels_changes_nothing() -> None:
    with scene(partitions=2, work="waits", limits=OVER_THE_LOG) as world:
        story = Story(world)
        world.node("n0")
        here, there = value_decided_at(0, 2), value_decided_at(1, 2)
        story.run(wait_for(ms=1), k=here)
        story.run(wait_for(ms=1), k=there)
        world.pass_time(1.0)
        ask = {"do": "any", "of": [["wait/a", "match"], ["wait/b", "match"]], "ms": 1_500}
        number = story.run(ask, k=there, key=on(0, 2))
        world.until(lambda: story.asked(number))
        world.pass_time(1.0)
        world.world.cluster.freeze(world.world.topics.commands, 0, 2.0)  # the answer is on its way to the run
        e = story.come(k=there, key=on(1, 2))
        world.pass_time(1.0)
        assert story.given(number) is None
        world.until(lambda: story.given(number) == ("event", 0, e))


def test_an_answer_that_comes_when_another_one_has_won_changes_nothing() -> None:
    with scene(partitions=2, work="waits", limits=OVER_THE_LOG) as world:
        story = Story(world)
        world.node("n0")
        k = next(k for k in range(100) if decided(k) == (0, 1))
        ask = {"do": "any", "of": [["wait/a", "match"], ["wait/b", "match"]]}
        number = story.run(ask, {"do": "nap", "ms": 6_000}, k=k, key=on(0, 2))
        world.until(lambda: len([key for o in world.oracles for key in o.state if key[:1] == b"u"]) == 2)
        world.pass_time(0.5)
        world.world.cluster.freeze(world.world.topics.commands, 0, 2.0)  # what the other partition decides is held up
        story.come("wait/b", k=k, key=on(1, 2))
        world.pass_time(0.2)
        e = story.come("wait/a", k=k, key=on(0, 2))
        world.until(lambda: story.given(number) == ("event", 0, e), 1.0)
        world.pass_time(3.0)


def decided(k: int) -> tuple[int, int]:
    """Name the partitions that decide about the two events for a value, of two."""
    first, second = (decider_of(digest_of(event, PATH, b"%d" % k), 2) for event in ("wait/a", "wait/b"))
    return first, second


def test_a_cron_line_keeps_its_fires_when_its_partition_is_handed_over() -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        member = world.node("n0")
        for name in ("n1", "n2"):
            world.pass_time(9.0)
            member.crash()
            member = world.start(name)
        world.pass_time(20.0)
        fired = {life.event_id for life in world.runs.lives.values() if life.function_id == "sim-ticker"}
        assert len(fired) >= 8


def test_the_first_of_several_events_withdraws_the_other_waits() -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        world.node("n0")
        number = story.run({"do": "any", "of": [["wait/a", "match"], ["wait/b", "match"], ["wait/b", "any"]]})
        world.until(lambda: len([k for o in world.oracles for k in o.state if k[:1] == b"u"]) == 3)
        e = story.come("wait/a")
        world.until(lambda: story.given(number) == ("event", 0, e))
        world.until(lambda: not [k for o in world.oracles for k in o.state if k[:1] == b"u"], 1.0)


def test_a_signal_is_for_the_one_who_has_waited_longest_and_for_nobody_else() -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        world.node("n0")
        numbers = []
        for partition in (0, 1, 0):
            number = story.run({"do": "signal", "name": "s0", "ms": 0}, key=on(partition, 2))
            world.until(lambda: story.asked(number))  # noqa: B023
            numbers.append(number)
        world.pass_time(0.2)
        for place in range(3):
            sent = story.work.signal("s0")
            world.until(lambda: story.given(numbers[place]) == ("signal", sent.data), 1.0)  # noqa: B023
            world.pass_time(0.2)
            assert [bool(story.given(number)) for number in numbers] == [here <= place for here in range(3)]


@pytest.mark.parametrize("place", [0, 1])  # of the event; the wait is decided on partition 1
def test_timers_after_five_minutes_in_which_nobody_ran(place: int) -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        world.functions.update(idle_ticker())
        member = world.node("n0")
        k = value_decided_at(1, 2)
        answered = story.run(wait_for(ms=60_000), k=k, key=on(0, 2))
        unanswered = story.run(wait_for(ms=60_000), k=k + 1, key=on(0, 2))
        asleep = story.run({"do": "nap", "ms": 120_000}, wait_for(ms=1), k=k, key=on(1, 2))
        world.send("sleeper", naps=[60_000, 50])
        world.pass_time(2.0)
        member.crash()
        world.pass_time(30.0)
        e = story.come(k=k, key=on(place, 2))
        world.pass_time(270.0)
        world.start("n0")
        world.until(lambda: story.given(asleep) or story.given(asleep, b"ask-1"), 30.0)
        world.until(lambda: story.given(answered) == ("event", 0, e), 5.0)
        world.until(lambda: story.given(unanswered) == ("late",), 5.0)
        world.pass_time(1.0)
        (run_id,) = [life.run_id for life in world.runs.lives.values() if life.function_id == "sim-sleeper"]
        ends = [life.step_id for life in world.liveness.history_of(run_id) if life.kind == "StepEnded"]
        assert sorted(ends) == ["after-0", "after-1", "nap-0", "nap-1"]


@pytest.mark.parametrize("ahead_s", [30, -30])
def test_owners_whose_clocks_differ_by_thirty_seconds_hand_over(ahead_s: int) -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        early: list[Any] = []

        def look(oracle: Any, commit: Any) -> None:
            ahead = story.work.ledger.places[oracle.number].now_ms - story.work.now_ms()
            if ahead > 0:
                early.append((oracle.number, commit.position, ahead))

        for oracle in world.oracles:
            oracle.on_commit.append(look)
        first = world.start("n0")
        first.clock.jump(ahead_s * 1_000)
        world.until(world.world.settled)
        k = value_decided_at(1, 2)
        began_ms = story.work.now_ms()
        sleepers = [
            story.run({"do": "nap", "ms": 20_000}, wait_for(ms=1_000), k=k, key=on(partition, 2))
            for partition in (0, 1)
        ]
        waits = story.run(wait_for(ms=25_000), k=k + 2, key=on(0, 2))
        world.pass_time(5.0)
        world.start("n1")
        world.pass_time(2.0)
        first.crash()
        world.until(world.world.settled)
        world.until(lambda: all(story.given(number, b"ask-1") for number in sleepers) and story.given(waits), 40.0)
        assert not early, "the time of a partition ran ahead of the log's"
        took_ms = story.work.now_ms() - began_ms
        assert 25_000 <= took_ms < 25_000 + 3_000, took_ms


def test_an_event_for_later_waits_for_its_time_and_a_late_one_counts() -> None:
    with scene(partitions=2, work="waits", faults=SLOW) as world:
        story = Story(world)
        world.node("n0")
        now_ms = story.work.now_ms()
        later = story.run(wait_for(ms=1), key=on(0, 2), ts_ms=now_ms + 5_000)
        late = story.run(wait_for(ms=30_000), key=on(0, 2), ts_ms=now_ms - 86_400_000)
        world.until(lambda: story.asked(late), 1.0)
        story.number += 1
        story.work.come("wait/a", {"e": story.number, "k": 0}, key=on(1, 2), ts_ms=now_ms - 86_400_000)
        world.until(lambda: story.given(late) == ("event", 0, story.number), 1.0)
        assert not story.asked(later)
        world.pass_time((now_ms + 4_990 - story.work.now_ms()) / 1000)
        assert not story.asked(later)
        world.until(lambda: story.asked(later), 0.2)


def test_what_is_remembered_of_recent_events_is_forgotten_in_time() -> None:
    with scene(partitions=2, work="waits") as world:
        story = Story(world)
        world.functions.update(idle_ticker())
        world.node("n0")
        story.run(wait_for(ms=1))
        world.pass_time(1.0)
        for _ in range(5):
            story.come()
        world.pass_time(1.0)
        tables = [key[:1] for oracle in world.oracles for key in oracle.state]
        assert tables.count(b"y") == 5
        world.pass_time(400.0)
        tables = [key[:1] for oracle in world.oracles for key in oracle.state]
        assert not tables.count(b"y")
        assert not tables.count(b"V")


@pytest.mark.parametrize("kind", ["commit", "send", "store"])
@pytest.mark.parametrize("after", [False, True])
def test_the_process_may_die_at_every_single_write_while_runs_wait(kind: str, after: bool) -> None:
    """Method: the same short story again and again, with a crash before (or after) the first write, the second, …"""
    number = 0
    small = Limits(snapshot_bytes=3_000, snapshot_chunk_bytes=400, snapshot_check_ms=50, chunk_bytes=600)
    while True:
        number += 3  # each of the six goes through a third of the writes
        with scene(partitions=2, work="waits", limits=small, unflushed_max=3) as world:
            story = Story(world)
            world.blows.die_at("n0", kind, after, number)
            world.start("n0")
            world.pass_time(0.5)
            k = value_decided_at(1, 2)
            story.run(wait_for(ms=300), wait_for(ms=4_000), k=k, key=on(0, 2))
            story.run(wait_for(ms=300), k=k, key=on(0, 2), name="wait/stoppable")
            story.run({"do": "invoke", "does": "complete", "nap": 1, "ms": 0}, k=k, key=on(1, 2))
            world.pass_time(0.2)
            story.come(k=k, key=on(1, 2))
            story.come("wait/stop", k=k, key=on(1, 2))
            world.pass_time(1.0)
            died = world.struck[f"crash_{'after' if after else 'before'}_{kind}"]
        if not died:
            break
    assert number > 9, "it did not die often enough"
