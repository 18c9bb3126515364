"""Work under limits: who sends what, what operators change meanwhile, and what must have become of every event."""

from __future__ import annotations

import json
from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING, Any

from headrace.records.commands import ResumeRun
from headrace.records.events import HEADER_ID
from headrace.records.ids import derive_ulid, partition_of
from tests.simulation.checkers_gates import GateRules
from tests.simulation.checkers_limits import StageRules
from tests.simulation.oracle import Violation, unpack
from tests.simulation.rules import Rules, key_of
from tests.simulation.starts import SINGLETON, Follow, Starts
from tests.simulation.watch import Landing
from tests.simulation.workload import KEYS, event_value
from tests.simulation.workload_limits import (
    LIMITED,
    Limited,
    LimitedScripts,
    Watching,
    limited_ends_as,
    make_limited_functions,
    started_by_name,
)

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

EXPIRY_TIMER = 13  # looks at rows of stages, and forgets them; it may be left in a world at rest
HOLDING = (b"f", b"c", b"b", b"B", b"C", b"g", b"j", b"G", b"h")  # tables in which something waits, or has a slot
_MINUTE_MS = 60_000
_LATE_MS = 2 * _MINUTE_MS


class LimitedWork:
    """Implements `work.Work`."""

    def __init__(self, simulation: Simulation, limited: Limited = LIMITED) -> None:
        self.simulation = simulation
        self._limited = limited
        self._draw = Random(f"limits {simulation.plan.seed}")
        self.watching = Watching(simulation.scribe)
        self.functions = make_limited_functions(self.watching, limited)
        oracles, topics = simulation.oracles, simulation.world.topics
        self.rules = [Rules(oracle) for oracle in oracles]
        self.starts = Starts(oracles, topics, started_by_name(limited))
        self.stages = StageRules(self.rules, self.starts)
        self.gates = GateRules(oracles, self.rules, self.starts, topics.commands)
        self.starts.tell += [self.stages.take, self.gates.take]
        self.watching.on_enter.append(lambda run_id, owner: self.gates.entered(run_id, owner, self.watching.executing))
        self.watching.on_events.append(self._saw_events)
        for partition in simulation.world.cluster.topics[topics.events].partitions:
            partition.followers.append(Landing(partition, self.starts.landed))
        simulation.liveness.quiet_timers.add(EXPIRY_TIMER)
        self._scripts = LimitedScripts(self._draw)
        self._sent = 0
        self._paused: set[str] = set()

    # --- what happens -------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Draw when events come, and when operators change something."""
        draw, plan, later = self._draw, self.simulation.plan, self.simulation.world.loop.call_later
        for _ in range(draw.choice([3, 6, 12])):
            later(draw.random() * plan.seconds * 0.9, self._send_some)
        for _ in range(draw.choice([0, 1, 4])):
            later(draw.random() * plan.seconds, self._change_limits)
        for _ in range(draw.choice([0, 1, 3])):
            later(draw.random() * plan.seconds, self._change_pause)

    def _send_some(self) -> None:
        draw = self._draw
        first: dict[str, Any] | None = None
        alike = draw.random() < 0.5
        for _ in range(draw.choice([1, 1, 2, 5])):
            event = self._scripts.event()
            data = event["data"]
            if first is not None:
                event["name"] = first["name"]
                data.update({name: first["data"][name] for name in "ab" if alike and name in first["data"]})
            first = event
            key = draw.choice([data.get("a"), data.get("b"), data.get("a"), draw.choice(KEYS), None])
            given_id = f"given-{draw.randint(1, 2)}" if draw.random() < 0.2 else ""
            wall_ms = self.simulation.world.cluster.clock.wall_ms()
            ts_ms = wall_ms + draw.choice([-1_500, -10, 700, 6_000]) if draw.random() < 0.25 else 0
            self.append(event, key, given_id, ts_ms)

    def append(self, event: dict[str, Any], key: str | None, given_id: str = "", ts_ms: int = 0) -> str:
        """Append an event to the topic; returns its id."""
        world, plan = self.simulation.world, self.simulation.plan
        self._sent += 1
        event_id = derive_ulid(world.cluster.clock.wall_ms(), b"limited\0%d" % self._sent)
        place = self._draw.randrange(plan.events_partitions)
        if key is not None:
            place = partition_of(key.encode(), plan.events_partitions)
        value = event_value(event, given_id, ts_ms)
        headers = [(HEADER_ID, event_id.encode())]
        world.cluster.append(world.topics.events, place, value, None if key is None else key.encode(), headers)
        return event_id

    def broadcast(self, key: str, value: dict[str, Any]) -> None:
        """Write a setting to the topic that all partitions read, as the console does."""
        world = self.simulation.world
        world.cluster.append(world.topics.functions, 0, json.dumps(value).encode(), key.encode())

    def _change_limits(self) -> None:
        if self.simulation.calm:
            return
        draw = self._draw
        names = [
            name for name, (_, options) in LIMITED.items() if {"concurrency", "throttle", "rate_limit"} & {*options}
        ]
        function_id = f"sim-{draw.choice(names)}"
        definition = json.loads(json.dumps(self.rules[0].of(function_id)))
        live: dict[str, Any] = {}
        if "concurrency" in definition:
            limit = draw.choice(definition["concurrency"])
            live["concurrency"] = [{**limit, "limit": draw.randint(1, 4)}]
        for name in ("throttle", "rate_limit"):
            if name in definition:
                live[name] = {"limit": draw.randint(1, 6), "period_ms": draw.choice([0, 500, 1_500])}
        self.broadcast(f"~limits/{function_id}", live)
        self.simulation.struck["limits_changed"] += 1

    def _change_pause(self) -> None:
        if self.simulation.calm:
            return
        name = f"sim-{self._draw.choice([*LIMITED, 'one/x', 'two/y', 'wide/p'])}"
        self.pause(name, paused=name not in self._paused)
        self.simulation.struck["paused"] += 1

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Pause or resume a function, or a key of it (`function/key`)."""
        self._paused ^= {name} if paused != (name in self._paused) else set()
        self.broadcast(f"~pause/{name}", {"paused": paused})

    def _resume_parked(self) -> None:
        for run_id in sorted(self.starts.parked):
            follow = self.starts.by_run[run_id]
            assert follow.made is not None
            if run_id not in self.watching.resumed:
                self.watching.resumed.add(run_id)
                self.simulation.struck["parked"] += 1
            member = self._draw.choice(self.simulation.alive())
            member.node.order(follow.made.partition, ResumeRun(run_id), lambda written: None)

    def _saw_events(self, run_id: str, numbers: list[int]) -> None:
        follow = self.starts.by_run[run_id]
        if numbers != [member.event.data["n"] for member in follow.members]:
            raise Violation(f"batch: the code of {run_id} is given {numbers}, and the run is of {follow.members}")

    # --- rest and judgement -------------------------------------------------------------------------------------

    def unrest(self) -> str:
        """Let go what operators hold up; say what is left."""
        for name in sorted(self._paused):
            self.pause(name, paused=False)
        self._resume_parked()
        for oracle in self.simulation.oracles:
            left = [key[:1] for key in oracle.state if key[:1] in HOLDING]
            if left:
                return f"partition {oracle.number} has rows of stages left: {left}"
        return ""

    def run_ids(self) -> set[str]:
        """Name the runs that it accounts for."""
        return set(self.starts.by_run)

    def finish(self) -> None:
        """Judge the world at rest."""
        for follow in self.starts.follows.values():
            self._account_for(follow)
            if follow.verdict and follow.verdict != "singleton_replaced":  # rare: it has a story of its own
                self.simulation.struck[follow.verdict] += 1
        self._judge_given_ids()
        for oracle in self.simulation.oracles:
            self._judge_kept_rows(oracle.state)
        for judged in (self.stages.judged, self.gates.judged):
            self.simulation.struck.update({f"judged_{name}": count for name, count in judged.items() if count})

    def _account_for(self, follow: Follow) -> None:
        what = f"event {follow.event.id} {follow.event.data} of {follow.function_id}"
        if follow.verdict or (follow.batch is not None and follow.batch is not follow):
            return  # a batch is accounted for by its first event
        if follow.made is None:
            raise Violation(f"account: {what} has vanished: it passed {follow.passes}, held at {follow.held}")
        if len(follow.ends) != 1:
            raise Violation(f"account: {what} has ended as {follow.ends}")
        (end,) = follow.ends
        if end == limited_ends_as(follow.event.data) or follow.run_id in self.simulation.cancelled:
            return
        if end == "Cancelled queue_timed_out":
            start_ms = self.rules[follow.made.partition].of(follow.function_id)["timeouts"]["start_ms"]
            assert follow.ended is not None
            if follow.begun is None and follow.ended.now_ms >= follow.accepted_ms + start_ms:
                self.simulation.struck["queue_timed_out"] += 1
                return
        if end == "Cancelled" and self._gave_way(follow):
            self.simulation.struck["singleton_cancelled"] += 1
            return
        raise Violation(f"account: {what} has ended as {end}: {follow}")

    def _gave_way(self, follow: Follow) -> bool:
        option = self.rules[0].of(follow.function_id).get("singleton", {})
        group = self.stages.groups.get(
            (follow.function_id, SINGLETON, key_of(option.get("key", ""), follow.event.data))
        )
        if group is None or option["mode"] != "cancel" or follow.ended is None:
            return False
        since, until = follow.passes[SINGLETON], follow.ended
        return any(since.number <= other.arrived[SINGLETON].number <= until.number for other in group.arrivals)

    def _judge_given_ids(self) -> None:
        alike: dict[tuple[str, str, str], list[Follow]] = defaultdict(list)
        for follow in self.starts.follows.values():
            event = follow.event
            if event.given_id:
                own_key = event.given_id if event.key is None else event.key
                alike[follow.function_id, event.given_id, own_key].append(follow)
            elif follow.verdict == "event_id_repeated":
                raise Violation(f"account: {event} has no id of its own, and is taken for a repeat")
        for name, follows in alike.items():
            first = [follow for follow in follows if follow.verdict != "event_id_repeated"]
            if len(first) != 1:
                raise Violation(f"account: of the events {name} with one id {len(first)} have started something")

    def _judge_kept_rows(self, state: dict[bytes, bytes]) -> None:
        """What says something about windows is there for as long as they are open, and something will forget it."""
        now_ms = unpack(state[b"P"])[0]
        looked_at = {key[9:]: int.from_bytes(key[1:9], "big") for key in state if key[:1] == b"a"}
        timers = {int.from_bytes(key[1:9], "big") for key in state if key[:1] == b"t" and key[9] == EXPIRY_TIMER}
        for key, raw in state.items():
            if key[:1] in (b"e", b"A"):
                minute = looked_at.pop(key, 0)
                if minute * _MINUTE_MS not in timers:
                    raise Violation(f"rest: nothing will ever forget {key!r}: minute {minute}, timers {timers}")
                row = unpack(raw)
                until_ms = row[1] if key[:1] == b"e" else row[0] // row[1]
                if until_ms + _LATE_MS < now_ms:
                    raise Violation(f"rest: {key!r} says nothing since {until_ms}, and is there at {now_ms}")
        if looked_at:
            raise Violation(f"rest: what is to be forgotten is not there: {looked_at}")
