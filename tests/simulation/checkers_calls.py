"""What must hold of runs that stop, call and count each other: cancellations, invocations, cron lines, keyed state."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from tests.simulation.checkers_waits import STOPS, Coming
from tests.simulation.ledger_waits import (
    CANCEL_STEP,
    DIGEST,
    FOUND,
    INVOKE,
    RUN_ID,
    TAG_WAIT_ANSWER,
    Ledger,
    StepLife,
)
from tests.simulation.oracle import Commit, Oracle, RunLife, Runs, Violation, unpack
from tests.simulation.workload_waits import FINISH_MS, TICK_S, matches

HELD_MS = 1_000  # a run that begins so long after its event begins once it is known that nothing has cancelled it
STOPPED = {"sim-stoppable": STOPS, "sim-child": STOPS[:1]}


def data_of(life: RunLife) -> dict[str, Any]:
    """Read the data of the event that started a run."""
    data: dict[str, Any] = json.loads(life.event_json)["data"]
    return data


def stopping(function_id: str, own: int, from_ms: int, coming: list[Coming]) -> list[Coming]:
    """List the events that cancel a run of the function with this value."""
    return [
        event
        for event in coming
        for name, how in STOPPED.get(function_id, ())
        if event.name == name and matches(how, own, event.data) and event.at_ms >= from_ms
    ]


class Stops:
    """A run that is cancelled ends so, and for a reason; what has cancelled it leaves it no way to go on."""

    def __init__(self, ledger: Ledger, runs: Runs, coming: list[Coming]) -> None:
        self._ledger = ledger
        self._runs = runs
        self._coming = coming
        self.held = 0

    def finish(self, ends: dict[str, Any], started: dict[str, int], by_hand: set[str], began: set[str]) -> None:
        """Judge; `ends` has the last record of each run, `began` names those whose code was executed."""
        for run_id, end in ends.items():
            life = self._runs.lives.get(run_id)
            if life is None or life.function_id not in STOPPED | {"sim-brief": ()}:
                continue
            stoppers = self._stoppers(life, started[run_id])
            if end.status == "Cancelled":
                in_time = end.error_name == "FinishTimeout" and life.function_id == "sim-brief"
                if in_time and end.at_ms < self._ledger.begun[run_id][1] + FINISH_MS:
                    raise Violation(f"cancel: {life} was too slow, it is said, at {end.at_ms}: {self._ledger.begun}")
                if not stoppers and not in_time and run_id not in by_hand:
                    raise Violation(f"cancel: {life} was cancelled, and nobody has asked for that: {end}")
            self._held(life, stoppers, run_id in began)
        for letter in self._ledger.letters:
            if letter.tag == TAG_WAIT_ANSWER and letter.step == CANCEL_STEP and letter.body[FOUND] is not None:
                heard, ended = self._ledger.heard_at(letter), self._ledger.ended.get(letter.run_id, 1 << 62)
                if 0 <= heard < ended:
                    raise Violation(f"cancel: {letter} has arrived at {heard}, and the run ends at {ended}")

    def _stoppers(self, life: RunLife, from_ms: int) -> list[Coming]:
        return stopping(life.function_id, data_of(life).get("k", -1), from_ms, self._coming)

        self._heard_at_home()

    def _heard_at_home(self) -> None:
        # A cancellation that is decided where the run lives ends it in that commit; it is no letter.
        for key, ends in self._ledger.gone.items():
            if key[DIGEST + RUN_ID + 2 :] != CANCEL_STEP:
                continue
            run_id = key[DIGEST : DIGEST + RUN_ID].decode()
            for gone in ends:
                row = gone.row
                if row is None or row[4] != gone.partition or (row[11] and row[11] <= gone.now_ms):
                    continue
                if self._ledger.ended.get(run_id, 1 << 62) > gone.tick:
                    raise Violation(f"cancel: {row} was decided at {gone.tick}, and its run goes on")

    def judge_unseen(self, end: Any, start: Coming) -> None:
        """Judge a run that was made and cancelled in one turn."""
        stoppers = stopping("sim-stoppable", start.data["k"], start.at_ms, self._coming)
        if end.status != "Cancelled" or not stoppers:
            raise Violation(f"cancel: the run for {start} ended at once as {end}; {stoppers}")

    def _held(self, life: RunLife, stoppers: list[Coming], began: bool) -> None:
        # Everything that waits for a stop was told of it before this run was made: it must not begin.
        tick, now_ms = self._ledger.begun[life.run_id]
        if not began or not stoppers or now_ms - min(e.at_ms for e in stoppers) < HELD_MS:
            return
        self.held += 1
        for event in stoppers:
            ticks = [seen for (_, *where), seen in self._ledger.seen.items() if tuple(where) == event.where]
            if ticks and min(ticks) < tick and life.function_id != "sim-child":
                raise Violation(f"cancel: {life} began at {tick}, and {event} had come at {min(ticks)}")


class Calls:
    """Each invoke makes one run, and is answered once, with what became of that run."""

    def __init__(self, ledger: Ledger, runs: Runs) -> None:
        self._ledger = ledger
        self._runs = runs
        self.answers: Counter[str] = Counter()
        self.unseen: dict[str, Any] = {}  # runs that were made and ended in one turn, by their last record

    def finish(self, ends: dict[str, Any], asks: Any) -> None:
        """Judge; `asks(run_id)` names a run's steps with what they ask for."""
        children: dict[str, list[RunLife]] = defaultdict(list)
        for life in self._runs.lives.values():
            if life.function_id == "sim-child":
                children[data_of(life)["n"]].append(life)
        called = set()
        for step in self._ledger.steps.values():
            if step.op == INVOKE:
                token = f"{data_of(self._runs.lives[step.run_id])['n']}:{step.name.decode()}"
                called.add(token)
                made = children[token]
                if not made and self._stopped_at_once(step):
                    continue
                if len(made) != 1:
                    raise Violation(f"invoke: {step} has made the runs {made}")
                if step.done_tick >= 0:
                    self._judge(step, made[0], ends[made[0].run_id], asks(step.run_id)[step.name])
        # A caller may end in the very commit in which it calls: its step was there for nobody to see.
        lives = self._runs.lives
        unseen = {(str(data_of(lives[run_id]).get("n")), name.decode()) for run_id, name in self._ledger.unseen}
        for token in set(children) - called:
            number, _, name = str(token).rpartition(":")
            if (number, name) not in unseen or len(children[token]) != 1:
                raise Violation(f"invoke: nobody has called {children[token]}")

    def _stopped_at_once(self, step: StepLife) -> bool:
        # The caller may have ended before it heard of that: then nobody can say which of them it was.
        children = [end for end in self.unseen.values() if end.function_id == "sim-child" and end.status == "Cancelled"]
        if step.failure is None or step.failure[0] == "InvokeTimeout":
            return step.output is None and bool(children)
        return step.failure[0] == "Cancelled" and step.failure[5] in {end.run_id for end in children}

    def _judge(self, step: StepLife, child: RunLife, end: Any, ask: dict[str, Any]) -> None:
        if step.failure is None:
            self.answers["done"] += 1
            result = unpack((step.output or b"")[1:])
            if end.status != "Completed" or result != f"child {data_of(child)['n']}":
                raise Violation(f"invoke: {step} has {result!r} of {child}, which ended as {end}")
            return
        name, message, run_id = step.failure[0], step.failure[1], step.failure[5]
        self.answers[name] += 1
        if run_id != child.run_id:
            raise Violation(f"invoke: {step} names {run_id} and not {child}")
        if name == "InvokeTimeout":
            if not ask["ms"] or step.done_ms < step.asked_ms + ask["ms"]:
                raise Violation(f"invoke: {step} has timed out before its time")
        elif name == "Cancelled":
            if end.status != "Cancelled" or not message:
                raise Violation(f"invoke: {step} was told that {child} was cancelled, and it ended as {end}")
        elif end.status != "Failed" or name != end.error_name or message != f"child {data_of(child)['n']}":
            raise Violation(f"invoke: {step} was told of a failure, and {child} ended as {end}")


class Ticks:
    """Each time at which a cron line is due has one run."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.fired = 0

    def finish(self, ends: dict[str, Any], verdicts: list[Any]) -> None:
        """Judge; `verdicts` are those about cron lines."""
        due: Counter[str] = Counter()
        for life in self._runs.lives.values():
            if life.function_id == "sim-ticker":
                due[data_of(life)["scheduledAt"]] += 1
                if ends[life.run_id].status == "Failed":
                    raise Violation(f"cron: {life} ended as {ends[life.run_id]}")
        self.fired = len(due)
        twice = [at for at, count in due.items() if count > 1]
        if twice:
            raise Violation(f"cron: more than one run for {twice}")
        seconds = sorted(_seconds(at) for at in due)
        if verdicts:
            raise Violation(f"cron: a line that queues its fires has left some out: {verdicts}")
        expected = list(range(seconds[0], seconds[-1] + 1, TICK_S)) if seconds else []
        if seconds != expected or any(second % TICK_S for second in seconds):
            raise Violation(f"cron: the line fired at {seconds}, not at {expected}")


def _seconds(at: str) -> int:
    hours, minutes, seconds = at[11:19].split(":")
    days = int(at[8:10])
    return ((days * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)


class Counts:
    """Keyed state: what it is stands in the commits of the steps that set it, and each has added one."""

    def __init__(self, oracles: list[Oracle]) -> None:
        self._values: dict[bytes, tuple[int, int]] = {}  # by key: the partition that keeps it, and the value
        self._sets: Counter[int] = Counter()  # by partition: steps that have set
        self._done: set[bytes] = set()
        self.changes: Counter[int] = Counter()
        for oracle in oracles:
            oracle.on_commit.append(self._take)

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        sets: list[bytes] = []
        changed: dict[bytes, int] = {}
        for key, raw in commit.rows:
            if key[:1] == b"s" and key[27:] == b"state.set count" and raw is not None:
                if unpack(raw)[2] and key not in self._done:
                    self._done.add(key)
                    sets.append(key)
            elif key[:1] == b"s" and key[27:] == b"state.set count" and key not in self._done:
                self._done.add(key)  # it was set and the run has ended, in one commit
                sets.append(key)
            elif key[:1] == b"m" and b"sim-tally" in key:
                changed[key] = 0 if raw is None else unpack(raw[1:])
        added = 0
        for key, value in changed.items():
            home, before = self._values.get(key, (oracle.number, 0))
            if home != oracle.number:
                raise Violation(f"state: {key!r} is kept on {home} and on {oracle.number}")
            if value <= before:
                raise Violation(f"state: {key!r} was {before} and is {value}")
            added += value - before
            self._values[key] = (oracle.number, value)
        if added != len(sets):
            raise Violation(
                f"state: {changed} has grown by {added} in the commit at {commit.position}, which has {sets}"
            )
        self.changes[oracle.number] += added

    def finish(self, runs: Runs, ends: dict[str, Any]) -> None:
        """Judge: what the runs say they have counted is there."""
        total: Counter[str] = Counter()
        least: Counter[str] = Counter()
        results: dict[str, set[str]] = defaultdict(set)
        for run_id, life in runs.lives.items():
            if life.function_id == "sim-tally":
                account = data_of(life)["account"]
                total[account] += 1
                if ends[run_id].status == "Completed":
                    least[account] += 1
                    if ends[run_id].output in results[account]:
                        raise Violation(f"state: two runs of {account} have counted {ends[run_id].output}")
                    results[account].add(ends[run_id].output)
        for account, most in total.items():
            value = sum(v for key, (_, v) in self._values.items() if key.endswith(account.encode() + b"count"))
            if not least[account] <= value <= most:
                raise Violation(f"state: {account} stands at {value} after {least[account]} to {most} runs")
