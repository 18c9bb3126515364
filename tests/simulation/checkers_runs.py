"""What must hold of runs, their code and what they send: one class for each invariant, with a verdict of its own.

They look at what is sent, at what user code does and sees and at the history, and compare it with the `Oracle`s.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from headrace.adapters.memory_log import MemoryCluster
from headrace.adapters.seams import Outgoing
from headrace.records.history import decode_lifecycle
from headrace.records.rows import Step
from headrace.worker.layout import Topics
from tests.simulation.checkers_log import content
from tests.simulation.oracle import Commit, Oracle, Runs, Violation, unpack
from tests.simulation.workload import Sent, ends_as, started_by

ID_TIMER = 3  # forgets event ids; it may be left in a world at rest


class I4Outputs:
    """Nothing leaves before its commit is honoured: records of the outbox, code that starts, results that code gets."""

    def __init__(self, oracles: list[Oracle], topics: Topics, runs: Runs) -> None:
        self._oracles = oracles
        self._runs = runs
        self._topics = {topics.events, topics.commands, topics.history, topics.dead}
        self._commands = topics.commands
        self.due: dict[tuple[str, int], dict[Any, int]] = defaultdict(dict)  # by place: content → order
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        for key, raw in commit.rows:
            if key[:1] == b"O" and raw is not None:
                topic, partition, records = unpack(raw)
                place = self.due[topic, partition]
                for record_key, value, headers in records:
                    place[content(record_key, value, headers)] = len(place)

    def sending(self, node: str, batch: Sequence[Outgoing]) -> None:
        """An outbox sends."""
        for topic, partition, key, value, headers in batch:
            if topic not in self._topics or (topic == self._commands and unpack((value or b"\0\0")[1:])[0] < 0):
                continue
            if content(key, value, headers or []) not in self.due[topic, partition]:
                raise Violation(f"I4: {node} sends to {topic}[{partition}] what no honoured commit decided: {value!r}")

    def code(self, what: str, owner: Any, run_id: str, steps: dict[bytes, Step]) -> None:
        """Code is started, or told of a step."""
        life = self._runs.lives.get(run_id)
        if life is None:
            raise Violation(f"I4: the code of {run_id} is {what} before its run is honoured")
        for name, row in steps.items():
            # A row that was written twice in one turn shows only its last state in the commit.
            honoured = row.order >> 20 < self._oracles[owner.partition].commits[-1].position
            if honoured and (row.state == 0 or not life.alive):  # or was recorded in the turn that ended the run
                continue
            if row.due_ms != -1 and (name, row.order) not in life.orders:
                raise Violation(f"I4: {run_id} is {what} with step {name!r} {row} that is not honoured")


class I6Published:
    """A published event starts its runs once."""

    def __init__(self, due: I4Outputs, topics: Topics, runs: Runs) -> None:
        self._due = due
        self._topic = topics.events
        self._runs = runs

    def finish(self, partitions: int) -> dict[str, str]:
        """Compare the runs with what was published; gives the run ids that are accounted for, and how each must end."""
        expected: dict[str, str] = {}
        groups: dict[tuple[str, str], list[tuple[str, Any]]] = defaultdict(list)
        for partition in range(partitions):
            for key, value, headers in self._due.due[self._topic, partition]:
                event = json.loads(value)
                event_id = dict(headers)["headrace-id"].decode()
                if event["name"] == "inngest/function.failed":
                    if event["data"]["function_id"] == "sim-steps":
                        groups["sim-steps-failure", event_id].append((event_id, event))
                    continue
                if event["name"].startswith("inngest/"):
                    continue
                given = event.get("id")
                own = f"{given}\0{given if key is None else key.decode()}" if given else event_id
                for function_id in started_by(event["name"], event["data"]):
                    groups[function_id, own].append((event_id, event))
        for (function_id, own), events in groups.items():
            run_ids = [
                run_id for event_id, _ in events for run_id in self._runs.by_event.get((function_id, event_id), [])
            ]
            if len(run_ids) != 1:
                raise Violation(f"I6: {function_id} has the runs {run_ids} for the published event {own}: {events}")
            expected[run_ids[0]] = ends_as(events[0][1]["name"], events[0][1]["data"])
        return expected


class I10Results:
    """Once code has seen the result of a step it never sees another, and what it sees is what is recorded."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._seen: dict[tuple[str, bytes], Any] = {}
        self.looks = 0

    def saw(self, run_id: str, step: bytes, value: Any) -> None:
        """User code was given the result of a step."""
        self.looks += 1
        life = self._runs.lives[run_id]
        row = life.recorded.get(step)
        before = self._seen.setdefault((run_id, step), value)
        if before != value:
            raise Violation(f"I10: step {step!r} of {run_id} was {before!r} and is {value!r}")
        if row is None and life.alive:
            raise Violation(f"I4: {run_id} is given {value!r} for step {step!r}, which no honoured commit records")
        if row is not None and row.state == 1:
            recorded = unpack((row.output or b"")[1:])
            if recorded != value:
                raise Violation(f"I10: step {step!r} of {run_id} is recorded as {recorded!r}, the code got {value!r}")


class I11Steps:
    """A recorded step never runs again, and no attempt is made twice under one claim."""

    def __init__(self, oracles: list[Oracle], runs: Runs) -> None:
        self._oracles = oracles
        self._runs = runs
        self._attempts: Counter[Any] = Counter()
        self.looks = 0

    def attempted(self, owner: Any, run_id: str, step: bytes, attempt: int) -> None:
        """The callable of a step is called."""
        self.looks += 1
        oracle = self._oracles[owner.partition]
        life = self._runs.lives.get(run_id)
        if life is None:
            raise Violation(f"I4: step {step!r} of {run_id} is called before its run is honoured")
        made = (owner.partition, owner.claim, run_id, step, attempt)
        self._attempts[made] += 1
        if self._attempts[made] > 1:
            raise Violation(f"I11: attempt {attempt} of step {step!r} of {run_id} is made twice under one claim")
        if oracle.claim != owner.claim:
            return  # a node that was frozen, and does not know yet that it has lost the partition
        if step in life.recorded:
            raise Violation(f"I11: step {step!r} of {run_id} is recorded and called again")
        if attempt and not any(name == step for name, _ in life.orders):
            raise Violation(f"I4: attempt {attempt} of step {step!r} of {run_id} is made before the last is honoured")


class Liveness:
    """The world comes to rest: every run has ended as it must, and nothing is left behind."""

    def __init__(self, oracles: list[Oracle], cluster: MemoryCluster, topics: Topics, runs: Runs) -> None:
        self._oracles = oracles
        self._cluster = cluster
        self._topics = topics
        self._runs = runs
        self.quiet_timers = {ID_TIMER}  # the kinds that may be left in a world at rest
        self._history: dict[tuple[int, int], Any] = {}  # by (partition, seq)
        self.dead: dict[tuple[bytes, bytes], bytes | None] = {}  # by (partition, offset) of the poison

    def landed(self, topic: str, record: Any) -> None:
        """A record is on the history or dead-letter topic."""
        if topic == self._topics.history:
            life = decode_lifecycle(record.value)
            known = self._history.setdefault((life.partition, life.seq), life)
            if known != life:
                raise Violation(f"I1: two lifecycle records are number {life.seq} of {life.partition}: {known}, {life}")
        else:
            headers = dict(record.headers)
            self.dead[headers["headrace-partition"], headers["headrace-offset"]] = record.value

    def history(self) -> list[Any]:
        """All that has landed, by partition and in its order there."""
        return [life for _, life in sorted(self._history.items())]

    def history_of(self, run_id: str) -> list[Any]:
        """The lifecycle of a run, as far as it has landed."""
        return [life for _, life in sorted(self._history.items()) if life.run_id == run_id]

    def unrest(self) -> str:
        """Say what is still to be done, or ""."""
        topics = self._topics
        for oracle in self._oracles:
            number = oracle.number
            left = Counter(key[:1] for key in oracle.state if key[:1] in (b"r", b"z", b"s", b"O"))
            left.update(b"t" for key in oracle.state if key[:1] == b"t" and key[9] not in self.quiet_timers)
            if left:
                return f"partition {number} has rows left: {dict(left)}"
            raw = oracle.state.get(b"P")
            if raw is None:
                return f"partition {number} has never committed"
            _, commands, _, _, events, _ = unpack(raw)
            places = [(topics.commands, number, commands)]
            for q in range(number, len(self._cluster.topics[topics.events].partitions), len(self._oracles)):
                places.append((topics.events, q, events.get(q, 0)))
            for topic, q, position in places:
                partition = self._cluster.topics[topic].partitions[q]
                if any(row is not None for row in partition.rows[max(position - partition.first, 0) :]):
                    return f"partition {number} has applied {topic}[{q}] up to {position} of {partition.end}"
        return ""

    def finish(self, expected: dict[str, str], sent: list[Sent], perhaps_cancelled: set[str], others: set[str]) -> None:
        """Judge the world at rest; somebody else accounts for the runs of `others`."""
        strangers = set(self._runs.lives) - set(expected) - others
        if strangers:
            raise Violation(f"I1: runs that nothing asked for: {[self._runs.lives[run_id] for run_id in strangers]}")
        ends: dict[str, list[Any]] = defaultdict(list)
        scheduled: Counter[str] = Counter()
        for life in self._history.values():
            if life.kind == "RunEnded":
                ends[life.run_id].append(life)
            scheduled[life.run_id] += life.kind == "RunScheduled"
        for run_id, status in expected.items():
            life = self._runs.lives[run_id]
            found = [end.status for end in ends[run_id]]
            if run_id in perhaps_cancelled and found == ["Cancelled"]:
                continue
            if found != [status] or scheduled[run_id] > 1:
                raise Violation(f"liveness: {life.function_id} {run_id} ended as {found}, not as {status}; {life}")
        for event in sent:
            if event.poison and (b"%d" % event.partition, b"%d" % event.offset) not in self.dead:
                raise Violation(f"liveness: the poison at {event.partition}:{event.offset} has no dead letter")
