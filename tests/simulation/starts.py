"""What becomes of each event at each function that it starts, as the honoured commits show it.

A start is followed from one partition to the next: every commit shows, at its end, where it stands by then (on its way,
held by a stage, a run, dropped), and so which stages it has come to and passed in that commit. The order of the stages
is that of docs/flow-control.md.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace.records.history import decode_lifecycle
from headrace.worker.layout import Topics
from tests.simulation.oracle import Commit, Oracle, Violation, unpack

IDEMPOTENCY, RATE, DEBOUNCE, BATCH, SINGLETON, THROTTLE = 10, 20, 30, 40, 50, 60
STAGES = {
    IDEMPOTENCY: "idempotency",
    RATE: "rate_limit",
    DEBOUNCE: "debounce",
    BATCH: "batch",
    SINGLETON: "singleton",
    THROTTLE: "throttle",
}
ALL = 99
START = 12  # the tag of its command
# Which stage has dropped it, by the code of its verdict. 0: before all stages.
DROPPED_BY = {
    "event_id_repeated": 0,
    "idempotency_key_repeated": IDEMPOTENCY,
    "rate_limited": RATE,
    "debounce_late": DEBOUNCE,
    "debounce_replaced": DEBOUNCE,
    "singleton_skipped": SINGLETON,
    "singleton_replaced": SINGLETON,
    "start_timeout": THROTTLE,
    "singleton_cancelled": THROTTLE,
}


class Moment(NamedTuple):
    """A commit: its number among all of all partitions, its partition, its time."""

    number: int
    partition: int
    now_ms: int


@dataclass
class Event:
    """A record of the events topic."""

    id: str
    name: str
    data: dict[str, Any]
    partition: int
    offset: int
    key: str | None
    given_id: str
    ts_ms: int
    at_ms: int
    json: bytes

    @property
    def direct(self) -> bool:
        """Whether it is routed where and when it is read."""
        return (self.key is not None or not self.given_id) and self.ts_ms <= self.at_ms


@dataclass(eq=False)
class Follow:
    """What is to become of an event at one function; of a batch, at the first one's."""

    function_id: str
    event: Event
    passed: int = 0
    held: int = 0  # at which stage it is held now
    arrived: dict[int, Moment] = field(default_factory=dict)
    passes: dict[int, Moment] = field(default_factory=dict)
    accepted_ms: int = 0
    run_id: str = ""
    bucket: bytes = b""  # of the rows that hold it, or held it last
    members: list[Follow] = field(default_factory=list)  # of a batch, with itself
    batch: Follow | None = None  # the batch that it is a member of
    verdict: str = ""  # the code by which it was dropped
    made: Moment | None = None  # its run
    begun: Moment | None = None
    ended: Moment | None = None  # its run, or it was dropped
    ends: list[str] = field(default_factory=list)  # status and code


@dataclass
class Change:
    """Something that a commit shows of a start: it has come to a stage, passed it, or was dropped there."""

    what: str  # arrived | passed | dropped; made | begun: its run
    stage: int
    start: Follow


class Starts:
    """All starts of some functions; checkers are told of what each commit changes, in `tell`."""

    def __init__(self, oracles: list[Oracle], topics: Topics, started: dict[str, list[str]]) -> None:
        self._topics = topics
        self._started = started  # by the event's name: the functions
        self.functions = {function_id for found in started.values() for function_id in found}
        self._marks = [function_id.encode() for function_id in self.functions]
        self.events: dict[str, Event] = {}
        self.follows: dict[tuple[str, str], Follow] = {}  # (function, event id)
        self.by_run: dict[str, Follow] = {}
        self.by_start: dict[str, Follow] = {}  # by the id that its run has, or will have
        self.parked: set[str] = set()
        self.moments: list[Moment] = []
        self.tell: list[Callable[[Oracle, Commit, Moment, list[Change]], None]] = []
        self._now_ms: dict[int, int] = defaultdict(int)
        self._changes: list[Change] = []
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def landed(self, record: Any) -> None:
        """Note an event when it is in the log."""
        try:
            fields = json.loads(record.value or b"")
        except ValueError:
            return
        if not isinstance(fields, dict) or fields.get("name") not in self._started:
            return
        event_id = dict(record.headers)["headrace-id"].decode()
        key = None if record.key is None else record.key.decode()
        event = Event(
            event_id,
            fields["name"],
            fields["data"],
            record.partition,
            record.offset,
            key,
            fields.get("id", ""),
            fields.get("ts") or record.timestamp_ms,
            record.timestamp_ms,
            record.value,
        )
        self.events[event_id] = event
        for function_id in self._started[event.name]:
            self.follows[function_id, event_id] = Follow(function_id, event)

    # --- what a commit shows ------------------------------------------------------------------------------------

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        gone: list[bytes] = []
        last: list[Any] = []
        for key, raw in commit.rows:
            table = key[:1]
            if raw is None:
                if table in b"rz":
                    gone.append(key[1:])
            elif table == b"P":
                self._now_ms[oracle.number] = unpack(raw)[0]
        moment = Moment(len(self.moments), oracle.number, self._now_ms[oracle.number])
        self.moments.append(moment)
        self._changes = []
        for key, raw in commit.rows:
            if raw is not None:
                self._take_row(moment, key, raw, last)
        for life in last:
            self._take_life(moment, life)
        for run_key in gone:
            follow = self.by_run.get(run_key.decode())
            if follow is not None and b"r" + run_key not in oracle.state and b"z" + run_key not in oracle.state:
                follow.ended = follow.ended or moment
        for tell in self.tell:
            tell(oracle, commit, moment, self._changes)

    def _take_row(self, moment: Moment, key: bytes, raw: bytes, last: list[Any]) -> None:
        table = key[:1]
        if table == b"O":
            topic, _, records = unpack(raw)
            if topic == self._topics.commands:
                for _, value, _ in records:
                    command = unpack(value[1:])[3]
                    if command[0] == START:
                        self._seen(moment, command, command[5])
            elif topic == self._topics.history:
                last += [decode_lifecycle(v) for _, v, _ in records if any(mark in v for mark in self._marks)]
        elif table == b"f":
            self._seen(moment, unpack(raw)[0], DEBOUNCE - 1, DEBOUNCE, key[1:])
        elif table == b"c":
            function_id = key[1:].split(b"\0")[0].decode()
            for event in unpack(raw)[0]:
                follow = self.follows.get((function_id, event[1]))
                if follow is not None:
                    follow.bucket = key[1:-8]
                    self._advance(moment, follow, BATCH - 1, BATCH)
        elif table == b"B" and unpack(raw)[0] is not None:
            self._seen(moment, unpack(raw)[0], THROTTLE - 1, THROTTLE, key[1:-16])
        elif table == b"C" and unpack(raw)[2] is not None:
            self._seen(moment, unpack(raw)[2], SINGLETON - 1, SINGLETON, key[1:])
        elif table in (b"r", b"z"):
            self._seen_run(moment, key[1:].decode(), unpack(raw))

    def _seen(self, moment: Moment, start: list[Any], passed: int, held: int = 0, bucket: bytes = b"") -> None:
        function_id, run_id, events = start[1:4]
        if function_id in self.functions:
            follow = self._batch_of(moment, function_id, [event[1] for event in events], passed)
            follow.run_id, follow.accepted_ms, follow.bucket = run_id, start[4], bucket
            self.by_start[run_id] = follow
            self._advance(moment, follow, passed, held)

    def _seen_run(self, moment: Moment, run_id: str, row: list[Any]) -> None:
        follow = self.by_run.get(run_id)
        if follow is None:
            if row[0] not in self.functions:
                return
            follow = self._batch_of(moment, row[0], [event[1] for event in row[2]], ALL)
            self._make(moment, follow, run_id)
        slots = row[14]
        if follow.begun is None and (slots is None or slots[6]):
            follow.begun = moment
            self._changes.append(Change("begun", ALL, follow))

    def _make(self, moment: Moment, follow: Follow, run_id: str) -> None:
        if follow.run_id not in ("", run_id) or follow.made is not None:
            raise Violation(f"account: {follow.function_id} has the runs {follow.run_id} and {run_id} for one start")
        self._advance(moment, follow, ALL)
        follow.run_id, follow.made = run_id, moment
        self._changes.append(Change("made", ALL, follow))
        self.by_run[run_id] = self.by_start[run_id] = follow

    def _batch_of(self, moment: Moment, function_id: str, event_ids: list[str], passed: int) -> Follow:
        """The start of these events; those behind the first one have become members of its batch."""
        follows = [self.follows[function_id, event_id] for event_id in event_ids]
        first = follows[0]
        if passed >= BATCH and not first.members:
            for member in follows:
                if member.batch is not None or member.verdict or member.made:
                    raise Violation(f"account: {member.event.id} of {function_id} is in two batches, or in none")
                self._advance(moment, member, BATCH - 1, BATCH)
                member.batch, member.held = first, 0
            first.members = follows
        elif passed >= BATCH and first.members != follows:
            raise Violation(f"account: the batch of {first.event.id} of {function_id} has changed: {event_ids}")
        return first

    def _advance(self, moment: Moment, follow: Follow, passed: int, held: int = 0) -> None:
        for stage in STAGES:
            if follow.passed < stage <= passed and follow.batch in (None, follow):
                if stage not in follow.arrived:
                    follow.arrived[stage] = moment
                    self._changes.append(Change("arrived", stage, follow))
                follow.passes[stage] = moment
                self._changes.append(Change("passed", stage, follow))
        follow.passed = max(follow.passed, passed)
        follow.held = held
        if held and held not in follow.arrived:
            follow.arrived[held] = moment
            self._changes.append(Change("arrived", held, follow))

    def _take_life(self, moment: Moment, life: Any) -> None:
        if life.function_id not in self.functions:
            return
        if life.kind == "EventVerdict":
            if not life.code.startswith("held_"):
                self._dropped(moment, life)
        elif life.run_id not in self.by_run and life.event_ids:  # it was made and has ended in one turn
            self._make(moment, self._batch_of(moment, life.function_id, life.event_ids, ALL), life.run_id)
        if life.kind == "RunEnded":
            follow = self.by_run[life.run_id]
            follow.ended = follow.ended or moment
            follow.ends.append(f"{life.status} {life.code}".strip())
        elif life.kind == "RunPhase":
            (self.parked.add if life.phase == "parked" else self.parked.discard)(life.run_id)

    def _dropped(self, moment: Moment, life: Any) -> None:
        stage = DROPPED_BY.get(life.code)
        if stage is None:
            raise Violation(f"account: a verdict that nothing explains: {life}")
        follow = self._batch_of(moment, life.function_id, life.event_ids, stage - 1 if stage else 0)
        if follow.verdict or follow.made or follow.passed >= stage > 0:
            raise Violation(f"account: {follow.event.id} of {life.function_id} is dropped twice, or started: {life}")
        self._advance(moment, follow, stage - 1)
        if stage and stage not in follow.arrived:
            follow.arrived[stage] = moment
            self._changes.append(Change("arrived", stage, follow))
        follow.verdict, follow.held, follow.ended = life.code, 0, moment
        self._changes.append(Change("dropped", stage, follow))
