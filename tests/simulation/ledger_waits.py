"""What the honoured commits say about those who wait: read from the log as plain msgpack, by the layout of the rows.

Commits of all partitions have one order here, by their `tick`: the log is one process's memory. The layout is that of
`records/rows.py`, `records/waits.py` and `records/commands.py`; none of the engine's code is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tests.simulation.oracle import Commit, Oracle, unpack

SEQ_BITS = 20
RUN_ID = 26
DIGEST = 16
WAIT, INVOKE, SIGNAL, STATE = 3, 4, 5, 6  # kinds of steps
CANCEL_STEP = b"\0cancel"
TAG_ANSWER, TAG_WAIT_ANSWER = 13, 32
FOUND, TOLD, FAILED, CLEAR = 4, 5, 6, 7  # fields of a WaitAnswer's row behind its tag, run, step, index and n


def digest_of(event: str, path: str, value: bytes) -> bytes:
    """Name what a wait is found by, as the documentation of the layout has it."""
    return blake2b(b"%s\0%s\0%s" % (event.encode(), path.encode(), value), digest_size=DIGEST).digest()


def decider_of(digest: bytes, partitions: int) -> int:
    """Name the partition that decides about it."""
    return int.from_bytes(digest[:8], "big") % partitions


@dataclass
class StepLife:
    """A step of a run that waits for something: when it was asked, and what became of it."""

    run_id: str
    name: bytes
    op: int
    home: int
    asked_tick: int
    asked_ms: int
    done_tick: int = -1
    done_ms: int = 0
    order: int = 0
    output: bytes | None = None
    failure: Any = None


@dataclass
class Letter:
    """An answer on its way from one partition to another."""

    tag: int
    run_id: str
    step: bytes
    body: list[Any]
    source: int
    target: int
    seq: int
    tick: int


@dataclass
class Gone:
    """A waiter that has left the partition that decided about it."""

    tick: int
    partition: int
    now_ms: int
    row: list[Any] | None  # None: it came and went in one commit


@dataclass
class ShapeAt:
    """What a partition knew of a shape from a tick on."""

    tick: int
    known: int
    floors: dict[int, int]


@dataclass
class Place:
    """One partition."""

    now_ms: int = 0
    waiters: dict[bytes, list[Any]] = field(default_factory=dict)  # key → row
    recent: dict[bytes, dict[tuple[int, int], Any]] = field(default_factory=lambda: defaultdict(dict))  # by digest
    shapes: dict[tuple[str, str], list[ShapeAt]] = field(default_factory=lambda: defaultdict(list))
    heard: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))  # source → (tick, seq)
    ticks: dict[int, int] = field(default_factory=dict)  # position behind a commit → its tick


class Ledger:
    """Takes notes of every commit that counts."""

    def __init__(self, oracles: list[Oracle], broker_ms: Callable[[], int]) -> None:
        self.oracles = oracles
        self._broker_ms = broker_ms
        self.places = [Place() for _ in oracles]
        self.tick = 0
        self.steps: dict[tuple[str, bytes], StepLife] = {}
        self.unseen: set[tuple[str, bytes]] = set()  # steps that came and went in one commit
        self.letters: list[Letter] = []
        self.seen: dict[tuple[bytes, int, int], int] = {}  # digest, partition of events, offset → tick
        self.gone: dict[bytes, list[Gone]] = defaultdict(list)  # by key of the waiter
        self.numbers: dict[bytes, int] = {}  # by key of the waiter: its last registration that has ended
        self.begun: dict[str, tuple[int, int]] = {}  # run id → tick and time of its first commit
        self.landed_ms: dict[str, int] = {}  # run id → when the broker got that
        self.ended: dict[str, int] = {}  # run id → tick
        self.arrived: dict[bytes, int] = {}  # keys of waiters that were ever seen, and the tick at which they came
        self.shape_rows: dict[tuple[int, str, str], list[Any]] = {}  # by partition, event and path: as it stands
        self.asked_ms: dict[bytes, int] = {}  # by key of the waiter
        self.looked_back = 0
        self.changed: set[bytes] = set()  # digests of the last commit
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        self.tick += 1
        place = self.places[oracle.number]
        place.ticks[commit.position] = self.tick
        self.changed = set()
        for key, raw in commit.rows:
            if key == b"P" and raw is not None:
                place.now_ms = unpack(raw)[0]
        for key, raw in commit.rows:
            table = key[:1]
            if table == b"s":
                self._step(oracle.number, key[1 : 1 + RUN_ID].decode(), key[1 + RUN_ID :], raw)
            elif table in (b"r", b"z"):
                self._run(oracle, key[1:].decode(), raw)
            elif table == b"u":
                self._waiter(oracle.number, place, key[1:], raw)
            elif table == b"y":
                self._recent(place, key[1:], raw)
            elif table == b"w" and raw is not None:
                self._shape(oracle.number, place, unpack(raw))
            elif table == b"O" and raw is not None:
                self._posted(oracle.number, unpack(raw))
            elif key[:2] == b"Lc" and raw is not None:
                place.heard[int.from_bytes(key[2:6], "big")].append((self.tick, unpack(raw)))

    def _step(self, home: int, run_id: str, name: bytes, raw: bytes | None) -> None:
        life = self.steps.get((run_id, name))
        if raw is None:
            if life is None:
                self.unseen.add((run_id, name))
            return
        row = unpack(raw)
        if row[1] not in (WAIT, INVOKE, SIGNAL, STATE):
            return
        if life is None:
            life = self.steps[run_id, name] = StepLife(run_id, name, row[1], home, self.tick, row[8])
        if row[2] and life.done_tick < 0:
            life.done_tick, life.done_ms, life.order = self.tick, row[7], row[4]
            life.output, life.failure = row[5], row[6]

    def _run(self, oracle: Oracle, run_id: str, raw: bytes | None) -> None:
        if raw is not None:
            self.begun.setdefault(run_id, (self.tick, self.places[oracle.number].now_ms))
            self.landed_ms.setdefault(run_id, self._broker_ms())
        elif b"r" + run_id.encode() not in oracle.state and b"z" + run_id.encode() not in oracle.state:
            self.ended.setdefault(run_id, self.tick)

    def _waiter(self, number: int, place: Place, key: bytes, raw: bytes | None) -> None:
        before = place.waiters.get(key)
        if raw is not None:
            place.waiters[key] = unpack(raw)
            self.arrived.setdefault(key, self.tick)
            self.asked_ms[key] = place.waiters[key][12]
            self.changed.add(key[:DIGEST])
            return
        place.waiters.pop(key, None)
        self.gone[key].append(Gone(self.tick, number, place.now_ms, before))
        if before is not None:
            self.numbers[key] = before[3]

    def _recent(self, place: Place, key: bytes, raw: bytes | None) -> None:
        digest, at = key[:DIGEST], key[DIGEST + 8 :]
        where = int.from_bytes(at[:4], "big"), int.from_bytes(at[4:], "big")
        if raw is None:
            place.recent[digest].pop(where, None)
            return
        place.recent[digest][where] = unpack(raw)[1][2]  # [tag, id, name, json, ts, at, …]
        self.seen.setdefault((digest, *where), self.tick)
        self.changed.add(digest)

    def _shape(self, number: int, place: Place, row: list[Any]) -> None:
        self.shape_rows[number, row[0], row[1]] = row
        place.shapes[row[0], row[1]].append(ShapeAt(self.tick, len(row[4]), row[5]))
        self.looked_back += bool(row[10])

    def _posted(self, source: int, row: Any) -> None:
        _, target, records = row
        for _, value, _ in records:
            if not value or value[:1] != b"\x01":
                continue  # no command
            try:
                envelope = unpack(value[1:])
            except ValueError:
                continue
            if not isinstance(envelope, list) or len(envelope) < 4 or not isinstance(envelope[3], list):
                continue
            tag, *body = envelope[3]
            if tag in (TAG_ANSWER, TAG_WAIT_ANSWER):
                self.letters.append(Letter(tag, body[0], body[1], body, source, target, envelope[1], self.tick))

    def heard_at(self, letter: Letter) -> int:
        """Give the tick at which a letter was applied; -1 for one that never was."""
        heard = self.places[letter.target].heard[letter.source]
        return next((tick for tick, seq in heard if seq >= letter.seq), -1)

    def tick_of(self, partition: int, seq: int) -> int:
        """Give the tick of the commit in which a partition gave this number."""
        offset = seq >> SEQ_BITS
        return next(tick for position, tick in self.places[partition].ticks.items() if position > offset)

    def shape_at(self, partition: int, event: str, path: str, tick: int) -> ShapeAt | None:
        """Give what a partition knew of a shape at a tick."""
        known = [shape for shape in self.places[partition].shapes[event, path] if shape.tick <= tick]
        return known[-1] if known else None
