"""Events, waits, commands, look-backs and hand-overs in arbitrary order, beside a plain matcher.

Goal: whatever overtakes what, a wait gets the first event of each log that came after it asked, none gets what another
one of its run has got, and what comes to nothing had nothing to get. Planted bugs have to be found by this.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from headrace.adapters.seams import Record
from headrace.records.commands import RunReport, Wait, WaitAsked
from headrace.records.definitions import CancelOn, Definition, EventTrigger
from headrace.records.rows import StepState
from headrace.records.values import unpack_value
from headrace.records.waits import Found
from headrace.worker.apply import Inputs
from tests.routing.cluster import Cluster, Job

FLOW = Definition(
    "shop-flow", "shop", "flow", [EventTrigger("start")], cancel_on=[CancelOn("stop", match="data.order")]
)
OPERATIONS = 220
MISSING = "is missing"
WAITS = [
    Wait("paid", match="data.order"),
    Wait("paid"),
    Wait("paid", expression="async.data.order == event.data.order && async.data.total > 2"),
    Wait("sent", match="data.order"),
    Wait("sent", expression="async.data.total > 3"),
]


@dataclass
class Asked:
    """A wait as the test knows it."""

    run_id: str
    step: str
    waits: list[Wait]
    from_ms: int
    due_ms: int
    outcome: Any = "open"  # None: timed out; else {"index", "serial"}


@dataclass
class Life:
    """A run as the test knows it."""

    order: Any
    trigger: tuple[int, int]  # where it stands in the log
    trigger_ms: int
    asked: list[Asked] = field(default_factory=list)


def fits(wait: Wait, order: Any, record: Record) -> bool:
    """The plain matcher."""
    event = msgspec.json.decode(record.value or b"")
    if event["name"] != wait.event:
        return False
    data = event["data"]
    if wait.match:
        return data.get("order", MISSING) == order != MISSING
    if wait.expression.startswith("async.data.order"):
        return data.get("order", MISSING) == order != MISSING and data["total"] > 2
    if wait.expression:
        return bool(data["total"] > 3)
    return True


class Play:
    """One seed, played and judged."""

    def __init__(self, seed: int, cluster: Cluster) -> None:
        self.random = random.Random(seed)
        self.cluster = cluster
        self.serial = 0
        self.lives: dict[str, Life] = {}
        self.places: dict[int, tuple[int, int]] = {}  # serial → where the event stands
        self.struck = {"hand-over": 0, "look-back": 0, "event": 0, "time-out": 0, "cancel": 0}

    # --- what happens -------------------------------------------------------------------------------------------

    def run(self) -> None:
        for _ in range(OPERATIONS):
            draw = self.random.random()
            if draw < 0.16:
                self.publish()
            elif draw < 0.30:
                self.cluster.read(self.random.randrange(len(self.cluster.logs)))
            elif draw < 0.42:
                self.ask()
            elif draw < 0.74:
                self.deliver()
            elif draw < 0.82:
                self.cluster.tell(self.random.randrange(len(self.cluster.all)))
            elif draw < 0.90:
                self.look()
            elif draw < 0.95:
                self.cluster.advance(self.random.choice([1, 40, 900, 4_000, 30_000, 400_000]))
            elif draw < 0.98:
                self.cluster.hand_over(self.random.randrange(len(self.cluster.all)))
                self.struck["hand-over"] += 1
            else:
                self.end_one()
            self.meet()
        self.cluster.drain()
        self.meet()
        self.cluster.advance(3 * 86_400_000)
        self.cluster.drain()
        self.meet()

    def publish(self) -> None:
        self.serial += 1
        name = self.random.choices(["start", "paid", "sent", "stop"], [4, 5, 5, 1])[0]
        data: dict[str, Any] = {"serial": self.serial, "total": self.random.randrange(6)}
        if self.random.random() < 0.9:
            data["order"] = self.random.choice([1, 2, 2.0, "2", None, 3])
        partition = self.random.randrange(len(self.cluster.logs))
        self.places[self.serial] = (partition, self.cluster.publish(name, data, partition=partition))
        if self.random.random() < 0.5:
            self.cluster.now_ms += self.random.randrange(3)

    def ask(self) -> None:
        if not self.lives:
            return
        run_id = self.random.choice(sorted(self.lives))
        home = self.cluster.home_of(run_id)
        if home is None:
            return
        life = self.lives[run_id]
        waits = self.random.sample(WAITS, self.random.choice([1, 1, 1, 2, 3]))
        since = self.random.random() < 0.25
        timeout_ms = self.random.choice([0, 1, 500, 5_000, 60_000, 86_400_000])
        now_ms = self.cluster.now_ms
        from_ms = life.trigger_ms if since else now_ms - 5_000
        asked = Asked(run_id, f"w{len(life.asked)}", waits, from_ms, now_ms + timeout_ms if timeout_ms else 1 << 60)
        life.asked.append(asked)
        self.cluster.apply(home, WaitAsked(run_id, asked.step.encode(), waits, timeout_ms, since))

    def deliver(self) -> None:
        links = [link for link, waiting in self.cluster.links.items() if waiting]
        if links:
            self.cluster.deliver(*self.random.choice(links))

    def look(self) -> None:
        jobs = [(number, shape) for number, several in enumerate(self.cluster.jobs) for shape in several]
        if jobs:
            self.cluster.look(*self.random.choice(jobs))
            self.struck["look-back"] += 1

    def end_one(self) -> None:
        runs = sorted(self.cluster.runs())
        if runs:
            run_id = self.random.choice(runs)
            home = self.cluster.home_of(run_id)
            assert home is not None
            self.cluster.apply(home, RunReport(run_id, 0, None, None, "null"))

    def meet(self) -> None:
        """Note new runs, and what became of waits; judge each as it comes."""
        for run_id, (home, run) in self.cluster.runs().items():
            if run_id not in self.lives:
                data = msgspec.json.decode(run.events[0].json)["data"]
                place = self.places[data["serial"]]
                self.lives[run_id] = Life(data.get("order", MISSING), place, run.events[0].at_ms)
            for asked in self.lives[run_id].asked:
                row = self.cluster.all[home].overlay.steps.get(run_id.encode() + asked.step.encode())
                assert row is not None, "a step that was asked for is in the state"
                if asked.outcome == "open" and row.state != StepState.PENDING:
                    assert row.state == StepState.DONE, row
                    value = unpack_value(row.output or b"")
                    asked.outcome = None if value is None else (value["index"], value["event"]["data"]["serial"])
                    self.struck["time-out" if value is None else "event"] += 1

    # --- whether it is right ------------------------------------------------------------------------------------

    def judge(self) -> None:
        for life in self.lives.values():
            used = [asked.outcome[1] for asked in life.asked if isinstance(asked.outcome, tuple)]
            assert len(used) == len(set(used)), "one event has resolved two waits of a run"
            for asked in life.asked:
                self.judge_wait(life, asked, {self.places[serial] for serial in used})
        for run_id, life in self.lives.items():
            self.judge_cancel(run_id, life)
        self.nothing_is_left()

    def record(self, place: tuple[int, int]) -> Record:
        return self.cluster.logs[place[0]][place[1]]

    def candidates(self, life: Life, asked: Asked, wait: Wait) -> list[tuple[int, int]]:
        return [
            (record.partition, record.offset)
            for log in self.cluster.logs
            for record in log
            if record.timestamp_ms >= asked.from_ms
            and (record.partition, record.offset) != life.trigger
            and fits(wait, life.order, record)
        ]

    def judge_wait(self, life: Life, asked: Asked, used: set[tuple[int, int]]) -> None:
        lives_on = asked.run_id in self.cluster.runs()
        if isinstance(asked.outcome, tuple):
            index, serial = asked.outcome
            place = self.places[serial]
            possible = self.candidates(life, asked, asked.waits[index])
            assert place in possible, f"{asked}: {place} is none of {possible}"
            missed = [p for p in possible if p[0] == place[0] and p[1] < place[1] and p not in used]
            assert not missed, f"{asked} got {place} and not the earlier {missed}"
        elif lives_on:
            for wait in asked.waits:
                # Everything had arrived before any time-out was fired.
                missed = [
                    p
                    for p in self.candidates(life, asked, wait)
                    if self.record(p).timestamp_ms < asked.due_ms and p not in used
                ]
                assert not missed, f"{asked} has missed {missed}"
            if asked.outcome == "open":
                assert asked.due_ms > self.cluster.now_ms, f"{asked} was never timed out"

    def judge_cancel(self, run_id: str, life: Life) -> None:
        stops = [
            record
            for log in self.cluster.logs
            for record in log
            if msgspec.json.decode(record.value or b"")["name"] == "stop"
            and record.timestamp_ms >= life.trigger_ms
            and fits(Wait("stop", match="data.order"), life.order, record)
        ]
        ended = {r.run_id: r for r in self.cluster.history if r.kind == "RunEnded"}
        if run_id in ended and ended[run_id].status == "Cancelled":
            self.struck["cancel"] += 1
            assert stops, f"{run_id} was cancelled by nothing"
        elif run_id not in ended:
            assert not stops, f"{run_id} was not cancelled by {stops}"

    def nothing_is_left(self) -> None:
        live = self.cluster.runs()
        open_waits = [
            asked
            for life in self.lives.values()
            for asked in life.asked
            if asked.outcome == "open" and asked.run_id in live
        ]
        left = self.cluster.left()
        assert left["waiters"] == sum(len(asked.waits) for asked in open_waits) + len(live), "a waiter is left behind"
        assert left["undecided"] == 0
        matched = {a.run_id for life in self.lives.values() for a in life.asked if isinstance(a.outcome, tuple)}
        assert left["waits"] == len(open_waits) + len(live) + len(matched & set(live)), "a wait is left behind"
        assert self.cluster.remembered() == 0
        counted = sum(row.waiters for _, row in self.cluster.shape_rows())
        assert counted == left["waiters"]


def play(seed: int, kind: type[Cluster] = Cluster) -> Play:
    partitions = random.Random(seed).choice([1, 2, 3])
    found = Play(seed, kind(FLOW, partitions=partitions, events_partitions=3 if partitions == 2 else 2 * partitions))
    found.run()
    found.judge()
    return found


@pytest.mark.parametrize("seed", range(40))
def test_any_order(seed: int) -> None:
    play(seed)


def test_everything_happens() -> None:
    struck = dict.fromkeys(play(0).struck, 0)
    for seed in range(12):
        for name, times in play(seed).struck.items():
            struck[name] += times
    assert all(struck.values()), struck


class NoLookBack(Cluster):
    """Who asked before its partition was told of everything is not looked for in the log."""

    def search(self, number: int, job: Job, partition: int, floor: int) -> list[Found]:
        return []


class KnownToTheOldOwner(Cluster):
    """Shapes are in the memory of the owner that took them up, and not in the state."""

    def hand_over(self, number: int) -> None:
        super().hand_over(number)
        inputs = Inputs(self.all[number].open_turn, "events-id", 1 << 20)
        inputs.load_definitions()
        self.inputs[number] = inputs


class MeetsTheLiveStreamTwice(Cluster):
    """A look-back reads on beyond the floor, and takes what it finds for events of its own."""

    def search(self, number: int, job: Job, partition: int, floor: int) -> list[Found]:
        found = super().search(number, job, partition, len(self.logs[partition]))
        for one in found:
            one.event.id = "X" + one.event.id[1:]
        return found


class StopsShort(Cluster):
    """A look-back ends one event before the live stream begins."""

    def search(self, number: int, job: Job, partition: int, floor: int) -> list[Found]:
        return super().search(number, job, partition, floor - 1)


class ForgetsUnderWay(Cluster):
    """A new owner does not go on with the look-backs of the one before."""

    def hand_over(self, number: int) -> None:
        super().hand_over(number)
        self.jobs[number] = {}


class Overtaking(Cluster):
    """Commands on one link do not keep their order."""

    def deliver(self, source: int, target: int) -> bool:
        link = self.links.get((source, target))
        if link and len(link) > 1:
            first = link.popleft()
            self.links[source, target] = deque([*link, first])
        return super().deliver(source, target)


@pytest.mark.parametrize(
    "plant",
    [NoLookBack, KnownToTheOldOwner, MeetsTheLiveStreamTwice, StopsShort, ForgetsUnderWay, Overtaking],
)
def test_a_planted_bug_is_found(plant: type[Cluster]) -> None:
    for seed in range(40):
        try:
            play(seed, plant)
        except AssertionError:
            return
    pytest.fail(f"{plant.__name__} was not found in 40 seeds")
