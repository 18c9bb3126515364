"""The work of those who wait, in one world: what is sent when, when it is at rest, and its judgement."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from headrace.records.commands import ENVELOPE, Envelope
from headrace.records.events import HEADER_ID
from headrace.records.ids import derive_ulid, partition_of
from headrace.records.waits import SendSignal
from tests.simulation.checkers_calls import Calls, Counts, Stops, Ticks, data_of
from tests.simulation.checkers_waits import Coming, Waits
from tests.simulation.ledger_waits import Ledger, decider_of, digest_of
from tests.simulation.oracle import Violation
from tests.simulation.workload_waits import SIGNALS, Scribe, WaitScripts, idle_ticker, make_waiting_functions

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

RECENT_TIMER, SHAPE_TIMER, CRON_TIMER, FORGET_TIMER = 31, 32, 41, 13
_NUDGE_S = 3.0
_STARTED_BY = {
    "wait/go": "sim-waiter",
    "wait/stoppable": "sim-stoppable",
    "wait/brief": "sim-brief",
    "wait/tally": "sim-tally",
}


class WaitsWork:
    """Implements `work.Work`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._draw = Random(f"waits {simulation.plan.seed}")
        self._scripts = WaitScripts(self._draw)
        self.scribe = Scribe()
        self.functions = make_waiting_functions(self.scribe)
        self.coming: list[Coming] = []
        self.starts: list[Coming] = []
        self.later: dict[int, int] = {}  # number of a start → its own time, in the future
        self.signals: list[Coming] = []
        self.began: set[str] = set()
        oracles = simulation.oracles
        self.ledger = Ledger(oracles, self.now_ms)
        self._clocks_run_true = "clock_rate" not in simulation.plan.blows
        self.waits = Waits(self.ledger, simulation.runs, self.coming, clocks_run_true=self._clocks_run_true)
        self.stops = Stops(self.ledger, simulation.runs, self.coming)
        self.calls = Calls(self.ledger, simulation.runs)
        self.ticks = Ticks(simulation.runs)
        self.counts = Counts(oracles)
        self.scribe.on_begin.append(self.began.add)
        self.scribe.on_given.append(self._given)
        simulation.liveness.quiet_timers |= {RECENT_TIMER, SHAPE_TIMER, CRON_TIMER, FORGET_TIMER}
        self._nudged_at = 0.0
        self._idle = False

    def _given(self, run_id: str, step: bytes, value: Any) -> None:
        before = self.waits.given.setdefault((run_id, step), value)
        if before != value:
            raise Violation(f"I10: step {step!r} of {run_id} gave {before!r} and gives {value!r}")

    # --- what is sent -------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Draw when runs start and when what they wait for comes, and when signals are sent."""
        simulation, draw = self._simulation, self._draw
        starts = simulation.plan.events
        for times, call in ((starts, self._start), (2 * starts, self._come), (starts, self._signal)):
            for _ in range(times):
                simulation.world.loop.call_later(draw.random() * simulation.plan.seconds * 0.9, call)

    def _start(self) -> None:
        name, data = self._scripts.start()
        ts_ms = 0
        if self._draw.random() < 0.25:
            # In the future it delays the runs; late it is as good as any other.
            ts_ms = self.now_ms() + self._draw.choice([-86_400_000, 700, 2_500])
        self.start(name, data, ts_ms)

    def start(self, name: str, data: dict[str, Any], ts_ms: int = 0, key: str | None = None) -> Coming:
        """Append an event that starts a run."""
        if ts_ms > self.now_ms():
            self.later[data["n"]] = ts_ms
        event_id = derive_ulid(self.now_ms(), b"start %d" % data["n"])
        sent = self._append(name, data, ts_ms, key, event_id)
        sent.id = event_id
        self.starts.append(sent)
        return sent

    def _come(self) -> None:
        name, data = self._scripts.coming()
        self.come(name, data, twice=self._draw.random() < 0.1)

    def come(
        self, name: str, data: dict[str, Any], *, twice: bool = False, key: str | None = None, ts_ms: int = 0
    ) -> Coming:
        """Append an event that runs may wait for; `twice` with one id, as a producer does that is not sure."""
        header = derive_ulid(self.now_ms(), b"coming %d" % len(self.coming)) if twice else ""
        for _ in range(1 + twice):
            self.coming.append(self._append(name, data, ts_ms, key, header))
        return self.coming[-1]

    def _append(self, name: str, data: dict[str, Any], ts_ms: int, key: str | None, header: str = "") -> Coming:
        simulation = self._simulation
        count = simulation.plan.events_partitions
        place = self._draw.randrange(count) if key is None else partition_of(key.encode(), count)
        fields = {"name": name, "data": data, **({"ts": ts_ms} if ts_ms else {})}
        at_ms = self.now_ms()
        headers = [(HEADER_ID, header.encode())] if header else None
        raw_key = None if key is None else key.encode()
        tick = self.ledger.tick
        offset = simulation.world.cluster.append(
            simulation.world.topics.events, place, json.dumps(fields).encode(), raw_key, headers
        )
        return Coming(name, data, place, offset, at_ms, tick)

    def _signal(self) -> None:
        self.signal(f"s{self._draw.randrange(SIGNALS)}")

    def signal(self, name: str) -> Coming:
        """Write a signal to the partition that decides about it, as the console does."""
        simulation = self._simulation
        data = {"e": self._scripts.number()}
        signal_id = derive_ulid(self.now_ms(), b"signal %d" % len(self.signals))
        place = decider_of(digest_of("\0signal", "", name.encode()), simulation.plan.partitions)
        order = SendSignal(signal_id, name, json.dumps(data).encode())
        value = ENVELOPE.encode(Envelope(-1, 0, -1, order, signal_id))
        tick = self.ledger.tick
        offset = simulation.world.cluster.append(simulation.world.topics.commands, place, value)
        self.signals.append(Coming(name, data, place, offset, self.now_ms(), tick, signal_id))
        return self.signals[-1]

    def now_ms(self) -> int:
        """The broker's time."""
        return self._simulation.world.cluster.clock.wall_ms()

    def number_of(self, run_id: str) -> int:
        """Give the number of the event that started a run; -1 for one that was called, or has none."""
        life = self._simulation.runs.lives.get(run_id)
        number = -1 if life is None else data_of(life).get("n", -1)
        return number if isinstance(number, int) else -1

    def ends_of(self, function_id: str) -> list[Any]:
        """List the last records of a function's runs, as far as they have landed."""
        history = self._simulation.liveness.history()
        return [life for life in history if life.kind == "RunEnded" and life.function_id == function_id]

    # --- rest and judgement -------------------------------------------------------------------------------------

    def unrest(self) -> str:
        """Give those who wait without a time-out what they wait for, and have the clock start nothing more."""
        simulation = self._simulation
        now = simulation.world.loop.time()
        if now - self._nudged_at >= _NUDGE_S and simulation.calm:
            self._nudged_at = now
            self._nudge()
        left: Counter[bytes] = Counter()
        for oracle in simulation.oracles:
            left.update(key[:1] for key in oracle.state if key[:1] in (b"u", b"v", b"W"))
        if left:
            return f"rows of waits are left: {dict(left)}"
        lines = [raw for oracle in simulation.oracles for key, raw in oracle.state.items() if key[:1] == b"n"]
        return "a cron line still fires" if any(b"@every" in key for key in self._lines()) or not lines else ""

    def _lines(self) -> list[bytes]:
        return [key for oracle in self._simulation.oracles for key in oracle.state if key[:1] == b"n"]

    def _nudge(self) -> None:
        simulation = self._simulation
        for place in self.ledger.places:
            for _, row in sorted(place.waiters.items()):
                run_id, step, event, due_ms = row[0], row[1], row[6], row[11]
                life = self.ledger.steps.get((run_id, step))
                if due_ms or life is None or life.done_tick >= 0:  # it times out by itself, or should be gone
                    continue
                if not event:
                    self.signal(self.waits.asks(run_id)[step]["name"])
                else:  # a number that every condition is content with
                    self.come(event, {"e": 6 * (1_000 + self._scripts.number()), "k": self.waits.value_of(run_id)})
        for life in simulation.runs.lives.values():
            if life.alive and life.function_id == "sim-child" and data_of(life)["does"] == "linger":
                self.come("wait/stop", {"e": self._scripts.number(), "k": data_of(life)["k"]})
        if not self._idle:
            self._idle = True
            simulation.functions.update(idle_ticker())
            for member in simulation.alive():
                member.reload(simulation.functions, lambda: None)

    def run_ids(self) -> set[str]:
        """Name the runs of its own functions."""
        return {run_id for run_id, life in self._simulation.runs.lives.items() if life.function_id in self.functions}

    def finish(self) -> None:
        """Judge everything."""
        simulation = self._simulation
        history = simulation.liveness.history()
        mine = self.run_ids()
        ends: dict[str, Any] = {}
        for record in history:
            if record.kind == "RunEnded" and record.function_id in self.functions:
                if record.run_id in ends:
                    raise Violation(f"liveness: {record.run_id} has ended twice: {ends[record.run_id]}, {record}")
                ends[record.run_id] = record
        if mine - set(ends):
            raise Violation(f"liveness: these have never ended: {mine - set(ends)}")
        # A run that is cancelled in the very turn that makes it is seen in the history alone.
        unseen = {run_id: end for run_id, end in ends.items() if run_id not in mine}
        ends = {run_id: end for run_id, end in ends.items() if run_id in mine}
        started = self._started(unseen)
        self.calls.unseen = unseen
        verdicts = [record for record in history if record.kind == "EventVerdict"]
        signal_ids = {signal.id for signal in self.signals}
        told = [verdict for verdict in verdicts if verdict.event_ids and verdict.event_ids[0] in signal_ids]
        self.waits.finish(started, told, self.signals)
        self.stops.finish(ends, started, simulation.cancelled, self.began)
        self.calls.finish(ends, self.waits.asks)
        self.ticks.finish(ends, [v for v in verdicts if v.function_id == "sim-ticker"])
        self.counts.finish(simulation.runs, ends)
        self._judge_ends(ends)
        self._nothing_left()
        self._count(ends)

    def _started(self, unseen: dict[str, Any]) -> dict[str, int]:
        """Match the runs with what started them: one for each event, and none before its time."""
        stopped = {end.event_ids[0]: end for end in unseen.values() if end.function_id == "sim-stoppable"}
        lives = self._simulation.runs.lives
        found: dict[tuple[str, Any], list[str]] = {}
        started: dict[str, int] = {}
        for run_id in self.run_ids():
            life = lives[run_id]
            found.setdefault((life.function_id, data_of(life).get("n")), []).append(run_id)
            started[run_id] = 0  # of those that are called: everything since
        for start in self.starts:
            run_ids = found.pop((_STARTED_BY[start.name], start.data["n"]), [])
            if not run_ids and start.id in stopped:
                self.stops.judge_unseen(stopped.pop(start.id), start)
                continue
            if len(run_ids) != 1:
                raise Violation(f"I1: {start} has the runs {run_ids}")
            (run_id,) = run_ids
            started[run_id] = start.at_ms
            ts_ms = self.later.get(start.data["n"], 0)
            # A run may live where the time is a little behind that of the partition that has let it go, and all times
            # are whole milliseconds.
            if self._clocks_run_true and self.ledger.landed_ms[run_id] + 1 < ts_ms:
                raise Violation(f"time: {start} was to start at {ts_ms}, and did at {self.ledger.landed_ms[run_id]}")
            if start.name != "wait/tally" and self.ledger.begun[run_id][1] < ts_ms:
                raise Violation(f"time: {start} was to start at {ts_ms}, and did at {self.ledger.begun[run_id][1]}")
        strangers = [*stopped.values()] + [key for key in found if key[0] not in ("sim-child", "sim-ticker")]
        if strangers:
            raise Violation(f"I1: runs that nothing asked for: {strangers}")
        return started

    def _judge_ends(self, ends: dict[str, Any]) -> None:
        for run_id, end in ends.items():
            life = self._simulation.runs.lives[run_id]
            failing = life.function_id == "sim-child" and data_of(life)["does"] == "fail"
            if end.status == ("Failed" if failing else "Completed"):
                continue
            stopped = life.function_id in ("sim-stoppable", "sim-child", "sim-brief")
            if end.status != "Cancelled" or not (stopped or run_id in self._simulation.cancelled):
                raise Violation(f"liveness: {life} ended as {end}")

    def _nothing_left(self) -> None:
        for oracle in self._simulation.oracles:
            tables = Counter(key[:1] for key in oracle.state)
            if tables[b"y"] != tables[b"V"]:
                raise Violation(
                    f"left: {oracle.number} has {tables[b'y']} recent events, {tables[b'V']} to be forgotten"
                )
            kinds = Counter(key[9] for key in oracle.state if key[:1] == b"t")
            if bool(kinds[RECENT_TIMER]) != bool(tables[b"y"]) or kinds[CRON_TIMER] > 1:
                raise Violation(f"left: {oracle.number} has the timers {kinds} and the rows {tables}")
            for (event, path), shapes in self.ledger.places[oracle.number].shapes.items():
                row = self.ledger.shape_rows[oracle.number, event, path]
                if row[7] or row[10] or row[13]:
                    raise Violation(f"left: shape {event} {path} of {oracle.number} is {row}; {len(shapes)} changes")

    def _count(self, ends: dict[str, Any]) -> None:
        struck = self._simulation.struck
        for value in self.waits.given.values():
            struck[f"wait_{value[0]}"] += 1
        for name, count in self.calls.answers.items():
            struck[f"invoke_{name}"] += count
        for status, count in self.waits.verdicts.items():
            struck[f"signal_{status}"] += count
        for end in ends.values():
            if end.status == "Cancelled":
                by_event = "by the event" in end.error_message
                struck["cancelled_by_event" if by_event else f"cancelled_{end.error_name}"] += 1
        struck["cron_fired"] += self.ticks.fired
        struck["state_changed"] += sum(self.counts.changes.values())
        struck["looked_back"] += self.ledger.looked_back
