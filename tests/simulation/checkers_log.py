"""What must hold of the log, the stores and the snapshots: one class for each invariant, with a verdict of its own.

They compare what they see with the `Oracle`s; none of them asks the engine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import msgspec

from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.seams import Store
from headrace.worker.layout import Topics
from tests.simulation.oracle import Commit, Oracle, Runs, Violation, honoured_from_scratch, unpack
from tests.simulation.workload import Sent, ends_as, started_by

EVERY_KEY = (b"", b"\xff" * 9)
STORE_ROW = b"~"


class I1Inputs:
    """Every input is applied exactly once: positions and time never go back, and each event has the runs it should."""

    def __init__(self, oracles: list[Oracle]) -> None:
        self._positions: dict[int, Any] = {}
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        for key, raw in commit.rows:
            if key == b"P" and raw is not None:
                now = unpack(raw)  # [now_ms, commands, functions, control, {partition: events}, id of the events topic]
                before = self._positions.get(oracle.number)
                if before is not None:
                    back = [a < b for a, b in zip(now[:4], before[:4], strict=True)]
                    if now[5] == before[5]:
                        back += [now[4].get(q, -1) < position for q, position in before[4].items()]
                    if any(back):
                        raise Violation(f"I1: positions of partition {oracle.number} went back: {before} to {now}")
                self._positions[oracle.number] = now

    def events_position(self, partition: int) -> int:
        """Up to where the events of a partition are applied, by an honoured commit."""
        positions = self._positions.get(partition)
        return 0 if positions is None else int(positions[4].get(partition, 0))

    def finish(self, sent: list[Sent], runs: Runs) -> dict[str, str]:
        """Compare the runs with the events; gives the run ids that are accounted for, with how each must end."""
        expected: dict[str, str] = {}
        groups: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        for event in sent:
            for function_id in [] if event.poison else started_by(event.name, event.data):
                # Equal ids under one key are one event; without a key, the id is the key.
                own = event.given_id and f"{event.given_id}\0{event.key or event.given_id}"
                groups[function_id, own or f"number {event.data['n']}"].append(event)
        found: dict[tuple[str, int], list[str]] = defaultdict(list)
        for run_id, life in runs.lives.items():
            number = (json.loads(life.event_json).get("data") or {}).get("n", -1)
            found[life.function_id, number].append(run_id)
        for (function_id, own), events in groups.items():
            run_ids = [run_id for n in {event.data["n"] for event in events} for run_id in found[function_id, n]]
            # A record that is in the log twice is two events, unless both wait for their time under the id they share.
            due = {1} if events[0].given_id else {len(events)} | ({1} if events[0].ts_ms else set())
            if len(run_ids) not in due:
                raise Violation(f"I1: {function_id} has the runs {run_ids} for the event {own} {events}")
            for run_id in run_ids:
                expected[run_id] = events[0].ends or ends_as(events[0].name, events[0].data)
        return expected


class I2Store:
    """The local store never leads the changelog: at every write it is what the log makes at its bookmark.

    The same look finds I7 (a restored store is equal to the lost one), and I3 on the owner's side: an owner that
    believes in a commit which readers do not honour writes it to its store.
    """

    def __init__(self, oracles: list[Oracle]) -> None:
        self._oracles = oracles
        self._known: dict[tuple[str, int], tuple[int, dict[bytes, bytes]]] = {}
        self.looks = 0
        self._loading: set[tuple[str, int]] = set()
        self.snapshots_loaded = 0

    def wiped(self, node: str, partition: int) -> None:
        """A store is empty now."""
        self._known.pop((node, partition), None)
        self._loading.discard((node, partition))

    def stored(self, node: str, partition: int, store: Store) -> None:
        """A store was written."""
        packed = store.get(STORE_ROW)
        if packed is None:
            self._loading.add((node, partition))
            return  # a snapshot is being loaded: the store stands nowhere yet
        self.looks += 1
        _, position, claim, k, dead, _ = unpack(packed[1:])
        oracle = self._oracles[partition]
        context = oracle.contexts.get(position)
        if context is None:
            raise Violation(
                f"I2: the store of {partition} at {node} stands at {position}, the log at {max(oracle.contexts)}"
            )
        if context != (claim, k, not dead):
            raise Violation(
                f"I3: the store of {partition} at {node} has ({claim}, {k}, {dead}) at {position}, not {context}"
            )
        known = self._known.get((node, partition))
        expected = oracle.state_at(position, known)
        if (node, partition) in self._loading:
            self._loading.discard((node, partition))
            self.snapshots_loaded += 1
        self._known[node, partition] = (position, expected)
        rows = dict(store.scan(*EVERY_KEY))
        del rows[STORE_ROW]
        if rows != expected:
            raise Violation(f"I2: the store of {partition} at {node} at {position}: {difference(rows, expected)}")


class I3Owners:
    """No two owners have a commit honoured after the later claim; whoever reads the whole log afresh agrees."""

    def __init__(self, oracles: list[Oracle]) -> None:
        self._oracles = oracles

    def look(self) -> None:
        """Derive the commits that count from the raw log again, and compare."""
        for oracle in self._oracles:
            afresh = honoured_from_scratch(oracle.log) if oracle.log else []
            followed = [commit.position for commit in oracle.commits]
            if afresh != followed:
                raise Violation(f"I3: two readers of {oracle.number} honour {followed} and {afresh}")
            claims = [claim for claim, _ in oracle.claims]
            for commit in oracle.commits:
                if commit.claim != max(c for c in claims if c < commit.position):
                    raise Violation(f"I3: the commit at {commit.position} of {oracle.number} counts for {commit.claim}")


class I5Commands:
    """Between partitions everything arrives once and in order; nothing leaves the outbox before it has landed.

    A command that a neighbour was handed has landed when the commit counts that has applied it.
    """

    def __init__(self, oracles: list[Oracle], topics: Topics, cluster: MemoryCluster) -> None:
        self._topics = {b"c": topics.commands, b"e": topics.events}
        self._cluster = cluster
        self.sent: dict[tuple[bytes, int, int], list[int]] = defaultdict(list)  # letter, source, target → seqs
        self._applied: dict[tuple[bytes, int, int], int] = {}
        self._rows: dict[bytes, Any] = {}
        self._landed: dict[tuple[str, int], set[Any]] = defaultdict(set)
        self.forwarded = 0  # commands from one partition to another
        self.handed = 0  # of these, without the log
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def landed(self, topic: str, partition: int, record: Any) -> None:
        """A record is in the log."""
        self._landed[topic, partition].add(content(record.key, record.value, record.headers or []))

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        for key, raw in sorted(commit.rows):
            if key[:1] == b"O":
                place = b"%d:" % oracle.number + key
                if raw is None:
                    self._left(self._rows.pop(place, None))
                else:
                    self._rows[place] = unpack(raw)
                    self._posted(oracle, self._rows[place])
            elif key[:1] == b"L" and raw is not None and len(key) > 5:
                self._advanced(oracle, key, unpack(raw))

    def _posted(self, oracle: Oracle, row: Any) -> None:
        topic, partition, records = row
        for _, value, headers in records:
            if topic == self._topics[b"c"]:
                source, seq = unpack(value[1:])[:2]
                self.sent[b"c", source, partition].append(seq)
                self.forwarded += 1
            elif topic == self._topics[b"e"]:
                source, seq, _ = (int(part) for part in dict(headers)["headrace-source"].split(b":"))
                self.sent[b"e", source, partition].append(seq)
            else:
                continue
            if source != oracle.number:
                raise Violation(f"I5: partition {oracle.number} sends as {source}")

    def _left(self, row: Any) -> None:
        if row is not None:
            topic, partition, records = row
            missing = [record for record in records if content(*record) not in self._landed[topic, partition]]
            if topic == self._topics[b"c"]:
                by_hand = [record for record in missing if self._is_applied(partition, record[1])]
                self.handed += len(by_hand)
                missing = [record for record in missing if record not in by_hand]
            if missing:
                raise Violation(f"I5: the outbox has forgotten {missing} before it was in {topic}[{partition}]")

    def _is_applied(self, target: int, value: bytes) -> bool:
        source, seq = unpack(value[1:])[:2]
        return bool(seq <= self._applied.get((b"c", source, target), -1))

    def _advanced(self, oracle: Oracle, key: bytes, seq: int) -> None:
        letter = key[1:2]
        if letter == b"c":
            source, target = int.from_bytes(key[2:6], "big"), oracle.number
        elif letter == b"e":
            target, source = int.from_bytes(key[2:6], "big"), int.from_bytes(key[6:10], "big")
        else:
            return
        chain = (letter, source, target)
        if seq not in self.sent[chain] or seq <= self._applied.get(chain, -1):
            raise Violation(f"I5: {chain} has applied {seq} after {self._applied.get(chain)}; sent {self.sent[chain]}")
        self._applied[chain] = seq

    def finish(self) -> None:
        """At rest, everything that was sent is applied."""
        for chain, seqs in self.sent.items():
            if seqs != sorted(seqs) or self._applied.get(chain) != seqs[-1]:
                raise Violation(f"I5: {chain} has sent {seqs} and applied up to {self._applied.get(chain)}")


class I7Snapshots:
    """A snapshot is equal to the prefix of the log that it stands for; only a complete one permits trimming."""

    def __init__(self, oracles: list[Oracle], topics: Topics) -> None:
        self._oracles = oracles
        self._topics = topics
        self._open: dict[str, Any] = {}
        self.complete: dict[int, list[tuple[int, int]]] = defaultdict(list)  # by partition: (begin offset, position)

    def landed(self, partition: int, record: Any) -> None:
        """A record is on the snapshots topic."""
        value = record.value or b""
        try:
            parsed = unpack(value[1:]) if value[:1] == b"\x01" else None
        except msgspec.MsgspecError:
            parsed = None
        if not isinstance(parsed, list):
            return
        kind, uuid = parsed[0], parsed[1]
        if kind == 1:
            self._open[uuid] = (record.offset, parsed[2], {})
        elif kind == 2 and uuid in self._open:
            self._open[uuid][2][parsed[2]] = parsed[3]
        elif kind == 3 and uuid in self._open:
            self._end(partition, self._open.pop(uuid), parsed)

    def _end(self, partition: int, begun: Any, end: Any) -> None:
        offset, bookmark, chunks = begun
        if sorted(chunks) != list(range(end[2])):
            return  # chunks are missing: it is none
        position = bookmark[1]
        oracle = self._oracles[partition]
        rows = {row[0]: row[1] for number in sorted(chunks) for row in chunks[number]}
        expected = oracle.state_at(position)
        if rows != expected or oracle.contexts.get(position) != (bookmark[2], bookmark[3], not bookmark[4]):
            raise Violation(f"I7: the snapshot of {partition} at {position}: {difference(rows, expected)}")
        self.complete[partition].append((offset, position))

    def trimming(self, topic: str, partition: int, before: int, snapshots_start: int, log_start: int) -> None:
        """An owner trims."""
        oracle = self._oracles[partition]
        whole = [place for place in self.complete[partition] if place[0] >= snapshots_start]
        if topic == self._topics.changelog:
            done = any(c.snapshot_upto >= before for c in oracle.commits) and any(p >= before for _, p in whole)
        elif topic == self._topics.snapshots:
            done = any(begin >= before and position >= log_start for begin, position in whole)
        else:
            raw = oracle.state.get(b"P")
            done = raw is not None and unpack(raw)[1] >= before
        if not done:
            raise Violation(f"I7: {topic}[{partition}] is trimmed up to {before} without a complete snapshot: {whole}")


def content(key: Any, value: Any, headers: Any) -> Any:
    """What makes two records the same."""
    return key, value, tuple((name, bytes(text)) for name, text in headers)


def difference(found: dict[bytes, bytes], expected: dict[bytes, bytes]) -> str:
    """Say how two states differ, briefly."""
    more = sorted(set(found) - set(expected))[:3]
    missing = sorted(set(expected) - set(found))[:3]
    other = sorted(key for key in found if key in expected and found[key] != expected[key])[:3]
    return f"has {more} more, {missing} less, {other} otherwise ({len(found)} rows, {len(expected)} expected)"
