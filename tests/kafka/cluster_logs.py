"""Kafka's topics read raw, and what they say by rules of the tests' own.

The rule of what counts on a changelog is written down here once more, from its description and not from the engine's
code, so that a mistake in one of them shows.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from headrace.records.history import Lifecycle, decode_lifecycle

_SEQ_BITS = 20  # a record's seq is the offset of its commit, shifted by so much, and a number within the commit


class TopicLog:
    """All that stands on a topic, read on from where it was read to before."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": "tests",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "reconnect.backoff.max.ms": 500,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
        self._consumer = Consumer(settings)
        self._topic = topic
        self._next: dict[int, int] = {}

    def read(self) -> list[Message]:
        """Read everything that was written since; a broker that is away for a while is waited for."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._read(deadline)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise

    def _read(self, deadline: float) -> list[Message]:
        if not self._next:
            found = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic].partitions
            self._consumer.assign([TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in found])
            self._next = dict.fromkeys(found, 0)
        ends = {}
        for p in self._next:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=10)
            ends[p] = high
            self._next[p] = max(self._next[p], low)
        messages: list[Message] = []
        while any(self._next[p] < end for p, end in ends.items()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{self._topic} stands at {self._next}, its ends are {ends}")
            for message in self._consumer.consume(500, 0.1):
                if message.error() is None:
                    messages.append(message)
                    self._next[message.partition() or 0] = (message.offset() or 0) + 1
        return messages

    def bounds(self, partition: int) -> tuple[int, int]:
        """Tell the first offset that is still there, and the next one to be written."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=10)
        return low, high

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()


class History:
    """The lifecycle records, repeats taken out: a record is its partition and seq, and a repeat is equal to it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._log = TopicLog(bootstrap, f"{prefix}.history")
        self._values: dict[tuple[int, int], bytes] = {}
        self.records: list[Lifecycle] = []
        self.repeats = 0
        self.ended: dict[str, Lifecycle] = {}

    def read(self) -> None:
        """Read on."""
        for message in self._log.read():
            value = message.value()
            assert value is not None
            record = decode_lifecycle(value)
            key = (record.partition, record.seq)
            if key in self._values:
                assert self._values[key] == value, f"{key} stands twice on the history, differently"
                self.repeats += 1
                continue
            self._values[key] = value
            self.records.append(record)
            if record.kind == "RunEnded":
                before = self.ended.get(record.run_id)
                assert before is None, f"{record.run_id} ended twice: {before} and {record}"
                self.ended[record.run_id] = record

    def of_kind(self, kind: str) -> list[Lifecycle]:
        """List the records of one kind, in the order in which they were read."""
        return [record for record in self.records if record.kind == kind]

    def ended_runs(self, *functions: str) -> int:
        """Read on; count the runs of these functions that have ended."""
        self.read()
        return sum(record.function_id in functions for record in self.ended.values())

    def close(self) -> None:
        """Let the consumer go."""
        self._log.close()


@dataclass
class Commit:
    """One commit that counts."""

    partition: int
    offset: int  # of its first record
    claim: int
    node: str
    at_ms: int  # when its last record was appended


@dataclass
class Claimed:
    """One claim."""

    partition: int
    offset: int
    node: str
    at_ms: int


@dataclass
class Written:
    """What one commit did to rows of the tables that were asked for; None where it deleted one."""

    partition: int
    at_ms: int
    rows: list[tuple[bytes, bytes | None]]


@dataclass
class Changelog:
    """What the changelog says: claims, commits that count, how many records do not, and the rows that result."""

    claims: list[Claimed] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    refused: list[tuple[int, int, int]] = field(default_factory=list)  # partition, offset, at_ms
    rows: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)  # of the tables that were asked for, in order

    def commits_of(self, partition: int) -> list[Commit]:
        """List one partition's commits."""
        return [commit for commit in self.commits if commit.partition == partition]

    def longest_pause_ms(self, partition: int, since_ms: int = 0, until_ms: int = 1 << 62) -> int:
        """Measure the longest time between two commits that follow each other."""
        times = [c.at_ms for c in self.commits_of(partition) if since_ms <= c.at_ms <= until_ms]
        return max((b - a for a, b in itertools.pairwise(times)), default=0)


def read_changelog(bootstrap: str, prefix: str, tables: bytes = b"") -> Changelog:
    """Read the whole changelog, which must not have been trimmed; `tables` are those whose every change is kept."""
    log = TopicLog(bootstrap, f"{prefix}.changelog")
    by_partition: dict[int, list[Message]] = {}
    try:
        for message in log.read():
            by_partition.setdefault(message.partition() or 0, []).append(message)
    finally:
        log.close()
    found = Changelog()
    for partition, messages in sorted(by_partition.items()):
        assert messages[0].offset() == 0, f"the changelog of partition {partition} was trimmed"
        _judge(partition, messages, found, tables)
    return found


def _judge(partition: int, messages: Iterable[Message], found: Changelog, tables: bytes) -> None:
    """Apply the rule: the latest claim, k one after the other, and the offset exactly claim + k."""
    rows = found.rows.setdefault(partition, {})
    claim: Claimed | None = None
    k = 0
    gathered: list[list[Any]] = []
    for message in messages:
        offset, at_ms = message.offset() or 0, message.timestamp()[1]
        record = _decoded(message.value())
        if record is not None and record[0] == 1:
            claim, k, gathered = Claimed(partition, offset, record[1], at_ms), 0, []
            found.claims.append(claim)
            continue
        counts = record is not None and claim is not None and record[1:3] == [claim.offset, k + 1]
        if not counts or claim is None or record is None or offset != claim.offset + k + 1:
            claim, gathered = None, []
            found.refused.append((partition, offset, at_ms))
            continue
        k += 1
        gathered.append(record)
        if record[5]:
            first = offset - len(gathered) + 1
            found.commits.append(Commit(partition, first, claim.offset, claim.node, at_ms))
            changed = [row for chunk in gathered for row in chunk[6]]
            for key, value in changed:
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
            kept = [(key, value) for key, value in changed if key[0] in tables]
            if kept:
                found.written.append(Written(partition, at_ms, kept))
            gathered = []


def _decoded(value: bytes | None) -> list[Any] | None:
    if not value or value[0] != 1:
        return None
    try:
        record = msgspec.msgpack.decode(value[1:])
    except msgspec.MsgspecError:
        return None
    return record if isinstance(record, list) else None


@dataclass
class Published:
    """One record of the events topic."""

    partition: int
    offset: int
    at_ms: int
    id: str  # what the header says, for those that steps published
    source: str
    name: str
    n: Any
    given_id: str
    key: bytes | None


def read_events(bootstrap: str, prefix: str) -> list[Published]:
    """Read the events that are JSON objects, in the order of their partitions."""
    log = TopicLog(bootstrap, f"{prefix}.events")
    try:
        messages = log.read()
    finally:
        log.close()
    found = []
    for message in messages:
        try:
            event = json.loads(message.value() or b"")
        except (ValueError, RecursionError):
            continue
        headers = {name: bytes(value).decode() for name, value in message.headers() or []}
        name, data = (event.get("name"), event.get("data")) if isinstance(event, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(data, dict):
            continue
        identity, source = headers.get("headrace-id", ""), headers.get("headrace-source", "")
        place = message.partition() or 0, message.offset() or 0
        given_id, key, at_ms = event.get("id") or "", message.key(), message.timestamp()[1]
        found.append(Published(*place, at_ms, identity, source, name, data.get("n"), given_id, key))
    return found


def commit_offset(seq: int) -> int:
    """Tell at which offset the commit stands that a seq belongs to."""
    return seq >> _SEQ_BITS
