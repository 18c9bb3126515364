"""A partition's state without a log: turns are opened, applied and taken for honoured at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headrace.adapters.memory_store import MemoryStores
from headrace.records.changelog import Bookmark
from headrace.records.definitions import Definition, encode_definition
from headrace.records.history import SEQ_BITS, Lifecycle, decode_lifecycle
from headrace.records.ids import derive_ulid
from headrace.records.rows import KnownEvent, split_step_name
from headrace.worker.layout import Topics
from headrace.worker.overlay import Overlay
from headrace.worker.turn import Effect, OpenTurn, OutboxRow

TOPICS = Topics("test")


def known_event(
    name: str = "order/created",
    *,
    given_id: str = "",
    number: int = 0,
    at_ms: int = 1_000,
    ts_ms: int | None = None,
    key: bytes | None = None,
    data: bytes = b"{}",
) -> KnownEvent:
    """Make an event as the machine knows it; `number` tells events apart."""
    json = b'{"name":"%s","data":%s}' % (name.encode(), data)
    ulid = derive_ulid(at_ms, b"event%d" % number)
    return KnownEvent(ulid, name, json, at_ms if ts_ms is None else ts_ms, at_ms, given_id, key)


class Partition:
    """The real overlay and the real turn over a store in memory; every commit is honoured as soon as it is made."""

    def __init__(self, *definitions: Definition, partitions: int = 4, partition: int = 0) -> None:
        self.store = MemoryStores().open(0)
        self.overlay = Overlay(self.store)
        self.open_turn = OpenTurn(partition, partitions, TOPICS, self.overlay, lambda name: name in self.wanted)
        self.wanted: set[str] = set()
        self.position = 1
        self.effects: list[Effect] = []
        self.sends: list[OutboxRow] = []
        self.rows_written = 0
        with self.turn(0) as turn:
            for definition in definitions:
                turn.state.definitions.put(definition.id.encode(), encode_definition(definition))

    @contextmanager
    def turn(self, now_ms: int) -> Iterator[OpenTurn]:
        """Open a turn at a time; its rows, sends and effects count when the block ends."""
        self.open_turn.open(now_ms, self.position)
        yield self.open_turn
        rows, sends, effects = self.open_turn.close()
        self.position += 1
        self.effects = effects
        self.sends += [row for _, row in sends]
        self.rows_written = len(rows)
        self.overlay.honour(rows, Bookmark("topic-id", self.position, 0, self.position - 1, False, 0))
        self.overlay.flush()

    @property
    def history(self) -> list[Lifecycle]:
        """Every lifecycle record so far."""
        values = [value for row in self.sends if row.topic == TOPICS.history for _, value, _ in row.records]
        return [decode_lifecycle(value or b"") for value in values]

    @property
    def verdicts(self) -> list[Lifecycle]:
        """Every verdict on an event so far."""
        return [record for record in self.history if record.kind == "EventVerdict"]

    def sent_to(self, topic: str) -> list[tuple[int, bytes | None, bytes, list[tuple[str, bytes]]]]:
        """Every record for a topic so far: partition, key, value, headers."""
        return [
            (row.partition, key, value or b"", headers)
            for row in self.sends
            if row.topic == topic
            for key, value, headers in row.records
        ]

    def count(self, table: bytes) -> int:
        """How many rows of a table stand in the store."""
        return sum(1 for _ in self.store.scan(table, table + b"\xff" * 64))

    def everything(self) -> dict[bytes, bytes]:
        """The store without its bookmark."""
        return {key: value for key, value in self.store.scan(b"", b"\xff" * 9) if key != b"~"}


def seq_of(offset: int, number: int) -> int:
    """The number that a turn gives to its n-th thing, if its commit starts at this offset."""
    return (offset << SEQ_BITS) + number


def steps_of(partition: Partition, run_id: str) -> list[tuple[str, int]]:
    """The names of a live run's steps."""
    key = run_id.encode()
    return [split_step_name(row[len(key) :]) for row, _ in partition.overlay.steps.scan(key)]
