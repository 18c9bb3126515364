"""Bugs to plant: each breaks the engine, or the care of its log, in one way that a checker must find.

The only place in the tests that changes the engine's classes. A plant is taken out again when its `with` block ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import headrace.worker.apply as apply_module
from headrace.adapters.seams import Record
from headrace.records.changelog import Claim
from headrace.records.commands import ENVELOPE
from headrace.records.events import HEADER_SOURCE
from headrace.worker.apply import Inputs
from headrace.worker.arrivals import Arrivals
from headrace.worker.commits import Commits
from headrace.worker.follow import Follower
from headrace.worker.honour import Honour
from headrace.worker.machine import Machine
from headrace.worker.outbox import Outbox
from headrace.worker.overlay import Overlay, Rows
from headrace.worker.ownership import Ownership
from headrace.worker.snapshot_schedule import SnapshotSchedule
from headrace.worker.snapshots import SnapshotWriter
from headrace.worker.turn import NONE_BEFORE, RESOLVE, OpenTurn
from tests.simulation.blows import Blows
from tests.simulation.plan import Plan, with_work


class Patches:
    """Attributes that are replaced, and what they were."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace an attribute; returns what it was."""
        before = vars(owner)[name]
        self._before.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        """Put everything back."""
        for owner, name, before in reversed(self._before):
            setattr(owner, name, before)


@dataclass(frozen=True)
class Plant:
    """One bug: its name as a sentence, the change, and what a world must have for it to matter."""

    name: str
    change: Callable[[Patches], None]
    blows: dict[str, int] = field(default_factory=dict)
    faults: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    work: str = ""

    def plan(self, plan: Plan) -> Plan:
        """Make what the bug needs likely."""
        if self.work:
            plan = with_work(plan, frozenset([self.work]))
        return replace(
            plan,
            blows={**plan.blows, **self.blows},
            faults=replace(plan.faults, **self.faults),
            limits=replace(plan.limits, **self.limits),
        )

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug for a while."""
        patches = Patches()
        try:
            self.change(patches)
            yield
        finally:
            patches.undo()


PLANTS: dict[str, Plant] = {}


def plant(name: str, **needs: Any) -> Callable[[Callable[[Patches], None]], Callable[[Patches], None]]:
    """Register a plant."""

    def register(change: Callable[[Patches], None]) -> Callable[[Patches], None]:
        PLANTS[name] = Plant(name, change, **needs)
        return change

    return register


# What a process has sent lands when it is dead and its successor reads already.
_LATE = {"landed_after_death": 0.8, "late_delay_ms": (0.0, 30.0), "delay_ms": (1.0, 10.0)}
_CRASHES = {"crash": 5, "crash_at_write": 10}


# --- claims and commits ---------------------------------------------------------------------------------------------


@plant("readers without the fence", blows={"zombie": 3})
def _(patches: Patches) -> None:
    def read(self: Honour, offset: int, record: Any) -> Any:
        if record is None or isinstance(record, Claim):
            if record is not None:
                self.claimed(offset)
            return None
        self.k = record.k
        self.buffer.append(record)
        if not record.final:
            return None
        chunks, self.buffer = self.buffer, []
        return chunks

    patches.set(Honour, "read", read)


@plant("the owner ignores a gap", blows={"stranger_record": 4, "stranger_gap": 4})
def _(patches: Patches) -> None:
    def reported(self: Commits, k: int, offset: int, error: str | None) -> None:
        before(self, k, self._claim + k if error is None and offset >= 0 else offset, error)

    before = patches.set(Commits, "_reported", reported)


@plant("a failed append is ignored", faults={"append_lost": 0.05})
def _(patches: Patches) -> None:
    def reported(self: Commits, k: int, offset: int, error: str | None) -> None:
        before(self, k, self._claim + k if error is not None else offset, None)

    before = patches.set(Commits, "_reported", reported)


@plant("k alone is the rule", blows={"stranger_record": 4, "stranger_gap": 4}, faults={"append_twice": 0.02})
def _(patches: Patches) -> None:
    def follows(self: Honour, claim: int, k: int, offset: int) -> bool:
        if self.dead or claim != self.claim or k != self.k + 1:
            self.dead = True
            self.buffer = []
            return False
        self.k = k
        return True

    patches.set(Honour, "follows", follows)


@plant("the offset alone is the rule", faults={"append_lost": 0.05, "append_late": 0.05})
def _(patches: Patches) -> None:
    def follows(self: Honour, claim: int, k: int, offset: int) -> bool:
        if claim != self.claim or offset != self.claim + k:
            return False
        self.k = k
        return True

    def read(self: Honour, offset: int, record: Any) -> Any:
        return None if record is None else before(self, offset, record)

    patches.set(Honour, "follows", follows)
    before = patches.set(Honour, "read", read)


@plant("the store is written before the acknowledgement")
def _(patches: Patches) -> None:
    def take(self: Overlay) -> Any:
        changes = before(self)
        self.store.write(changes)
        return changes

    before = patches.set(Overlay, "take", take)


@plant("the store knows no claim", blows={"crash": 4})
def _(patches: Patches) -> None:
    def begin(self: Follower, *given: Any) -> None:
        before(self, *given)
        self._rule = Honour()

    before = patches.set(Follower, "__init__", begin)


@plant("a stored position is that of a chunk", limits={"chunk_bytes": 250}, blows=_CRASHES, faults=_LATE)
def _(patches: Patches) -> None:
    patches.set(Honour, "between_commits", property(lambda self: True))


@plant("a machine runs before its claim is read back", blows=_CRASHES, faults=_LATE)
def _(patches: Patches) -> None:
    def reported(self: Ownership, uuid: str, offset: int, error: str | None) -> None:
        if error is not None or offset < 0 or uuid != self._uuid or self.restore is None:
            before(self, uuid, offset, error)
            return
        follower = self.restore.follower
        assert follower is not None
        follower.last_claim = Claim(self._around.node, uuid)
        follower.last_claim_at_ms = self._around.clock.wall_ms()
        follower._rule.claimed(offset)
        self._claim_read(offset, self._around.clock.monotonic_ms())

    before = patches.set(Ownership, "_claim_reported", reported)


@plant("the chunks before a claim are kept", limits={"chunk_bytes": 250}, blows=_CRASHES, faults=_LATE)
def _(patches: Patches) -> None:
    def claimed(self: Honour, offset: int) -> None:
        chunks = self.buffer
        before(self, offset)
        self.buffer = chunks

    before = patches.set(Honour, "claimed", claimed)


# --- between partitions ---------------------------------------------------------------------------------------------


@plant("only the failed message is sent again", faults={"append_lost": 0.05})
def _(patches: Patches) -> None:
    def reported(self: Outbox, target: Any, in_round: int, entry: Any, failed: int | None) -> None:
        if failed is None or self._closed:
            before(self, target, in_round, entry, failed)
            return
        first = sum(batch[0] for batch in list(target.batches)[: target.batches.index(entry)])
        rows = list(target.rows)[first : first + entry[0]]
        again = [record for _, records in rows for record in records]
        report = partial(self._reported, target, in_round, entry)
        self._loop.call_later(0.05, self._appender.send, again, report)

    before = patches.set(Outbox, "_reported", reported)


@plant("prev is kept in memory", blows={"crash": 3, "rebalance": 3})
def _(patches: Patches) -> None:
    def chain(self: Any, letter: bytes, target: int) -> tuple[int, int]:
        memory = self.__dict__.setdefault("memory_of_the_plant", {})
        key = letter + target.to_bytes(4, "big")
        seq = self.next_order()
        prev, memory[key] = memory.get(key, NONE_BEFORE), seq
        return seq, prev

    patches.set(OpenTurn, "_chain", chain)


def _leave_out(patches: Patches, table: bytes) -> None:
    def close(self: OpenTurn) -> Any:
        rows, sends, effects = before(self)
        rows[:] = [row for row in rows if row[0][:1] != table]
        return rows, sends, effects

    before = patches.set(OpenTurn, "close", close)


@plant("the outbox is not in the state", blows={"crash": 3})
def _(patches: Patches) -> None:
    _leave_out(patches, b"O")


@plant("what was applied last is not in the commit", blows={"crash": 3})
def _(patches: Patches) -> None:
    _leave_out(patches, b"L")


@plant("the watermark is what was sent", blows={"crash": 3}, faults={"append_lost": 0.05})
def _(patches: Patches) -> None:
    def push(self: Outbox, sends: Any) -> None:
        before(self, sends)
        self.done += [key for key, _ in sends]

    before = patches.set(Outbox, "push", push)


@plant(
    "late acknowledgements count",
    faults={"append_lost": 0.06},
    limits={"resend_ms": 50, "turn_inputs": 1, "commits_in_flight": 3},
)
def _(patches: Patches) -> None:
    def reported(self: Outbox, target: Any, in_round: int, entry: Any, failed: int | None) -> None:
        if self._closed or in_round == target.round or failed is not None:
            before(self, target, in_round, entry, failed)
            return
        for _ in range(min(entry[0], len(target.rows) - target.sent)):
            self.done.append(target.rows.popleft()[0])
            self.pending -= 1

    before = patches.set(Outbox, "_reported", reported)


@plant("seq without prev", faults={"append_lost": 0.05})
def _(patches: Patches) -> None:
    def commands_record(self: Inputs, record: Record) -> None:
        envelope = ENVELOPE.decode(record.value or b"")
        if envelope.source >= 0:
            last = self._turn.state.last_applied.get(b"c" + envelope.source.to_bytes(4, "big"))
            envelope.prev = NONE_BEFORE if last is None else last
            record = record._replace(value=ENVELOPE.encode(envelope))
        commands(self, record)

    def event_record(self: Inputs, record: Record) -> None:
        headers = []
        for name, value in record.headers or ():
            if name == HEADER_SOURCE:
                sender, seq, _ = (value or b"").split(b":")
                place = record.partition.to_bytes(4, "big") + int(sender).to_bytes(4, "big")
                last = self._turn.state.last_applied.get(b"e" + place)
                value = b"%b:%b:%d" % (sender, seq, NONE_BEFORE if last is None else last)
            headers.append((name, value))
        events(self, record._replace(headers=headers))

    commands = patches.set(Inputs, "commands_record", commands_record)
    events = patches.set(Inputs, "event_record", event_record)


@plant("a gap between published events is accepted at once", faults={"append_lost": 0.05})
def _(patches: Patches) -> None:
    def is_new(self: Inputs, partition: int, source: bytes) -> bool:
        sender, seq, _ = source.split(b":")
        place = partition.to_bytes(4, "big") + int(sender).to_bytes(4, "big")
        last = self._turn.state.last_applied.get(b"e" + place)
        return bool(before(self, partition, b"%b:%b:%d" % (sender, seq, NONE_BEFORE if last is None else last)))

    before = patches.set(Inputs, "_is_new", is_new)


@plant(
    "what a neighbour was handed counts as applied", blows={"crash": 3, "stranger_gap": 4}, limits={"short_way": True}
)
def _(patches: Patches) -> None:
    def take(self: Arrivals, source: int, batch: Any, report: Any) -> None:
        self._loop.call_soon(report, None)
        before(self, source, batch, lambda failed: None)

    before = patches.set(Arrivals, "take", take)


@plant("what a neighbour was handed overtakes what is in the log", blows={"rebalance": 4}, limits={"short_way": True})
def _(patches: Patches) -> None:
    patches.set(Arrivals, "_is_next", lambda self, source, envelope: True)


# --- snapshots ------------------------------------------------------------------------------------------------------


@plant("the log is trimmed before SnapshotDone", limits={"snapshot_bytes": 1_500, "snapshot_check_ms": 50})
def _(patches: Patches) -> None:
    def written(self: SnapshotSchedule, bookmark: Any, begin: int, size: int) -> None:
        self.trim(bookmark.position, begin, self._machine.positions.commands)
        before(self, bookmark, begin, size)

    before = patches.set(SnapshotSchedule, "_written", written)


@plant(
    "a lost chunk of a snapshot is not noticed",
    faults={"append_lost": 0.05},
    limits={"snapshot_bytes": 1_500, "snapshot_chunk_bytes": 150, "snapshot_check_ms": 50},
)
def _(patches: Patches) -> None:
    def sent(self: SnapshotWriter, failed: int | None) -> None:
        before(self, None)

    before = patches.set(SnapshotWriter, "_sent", sent)


def _expiring(topic: str) -> Callable[[Patches], None]:
    def change(patches: Patches) -> None:
        def retention(self: Any) -> None:
            simulation = self._simulation
            name = getattr(simulation.world.topics, topic)
            for partition in simulation.world.cluster.topics[name].partitions:
                simulation.world.cluster.expire(name, partition.number, partition.end)

        patches.set(Blows, "_retention", retention)

    return change


for _topic in ("commands", "changelog", "snapshots"):
    plant(f"time deletes records of the {_topic} topic", blows={"retention": 9, "crash": 4, "disk_lost": 3})(
        _expiring(_topic)
    )


# --- events, runs and their code ------------------------------------------------------------------------------------


@plant("event ids are not looked at")
def _(patches: Patches) -> None:
    patches.set(apply_module, "first_starts", lambda turn, event, function_ids: function_ids)


@plant("code is told of a step before the commit is honoured")
def _(patches: Patches) -> None:
    def make_turn(self: Machine, now_ms: int) -> None:
        before(self, now_ms)
        for kind, run_id, step, row in self.commits._flight[-1].effects:
            if kind == RESOLVE and row is not None:
                self._execution.resolve(self, run_id, step, row)

    before = patches.set(Machine, "_make_turn", make_turn)


@plant("a new owner does not know which code to start", blows={"crash": 4, "rebalance": 3})
def _(patches: Patches) -> None:
    def start_run(turn: Any, start: Any) -> str:
        run_id: str = before(turn, start)
        turn.state.runs.suspend(run_id.encode(), turn.state.runs.get(run_id.encode()))
        return run_id

    before = patches.set(apply_module, "start_run", start_run)


@plant("a row whose bytes are the same is taken for the same write", limits={"flush_rows": 1, "commits_in_flight": 3})
def _(patches: Patches) -> None:
    def flush(self: Overlay) -> None:
        changes = dict(self._honoured)
        before(self)
        for key, raw in changes.items():
            table, own_key = self._by_byte[key[0]], key[1:]
            if own_key in table.unflushed and table.unflushed[own_key] == raw:
                del table.unflushed[own_key]
                table.cached.pop(own_key, None)

    before = patches.set(Overlay, "flush", flush)


@plant("timers fire before what stood in the log at the claim is applied", blows={"crash": 4, "clock_jump": 1})
def _(patches: Patches) -> None:
    def start(self: Machine, ends: Any, events_partitions: Any) -> None:
        before(self, ends, events_partitions)
        self._timers_held = False

    before = patches.set(Machine, "start", start)


@plant("the time of a turn is the node's own", blows={"clock_rate": 4, "crash": 3})
def _(patches: Patches) -> None:
    patches.set(Machine, "now_ms", lambda self: self._around.clock.wall_ms())


@plant("every row is kept only in memory", blows={"crash": 2})
def _(patches: Patches) -> None:
    def take(self: Rows[Any], changes: Any) -> None:
        before(self, [])

    before = patches.set(Rows, "take", take)
