"""What must hold after whatever happened, by the witness of the code that ran and by the topics, read raw."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.records.history import Lifecycle
from tests.kafka.cluster import Cluster, until
from tests.kafka.cluster_logs import Changelog, History, Published, commit_offset, read_changelog, read_events

STEPS = {
    "flows-order": {("reserve", 0), ("pack-left", 0), ("pack-right", 0), ("stamp", 0), ("stamp", 1)}
    | {("rest", 0), ("announce", 0), ("close", 0)},
    "flows-bill": {("charge", 0)},
    "flows-mail": {("write", 0)},
    "flows-count": set(),
    "flows-nap": {("before", 0), ("nap", 0), ("after", 0)},
    "flows-bulk": {("swell", 0), ("rest", 0), ("close", 0)},
}
STARTED_BY = {
    "order/created": ("flows-order", "flows-bill"),
    "order/done": ("flows-mail",),
    "tick": ("flows-count",),
    "nap/wanted": ("flows-nap",),
    "bulk/arrived": ("flows-bulk",),
}
# How long after a record its process may start what it knew nothing of yet, and how long one that wakes up.
_SLACK_MS = 1_500
_WAKING_MS = 5_000
# Tables of what lives; others are kept although nothing does.
_RUNS, _SUSPENDED, _STEPS, _TIMERS, _OUTBOX = b"r", b"z", b"s", b"t", b"O"

StepKey = tuple[str, str, int]  # run, step, occurrence


@dataclass
class Witnessed:
    """The lines of all processes, in the order of their times."""

    lines: list[dict[str, Any]]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """List the lines of one kind."""
        return [line for line in self.lines if line["kind"] == kind]


def read_witness(folder: Path) -> Witnessed:
    """Read the witness files."""
    lines = []
    for path in folder.glob("*.jsonl"):
        for text in path.read_text().splitlines():
            lines.append({**json.loads(text), "pid": int(path.stem)})
    return Witnessed(sorted(lines, key=lambda line: line["at_ms"]))


@contextmanager
def history_of(cluster: Cluster) -> Iterator[History]:
    """Give the cluster's history, to be read on again and again."""
    history = History(cluster.bootstrap, cluster.prefix)
    try:
        yield history
    finally:
        history.close()


def await_runs(cluster: Cluster, history: History, wanted: Mapping[str, int], within_s: float = 120.0) -> float:
    """Wait until so many runs of each function have ended; the seconds it took."""

    def ended() -> bool:
        history.read()
        counts = Counter(record.function_id for record in history.ended.values())
        return all(counts[function] >= number for function, number in wanted.items())

    def counted() -> str:
        return str(Counter(record.function_id for record in history.ended.values()))

    try:
        return until(ended, f"runs ended: {dict(wanted)}", within_s)
    except AssertionError as late:
        raise AssertionError(f"{late}; ended are {counted()}") from None


def await_steps(history: History, step: str, number: int, kind: str = "StepEnded") -> None:
    """Wait until so many steps of this id have come so far."""

    def reached() -> bool:
        history.read()
        return sum(record.step_id == step for record in history.of_kind(kind)) >= number

    until(reached, f"{number} steps {step!r} are at {kind}", 60)


@dataclass
class Findings:
    """What a check found besides everything being in order."""

    runs: int = 0
    executions: int = 0
    repeated: int = 0  # executions of steps beyond the first of each attempt: cut off by a crash, and made again
    history_repeats: int = 0
    refused: int = 0
    claims: int = 0
    changelog: Changelog = field(default_factory=Changelog)

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.executions} executions of steps ({self.repeated} made again), {self.claims} "
            f"claims, {self.refused} records refused, {self.history_repeats} history records repeated"
        )


@dataclass(frozen=True)
class Frozen:
    """A process that stood still until `until_ms`: what it had in its hands it may have finished a moment later."""

    pid: int
    until_ms: int

    def excuses(self, line: Mapping[str, Any]) -> bool:
        """Whether this process could not know better yet."""
        return line["pid"] == self.pid and line["at_ms"] <= self.until_ms + _WAKING_MS


def check(
    cluster: Cluster,
    history: History,
    *,
    cancelled: Collection[Any] = (),
    frozen: Frozen | None = None,
    trimmed: bool = False,
) -> Findings:
    """Check a cluster at rest: every event's runs, each ended once; steps, values and outputs; nothing left behind.

    `cancelled` are the numbers of runs that were; a `trimmed` changelog cannot be read from its start.
    """
    history.read()
    events = read_events(cluster.bootstrap, cluster.prefix)
    witnessed = read_witness(cluster.witness_folder)
    _check_runs(events, history, witnessed, cancelled)
    _check_steps(history, witnessed, frozen)
    _check_bodies(history, witnessed, frozen)
    findings = Findings(len(history.ended), history_repeats=history.repeats)
    starts = witnessed.of_kind("step-start")
    findings.executions = len(starts)
    findings.repeated = len(starts) - len({(*_step_of(line), line["attempt"]) for line in starts})
    if not trimmed:
        findings.changelog = changelog = _settled_changelog(cluster)
        findings.refused, findings.claims = len(changelog.refused), len(changelog.claims)
        check_outputs(changelog, history, events)
    return findings


def _identity(event: Published) -> tuple[Any, ...]:
    # What a step published may stand on the topic twice, under one id: it is one event. So are equal ids of senders,
    # if their keys are equal.
    if event.id:
        return (event.name, event.id)
    return (event.name, event.given_id, event.key) if event.given_id else (event.name, event.partition, event.offset)


def _check_runs(events: list[Published], history: History, witnessed: Witnessed, cancelled: Collection[Any]) -> None:
    """Every event has exactly the runs that it should have, each ended once, as completed."""
    records = {_identity(event): event for event in events}
    wanted: Counter[tuple[str, Any]] = Counter()
    for event in records.values():
        for function in STARTED_BY.get(event.name, ()):
            wanted[function, event.n] += 1
    numbers = {line["run"]: (line["function"], line["n"]) for line in witnessed.of_kind("body-start")}
    assert set(numbers) == set(history.ended), (
        f"ran without an end: {sorted(set(numbers) - set(history.ended))[:5]}, "
        f"ended without having run: {sorted(set(history.ended) - set(numbers))[:5]}"
    )
    found: Counter[tuple[str, Any]] = Counter(numbers.values())
    assert found == wanted, f"missing {(wanted - found).most_common(5)}, too many {(found - wanted).most_common(5)}"
    causes: dict[tuple[str, str], str] = {}
    for record in history.records:
        for event_id in record.event_ids:
            first = causes.setdefault((record.function_id, event_id), record.run_id)
            assert first == record.run_id, f"{event_id} started {record.function_id} twice: {first}, {record.run_id}"
    silent = set(history.ended) - set(causes.values())
    assert not silent, f"they do not say which event started them: {[r for r in history.records if r.run_id in silent]}"
    for run, record in history.ended.items():
        n = numbers[run][1]
        if n in cancelled:
            assert record.status == "Cancelled", record
        else:
            assert record.status == "Completed", record
            assert json.loads(record.output)["n"] == n, record


def _check_steps(history: History, witnessed: Witnessed, frozen: Frozen | None) -> None:
    """Each step is recorded once, everybody saw the recorded value, and once recorded it was not started again."""
    recorded: dict[StepKey, Lifecycle] = {}
    for record in history.of_kind("StepEnded"):
        key = (record.run_id, record.step_id, record.occurrence)
        assert key not in recorded, f"recorded twice: {recorded[key]} and {record}"
        assert record.status == "Completed", record
        recorded[key] = record
    steps: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for run, step, occurrence in recorded:
        steps[run].add((step, occurrence))
    for run, record in history.ended.items():
        whole = STEPS[record.function_id]
        cut_short = record.status == "Cancelled" and steps[run] < whole
        assert steps[run] == whole or cut_short, f"{record.function_id} {run} recorded {sorted(steps[run])}"
    values = {key: json.loads(record.output or "null") for key, record in recorded.items()}
    for line in witnessed.of_kind("saw"):
        # What is too large to be shown stands shortened on the history: then all must have seen the same.
        known = values[_step_of(line)].setdefault("value", line["value"])
        assert known == line["value"], f"{line} saw another value than was recorded"
    made: dict[StepKey, set[str]] = defaultdict(set)
    for line in witnessed.of_kind("step-start"):
        key = _step_of(line)
        made[key].add(line["value"])
        if key not in recorded:
            assert history.ended[key[0]].status == "Cancelled", f"executed and never recorded: {line}"
            continue
        record = recorded[key]
        assert line["attempt"] <= record.attempt, f"{line} came after {record}"
        late_ms = line["at_ms"] - record.at_ms
        if frozen is None or not frozen.excuses(line):
            assert late_ms <= _SLACK_MS, f"started again {late_ms} ms after it was recorded: {line}, {record}"
    for key, executed in made.items():
        if key in values:
            assert values[key]["value"] in executed, f"{key}: the recorded value comes from no execution"
    for run, record in history.ended.items():
        told = json.loads(record.output or "{}").get("values", [])
        known = {value["value"] for key, value in values.items() if key[0] == run and isinstance(value, dict)}
        assert set(told) <= known, f"{run} returned {told}, recorded are {known}"


def _check_bodies(history: History, witnessed: Witnessed, frozen: Frozen | None) -> None:
    """Once a run has ended its code is not started again."""
    for line in witnessed.of_kind("body-start"):
        late_ms = line["at_ms"] - history.ended[line["run"]].at_ms
        if frozen is None or not frozen.excuses(line):
            assert late_ms <= _SLACK_MS, f"started {late_ms} ms after its run had ended: {line}"


def _step_of(line: Mapping[str, Any]) -> StepKey:
    return line["run"], line["step"], line["occurrence"]


def _settled_changelog(cluster: Cluster) -> Changelog:
    """Read the changelog once the state holds nothing any more that lives."""
    found = read_changelog(cluster.bootstrap, cluster.prefix)

    def settled() -> bool:
        nonlocal found
        found = read_changelog(cluster.bootstrap, cluster.prefix)
        return not left_behind(found)

    if left_behind(found):
        try:
            until(settled, "the state is empty", 15)
        except AssertionError:
            raise AssertionError(f"the state keeps {left_behind(found)[:5]}") from None
    return found


def left_behind(changelog: Changelog) -> list[bytes]:
    """List rows of runs, steps, timers and the outbox; the timer of the window of event ids is none of them."""
    keys = [key for rows in changelog.rows.values() for key in rows]
    expiry = any(key[:1] == b"x" for key in keys)
    alive = [key for key in keys if key[:1] in (_RUNS, _SUSPENDED, _STEPS, _OUTBOX)]
    return alive + [key for key in keys if key[:1] == _TIMERS and not expiry]


def check_outputs(changelog: Changelog, history: History, events: list[Published]) -> None:
    """No output left before its commit counted: each names the commit it belongs to, and that one stands in the log."""
    counted = {(commit.partition, commit.offset) for commit in changelog.commits}
    for record in history.records:
        assert (record.partition, commit_offset(record.seq)) in counted, f"its commit does not count: {record}"
    for event in events:
        if event.source:
            partition, seq, _ = (int(part) for part in event.source.split(":"))
            assert (partition, commit_offset(seq)) in counted, f"its commit does not count: {event}"
