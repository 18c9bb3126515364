"""A turn: everything that has arrived is applied, and becomes one commit.

`OpenTurn` is what the pure rooms see of it (`headrace.state.Turn`). It collects what shall happen once the commit is
honoured; nothing happens before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headrace.adapters.seams import Outgoing
from headrace.functions.settings import is_paused, limits_key, pause_key, pause_name, read_limits, with_limits
from headrace.records.changelog import RowChange
from headrace.records.commands import ENVELOPE, Envelope, Travelling
from headrace.records.definitions import Definition, decode_definition
from headrace.records.events import HEADER_ID, HEADER_SOURCE
from headrace.records.history import SEQ_BITS, LifecycleWriter
from headrace.records.ids import partition_of
from headrace.records.limits import DEFAULTS, RunLimits
from headrace.records.rows import Phase, Step
from headrace.worker.counters import Counters
from headrace.worker.held_waits import HeldWaits
from headrace.worker.layout import Topics
from headrace.worker.overlay import Overlay

NONE_BEFORE = -1
FILL = "fill"  # in the place of a run id: what is read is a back-fill
_ROW_BYTES = 512 << 10

START, RESOLVE, STOP, LOOK_BACK, QUEUED = 0, 1, 2, 3, 4
# What is to be done with the run's code: (START, run id, b"", None) | (RESOLVE, run id, step, row) | (STOP, …);
# or for those who wait: (LOOK_BACK, "", shape key, None). QUEUED: it waits for a slot, see `young.py`.
Effect = tuple[int, str, bytes, Step | None]


OutboxRecord = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]  # key, value, headers


class OutboxRow(msgspec.Struct, array_like=True, gc=False):
    """What one row of the outbox sends to one partition of one topic, in order."""

    topic: str
    partition: int
    records: list[OutboxRecord]


class _Post:
    """What goes to one partition of one topic, gathered while the turn lasts: a row costs more than a record."""

    __slots__ = ("records", "size")

    def __init__(self) -> None:
        self.records: list[OutboxRecord] = []
        self.size = 0


_NO_HEADERS: list[tuple[str, bytes]] = []
_PACK = msgspec.msgpack.Encoder().encode
unpack_outbox_row = msgspec.msgpack.Decoder(OutboxRow).decode


def outgoings(row: OutboxRow) -> list[Outgoing]:
    """Make the records that a row of the outbox stands for."""
    topic, partition = row.topic, row.partition
    # Plain tuples in the shape of `Outgoing`: a named one costs three times as much, for every record of the history.
    return [(topic, partition, key, value, headers or None) for key, value, headers in row.records]  # type: ignore[misc]


class OpenTurn:
    """The turn that is being applied now. One object serves a machine for all its turns: `open`, apply, `close`."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        topics: Topics,
        state: Overlay,
        wanted: Callable[[str], bool],
        counters: Counters | None = None,
        limits: RunLimits = DEFAULTS,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self.partition = partition
        self.partitions = partitions
        self.topics = topics
        self.state = state
        self.held_waits = HeldWaits(state)
        self.wanted = wanted
        self.limits = limits
        self.now_ms = 0
        self.number = 0
        self.effects: list[Effect] = []
        self.local: list[Travelling] = []  # commands to oneself, applied in this turn
        self._queued: list[str] = []
        self._definitions: dict[str, Definition | None] = {}
        self._pauses: set[str] | None = None
        self._lifecycle = LifecycleWriter(partition).encode
        self._seq = 0
        self._history = _Post()
        self._posts: dict[tuple[str, int], _Post] = {}
        self._chained: dict[bytes, int] = {}  # the last seq of each chain that this turn has gone on with
        self._sends: list[tuple[bytes, OutboxRow]] = []

    def open(self, now_ms: int, first_offset: int) -> None:
        """Begin a turn whose commit will start at this offset of the changelog."""
        self.now_ms = now_ms
        self.number = first_offset
        self._seq = first_offset << SEQ_BITS
        self.effects = []
        self._sends = []

    def close(self) -> tuple[list[RowChange], list[tuple[bytes, OutboxRow]], list[Effect]]:
        """End it: the rows to commit, what the outbox shall send, and what shall happen with runs' code."""
        if self._queued:
            self._note_queued()
        if self._history.records:
            self._end_row(self.topics.history, self.partition, self._history)
        for (topic, target), post in self._posts.items():
            if post.records:
                self._end_row(topic, target, post)
        self._posts = {}
        for chain, seq in self._chained.items():
            self.state.last_sent.put(chain, seq)
        self._chained = {}
        outbox = self.state.outbox
        for key, row in self._sends:
            outbox.put_new(key, _PACK(row))
        return self.state.take(), self._sends, self.effects

    def _note_queued(self) -> None:
        queued, self._queued = self._queued, []
        for run_id in queued:  # most have got their slots in this very turn
            run = self.state.runs.get(run_id.encode())
            if run is not None and run.phase == Phase.QUEUED:
                self.effects.append((QUEUED, run_id, b"", None))

    def definition(self, function_id: str) -> Definition | None:
        """Return what the partition knows of a function."""
        known = self._definitions
        if function_id not in known:
            packed = self.state.definitions.get(function_id.encode())
            live = self.state.broadcasts.get(limits_key(function_id))
            definition = None if packed is None else decode_definition(packed)
            if definition is not None and live is not None:
                definition = with_limits(definition, read_limits(live))
            known[function_id] = definition
        return known[function_id]

    def paused(self, function_id: str, place: bytes | None) -> str:
        """Name the pause that holds new runs of a function with this key, or ""."""
        if self._pauses is None:
            prefix = pause_key("")
            found = self.state.broadcasts.scan(prefix)
            self._pauses = {key[len(prefix) :].decode() for key, value in found if is_paused(value)}
        if not self._pauses:
            return ""
        if function_id in self._pauses:
            return function_id
        name = "" if place is None else pause_name(function_id, place)
        return name if name in self._pauses else ""

    def paused_at_all(self, function_id: str) -> bool:
        """Whether the function, or one of its keys, is paused."""
        self.paused(function_id, None)
        return any(name.partition("/")[0] == function_id for name in self._pauses or ())

    def definitions_changed(self) -> None:
        """Read definitions and settings from the state again."""
        self._definitions = {}
        self._pauses = None

    def next_order(self) -> int:
        """Return a number greater than any that this partition gave before."""
        self._seq += 1
        return self._seq

    def history(self, kind: int, run_id: str, function_id: str, **more: Any) -> None:
        """Write a lifecycle record."""
        self._seq += 1
        self.counters.history[kind] += 1
        value = self._lifecycle(kind, self.now_ms, self._seq, run_id, function_id, more)
        post = self._history
        post.records.append((run_id.encode() or None, value, _NO_HEADERS))
        post.size += len(value)
        if post.size > _ROW_BYTES:
            self._end_row(self.topics.history, self.partition, post)

    def _send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        post = self._posts.get((topic, partition))
        if post is None:
            post = self._posts[topic, partition] = _Post()
        post.records.append((key, value, headers))
        post.size += 0 if value is None else len(value)
        if post.size > _ROW_BYTES:
            self._end_row(topic, partition, post)

    def _end_row(self, topic: str, partition: int, post: _Post) -> None:
        # Rows of a target are sent in the order of their keys, so a later one has the greater number.
        self._sends.append((self.next_order().to_bytes(8, "big"), OutboxRow(topic, partition, post.records)))
        post.records = []
        post.size = 0

    def execute(self, run_id: str) -> None:
        """Have the run's code started once this turn's commit is honoured."""
        self.effects.append((START, run_id, b"", None))

    def queued(self, run_id: str) -> None:
        """Note that a run waits for a slot."""
        self._queued.append(run_id)

    def resolve(self, run_id: str, step: bytes, row: Step) -> None:
        """Tell the run's code what became of a step, once this turn's commit is honoured."""
        self.effects.append((RESOLVE, run_id, step, row))

    def stop(self, run_id: str) -> None:
        """Interrupt the run's code once this turn's commit is honoured."""
        self.effects.append((STOP, run_id, b"", None))

    def look_back(self, shape: bytes) -> None:
        """Have the log read for a shape once this turn's commit is honoured."""
        self.effects.append((LOOK_BACK, "", shape, None))

    def fill_back(self, key: bytes) -> None:
        """Have the log read for a back-fill, or go on with it, once this turn's commit is honoured."""
        self.effects.append((LOOK_BACK, FILL, key, None))

    def _chain(self, letter: bytes, target: int) -> tuple[int, int]:
        # seq and prev of the next record to a target; prev stands in the state, so a new owner goes on with the chain.
        key = letter + target.to_bytes(4, "big")
        prev = self._chained.get(key)
        if prev is None:
            prev = self.state.last_sent.get(key)
        seq = self._chained[key] = self.next_order()
        return seq, NONE_BEFORE if prev is None else prev

    def publish(self, event_id: str, json: bytes, key: bytes | None, place: bytes) -> None:
        """Append an event to the events topic, once."""
        target = partition_of(place, self.partitions)
        seq, prev = self._chain(b"e", target)
        headers = [
            (HEADER_ID, event_id.encode()),
            (HEADER_SOURCE, b"%d:%d:%d" % (self.partition, seq, prev)),
        ]
        self._send(self.topics.events, target, key, json, headers)

    def broadcast(self, key: bytes, value: bytes | None) -> None:
        """Append a record to the functions topic, for every partition."""
        self._send(self.topics.functions, 0, key, value, _NO_HEADERS)

    def command(self, partition: int, command: Travelling) -> None:
        """Send a command to another partition, or apply it in this turn if it is this one."""
        if partition == self.partition:
            self.local.append(command)
            return
        seq, prev = self._chain(b"c", partition)
        value = ENVELOPE.encode(Envelope(self.partition, seq, prev, command))
        self._send(self.topics.commands, partition, None, value, _NO_HEADERS)

    def dead(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        """Put a record that nobody can use on the dead-letter topic, with its reason."""
        self._send(self.topics.dead, self.partition, key, value, list(headers))
