"""What the changelog of a partition makes, by a rule of its own, from every record that ever stood there.

Nothing here uses the engine's codecs, its rule or its following: a mistake there must not hide itself. A record is
taken apart as plain msgpack; the layout is that of `records/changelog.py` and `records/rows.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from headrace.adapters.memory_log import MemoryPartition

CLAIM, CHUNK = 1, 2
DONE = 1  # and FAILED is 2: a step that is recorded
unpack = msgspec.msgpack.Decoder().decode


class Violation(AssertionError):
    """An invariant does not hold; the message starts with its number.

    `raised` lists all since it was cleared: the engine catches what breaks a machine, and user code what breaks a step.
    """

    raised: ClassVar[list[Violation]] = []

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.raised.append(self)


@dataclass
class Commit:
    """A commit that counts: the position behind it, its claim, its rows in the order of the log."""

    position: int
    claim: int
    rows: list[tuple[bytes, bytes | None]]
    snapshot_upto: int
    snapshot_begin: int


@dataclass
class StepRow:
    """A step as a row shows it."""

    name: bytes
    op: int
    state: int
    attempt: int
    order: int
    output: bytes | None
    failure: Any
    due_ms: int

    @property
    def recorded(self) -> bool:
        """Whether its result stands."""
        return self.state >= DONE


@dataclass
class RunLife:
    """A run as the honoured commits show it."""

    run_id: str
    function_id: str
    event_id: str
    event_json: bytes
    given_id: str
    partition: int
    alive: bool = True
    recorded: dict[bytes, StepRow] = field(default_factory=dict)
    orders: set[tuple[bytes, int]] = field(default_factory=set)  # every state of a step that ever counted


class Oracle:
    """Follows one changelog as it is written, whatever is trimmed."""

    def __init__(self, partition: MemoryPartition) -> None:
        self.partition = partition
        self.number = partition.number
        self.log: dict[int, bytes | None] = {}  # every record ever
        self.claims: list[tuple[int, str]] = []  # offsets, and nodes
        self.claim = -1
        self.count = 0  # records of the claim in force that count
        self.alive = False
        self.contexts: dict[int, tuple[int, int, bool]] = {0: (-1, 0, False)}  # by position: claim, count, alive
        self.commits: list[Commit] = []
        self.state: dict[bytes, bytes] = {}
        self.on_commit: list[Callable[[Oracle, Commit], None]] = []
        self._next = 0
        self._chunks: list[Any] = []
        partition.followers.append(self)

    def wake(self) -> None:
        """Take in what is new on the log; called by the log itself, right after the write."""
        there = self.partition
        rows = there.rows[self._next - there.first :]
        for offset, row in enumerate(rows, self._next):
            self._next = offset + 1
            if row is not None:
                self.log[offset] = row.value
                self._take(offset, row.value or b"")

    def _take(self, offset: int, value: bytes) -> None:
        record = parse(value)
        if record is not None and record[0] == CLAIM:
            self.claim, self.count, self.alive, self._chunks = offset, 0, True, []
            self.claims.append((offset, record[1]))
        elif self.alive and self._counts(offset, record):
            self.count += 1
            self._chunks.append(record)
            if record[5]:
                self._commit(offset)
        else:
            self.alive = False
            self._chunks = []
        self.contexts[offset + 1] = (self.claim, self.count, self.alive)

    def _counts(self, offset: int, record: Any) -> bool:
        return bool(record) and record[1] == self.claim and record[2] == self.count + 1 == offset - self.claim

    def _commit(self, offset: int) -> None:
        chunks, self._chunks = self._chunks, []
        rows = [(row[0], row[1]) for chunk in chunks for row in chunk[6]]
        commit = Commit(offset + 1, self.claim, rows, chunks[-1][7], chunks[-1][8])
        self.commits.append(commit)
        for key, raw in rows:
            if raw is None:
                self.state.pop(key, None)
            else:
                self.state[key] = raw
        for tell in self.on_commit:
            tell(self, commit)

    def state_at(self, position: int, known: tuple[int, dict[bytes, bytes]] | None = None) -> dict[bytes, bytes]:
        """Replay the commits up to a position, from scratch or from the state at an earlier one."""
        start, state = (0, {}) if known is None or known[0] > position else (known[0], dict(known[1]))
        first = bisect_right(self.commits, start, key=_position)
        for commit in self.commits[first : bisect_right(self.commits, position, key=_position)]:
            for key, raw in commit.rows:
                if raw is None:
                    state.pop(key, None)
                else:
                    state[key] = raw
        return state


def _position(commit: Commit) -> int:
    return commit.position


def parse(value: bytes) -> Any:
    """Take a changelog record apart: [1, node, uuid] or [2, claim, k, commit, chunk, final, rows, upto, begin]."""
    if value[:1] != b"\x01":
        return None
    try:
        record = unpack(value[1:])
    except msgspec.MsgspecError:
        return None
    whole = isinstance(record, list) and (
        (len(record) == 3 and record[0] == CLAIM) or (len(record) == 9 and record[0] == CHUNK)
    )
    return record if whole else None


def honoured_from_scratch(log: dict[int, bytes | None]) -> list[int]:
    """Name the positions behind the commits that count, from the whole log at once and with no state carried along."""
    parsed = {offset: parse(value or b"") for offset, value in log.items()}
    claims = sorted(offset for offset, record in parsed.items() if record and record[0] == CLAIM)
    positions = []
    for number, claim in enumerate(claims):
        end = claims[number + 1] if number + 1 < len(claims) else max(log) + 1
        for offset in range(claim + 1, end):
            record = parsed.get(offset)
            if not record or record[1] != claim or record[2] != offset - claim:
                break
            if record[5]:
                positions.append(offset + 1)
    return positions


class Runs:
    """Every run and step that the honoured commits of all partitions ever showed."""

    def __init__(self, oracles: list[Oracle]) -> None:
        self.lives: dict[str, RunLife] = {}
        self.by_event: dict[tuple[str, str], list[str]] = defaultdict(list)  # (function id, event id) → run ids
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        gone: list[str] = []
        for key, raw in commit.rows:
            table = key[:1]
            if table in (b"r", b"z"):
                run_id = key[1:].decode()
                if raw is None:
                    gone.append(run_id)
                else:
                    self._take_run(oracle, run_id, unpack(raw))
            elif table == b"s" and raw is not None:
                self._take_step(oracle, key[1:27].decode(), key[27:], unpack(raw))
        for run_id in gone:
            key = run_id.encode()
            if b"r" + key not in oracle.state and b"z" + key not in oracle.state and run_id in self.lives:
                self.lives[run_id].alive = False

    def _take_run(self, oracle: Oracle, run_id: str, row: list[Any]) -> None:
        life = self.lives.get(run_id)
        if life is None:
            event = row[2][0]  # [tag, id, name, json, ts, at, given id, key]
            life = self.lives[run_id] = RunLife(run_id, row[0], event[1], event[3], event[6], oracle.number)
            self.by_event[row[0], event[1]].append(run_id)
        elif not life.alive:
            raise Violation(f"I1: run {run_id} begins anew after its end")
        if life.partition != oracle.number:
            raise Violation(f"I1: run {run_id} lives on partitions {life.partition} and {oracle.number}")

    def _take_step(self, oracle: Oracle, run_id: str, name: bytes, row: list[Any]) -> None:
        step = StepRow(name, *(row[1:8]))
        life = self.lives.get(run_id)
        if life is None:
            raise Violation(f"I4: step {name!r} of {run_id} is recorded before its run")
        life.orders.add((name, step.order))
        known = life.recorded.get(name)
        if known is not None and (known.state, known.output, known.failure) != (step.state, step.output, step.failure):
            raise Violation(f"I10: the recorded result of step {name!r} of {run_id} has changed: {known} to {step}")
        if step.recorded:
            life.recorded[name] = step
