"""What must hold of waits (I12): judged by what was sent and by the honoured log, with conditions of the tests' own.

An event that came after the step asked, and reached the partition that decides before the time-out was committed, is
never missed; none resolves two waits of a run; of several that were there the earliest counts; a wait is decided once.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulation.ledger_waits import (
    CANCEL_STEP,
    CLEAR,
    DIGEST,
    FOUND,
    RUN_ID,
    SIGNAL,
    TAG_ANSWER,
    TAG_WAIT_ANSWER,
    WAIT,
    Gone,
    Ledger,
    Letter,
    Place,
    StepLife,
    decider_of,
    digest_of,
)
from tests.simulation.oracle import Commit, Oracle, Runs, Violation, unpack
from tests.simulation.workload_waits import asked_for, matches

SKEW_MS = 5_000  # events count from so long before a wait was asked
STOPS = (("wait/stop", "match"), ("wait/halt", "even"))  # in the order in which functions declare them
MINUTE_MS = 60_000


@dataclass
class Coming:
    """An event that was put on the topic, or a signal that was sent."""

    name: str
    data: dict[str, Any]
    partition: int
    offset: int
    at_ms: int
    tick: int  # of the last commit before it
    id: str = ""  # of a signal

    @property
    def where(self) -> tuple[int, int]:
        return self.partition, self.offset

    @property
    def order(self) -> tuple[int, int, int]:
        return self.at_ms, self.partition, self.offset


def path_of(how: str) -> str:
    """Name the path by whose value a wait is found."""
    return "async.data.k" if how in ("match", "even") else ""


class Waits:
    """I12, and that waits are decided once."""

    def __init__(self, ledger: Ledger, runs: Runs, coming: list[Coming], *, clocks_run_true: bool) -> None:
        self._ledger = ledger
        self._runs = runs
        self._coming = coming
        self._clocks_run_true = clocks_run_true
        self._partitions = len(ledger.oracles)
        self.given: dict[tuple[str, bytes], Any] = {}
        self.verdicts: dict[str, int] = defaultdict(int)
        for oracle in ledger.oracles:  # behind the ledger's own notes
            oracle.on_commit.append(self._look)

    # --- at every commit ----------------------------------------------------------------------------------------

    def _look(self, oracle: Oracle, commit: Commit) -> None:
        place = self._ledger.places[oracle.number]
        for key, raw in commit.rows:
            if key[:1] == b"u" and raw is not None:
                ended, n = self._ledger.numbers.get(key[1:], -1), unpack(raw)[3]
                if n <= ended:
                    raise Violation(f"I12: waiter {key!r} was decided under number {ended}, and waits under {n}")
        for digest in self._ledger.changed:
            self._nothing_overlooked(oracle.number, place, digest)

    def _nothing_overlooked(self, number: int, place: Place, digest: bytes) -> None:
        recent = place.recent[digest]
        for key, row in place.waiters.items() if recent else ():
            if key[:DIGEST] != digest or not row[15] or not row[6]:  # not looked through yet; a signal
                continue
            if row[0] not in self._runs.lives:  # it was made and cancelled in one turn
                continue
            name, how = self._wanted(key[DIGEST : DIGEST + RUN_ID].decode(), key[DIGEST + RUN_ID + 2 :], row[2])
            own = self.value_of(row[0])
            for where, event in recent.items():
                data = json.loads(event[3])["data"]
                if event[2] == name and event[5] >= row[10] and event[1] not in row[14] and matches(how, own, data):
                    raise Violation(f"I12: at {number} {row} still waits, and {event} at {where} has come")

    def _wanted(self, run_id: str, step: bytes, index: int) -> tuple[str, str]:
        if step == CANCEL_STEP:
            return STOPS[index]
        name, how = self.asks(run_id)[step]["of"][index]
        return name, how

    def asks(self, run_id: str) -> dict[bytes, dict[str, Any]]:
        """Name the steps of a run that wait, with what they ask for."""
        return asked_for(self._data(run_id))

    def value_of(self, run_id: str) -> int:
        """Give the value that a run waits for."""
        return int(self._data(run_id)["k"])

    def _data(self, run_id: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self._runs.lives[run_id].event_json)["data"]
        return data

    # --- at rest ------------------------------------------------------------------------------------------------

    def finish(self, started: dict[str, int], verdicts: list[Any], signals: list[Coming]) -> None:
        """Judge; `started` has the log time of the event that started each run."""
        self._started = started
        self._decided_once()
        by_run: dict[str, list[StepLife]] = defaultdict(list)
        for life in self._ledger.steps.values():
            if life.op == WAIT and life.done_tick >= 0:
                by_run[life.run_id].append(life)
        for lives in by_run.values():
            self._judge_run(sorted(lives, key=lambda life: life.order))
        self._all_forwarded()
        self._answers_taken()
        self._judge_signals(verdicts, signals)

    def _decided_once(self) -> None:
        told: dict[Any, list[Letter]] = defaultdict(list)
        for letter in self._ledger.letters:
            if letter.tag == TAG_WAIT_ANSWER and not (len(letter.body) > CLEAR and letter.body[CLEAR]):
                told[tuple(letter.body[:4])].append(letter)
        for key, letters in told.items():
            if len(letters) > 1:
                raise Violation(f"I12: the wait {key} was decided {len(letters)} times: {letters}")

    def _judge_run(self, lives: list[StepLife]) -> None:
        used: set[int] = set()
        for life in lives:
            if life.failure is not None:
                raise Violation(f"I12: a wait has failed: {life}")
            result = unpack((life.output or b"")[1:])
            shown = self.given.get((life.run_id, life.name))
            if result is None:
                self._judge_time_out(life, used)
                wanted: Any = ("late",)
            else:
                e = result["event"]["data"]["e"]
                self._judge_match(life, result["index"], e, used)
                used.add(e)
                wanted = ("event", result["index"], e)
            if shown is not None and shown != wanted:
                raise Violation(f"I12: {life.run_id} was given {shown} by {life.name!r}, and {wanted} is recorded")

    def _candidates(self, life: StepLife, index: int, used: set[int]) -> Iterator[Coming]:
        ask = self.asks(life.run_id)[life.name]
        name, how = ask["of"][index]
        own = self.value_of(life.run_id)
        from_ms = self._started[life.run_id] if ask.get("since") else life.asked_ms - SKEW_MS
        for event in self._coming:
            if event.name != name or event.data["e"] in used or not matches(how, own, event.data):
                continue
            if event.at_ms >= from_ms:
                yield event
            elif event.tick >= life.asked_tick and self._clocks_run_true:
                raise Violation(f"I12: {event} came after {life} asked, and is taken for an earlier one")

    def _digest(self, life: StepLife, index: int) -> bytes:
        name, how = self.asks(life.run_id)[life.name]["of"][index]
        path = path_of(how)
        return digest_of(name, path, b"%d" % self.value_of(life.run_id) if path else b"")

    def _decided(self, life: StepLife, index: int, digest: bytes) -> Gone | None:
        key = digest + life.run_id.encode() + index.to_bytes(2, "big") + life.name
        gone = [one for one in self._ledger.gone[key] if one.tick <= life.done_tick]
        return gone[-1] if gone else None

    def _judge_match(self, life: StepLife, index: int, e: int, used: set[int]) -> None:
        candidates = list(self._candidates(life, index, used))
        mine = [event for event in candidates if event.data["e"] == e]
        if not mine:
            raise Violation(f"I12: {life} has matched {e}, which it does not wait for, or which has matched before")
        digest = self._digest(life, index)
        tick = self._matched_at(life, index)
        if tick < 0:
            return
        first = min(mine, key=lambda event: event.order)
        for event in candidates:
            seen = self._ledger.seen.get((digest, *event.where), tick)
            if seen < tick and event.order < first.order:
                raise Violation(f"I12: {life} has matched {mine}, and {event} was there already, and is earlier")

    def _matched_at(self, life: StepLife, index: int) -> int:
        if decider_of(self._digest(life, index), self._partitions) == life.home:
            return life.done_tick
        for letter in reversed(self._ledger.letters):
            if letter.tag == TAG_WAIT_ANSWER and letter.body[:3] == [life.run_id, life.name, index]:
                return letter.tick if letter.tick < life.done_tick else -1
        raise Violation(f"I12: {life} has a result that nobody decided about")

    def _judge_time_out(self, life: StepLife, used: set[int]) -> None:
        ask = self.asks(life.run_id)[life.name]
        if not ask.get("ms"):
            raise Violation(f"I12: {life} has timed out, and has no time-out")
        for index, (name, how) in enumerate(ask["of"]):
            digest = self._digest(life, index)
            gone = self._decided(life, index, digest)
            if gone is None:
                raise Violation(f"I12: wait {index} of {life} was never decided, and the step has timed out")
            if gone.now_ms < life.asked_ms + ask["ms"]:
                raise Violation(f"I12: wait {index} of {life} has timed out at {gone.now_ms}, before its time")
            shape = self._ledger.shape_at(gone.partition, name, path_of(how), gone.tick)
            if shape is None or shape.known < self._partitions:
                raise Violation(f"I12: {life} has timed out, and not all partitions tell {gone.partition} what comes")
            for event in self._candidates(life, index, used):
                seen = self._ledger.seen.get((digest, *event.where))
                if seen is not None and seen <= gone.tick:
                    raise Violation(f"I12: {life} has timed out, and {event} was there")
                if seen is None and event.offset < shape.floors.get(event.partition, 0):
                    raise Violation(f"I12: {life} has timed out, and {event} was in the log before anybody told of it")

    def _all_forwarded(self) -> None:
        """What came behind the offset from which on a partition is told of everything has reached it."""
        for key in self._ledger.arrived:
            digest, run_id, step = key[:DIGEST], key[DIGEST : DIGEST + RUN_ID].decode(), key[DIGEST + RUN_ID + 2 :]
            index = int.from_bytes(key[DIGEST + RUN_ID : DIGEST + RUN_ID + 2], "big")
            if run_id not in self._runs.lives:  # it was made and cancelled in one turn
                continue
            if step != CANCEL_STEP and self.asks(run_id)[step]["do"] == "signal":
                continue
            name, how = self._wanted(run_id, step, index)
            own = self.value_of(run_id)
            shape = self._ledger.shape_at(decider_of(digest, self._partitions), name, path_of(how), self._ledger.tick)
            if shape is None or shape.known < self._partitions:
                continue
            for event in self._coming:
                if event.name == name and (not path_of(how) or event.data["k"] == own):
                    known = (digest, *event.where) in self._ledger.seen
                    # An offset that is not named is the first one: nothing of that partition was applied before.
                    if not known and event.offset >= shape.floors.get(event.partition, 0):
                        raise Violation(f"I12: {event} has never reached {decider_of(digest, self._partitions)}")

    def _answers_taken(self) -> None:
        """A result that has arrived at its run stands there."""
        for letter in self._ledger.letters:
            if letter.tag == TAG_WAIT_ANSWER and (letter.step == CANCEL_STEP or letter.body[FOUND] is None):
                continue
            heard = self._ledger.heard_at(letter)
            ended = self._ledger.ended.get(letter.run_id)
            life = self._ledger.steps.get((letter.run_id, letter.step))
            if not letter.run_id or heard < 0 or (ended is not None and ended <= heard) or life is None:
                continue
            if 0 <= life.done_tick <= heard:
                continue
            if letter.tag == TAG_ANSWER or letter.body[FOUND][2][1] not in self._used_by(letter.run_id, heard):
                raise Violation(f"I12: {letter} has arrived at {heard}, and {life} has no result")

    def _used_by(self, run_id: str, tick: int) -> set[str]:
        # By the id of the event: two records that bring the same one along are one event.
        used = set()
        for (owner, _), life in self._ledger.steps.items():
            if owner == run_id and life.op == WAIT and 0 <= life.done_tick <= tick and life.output is not None:
                result = unpack(life.output[1:])
                if result is not None:
                    used.add(result["event"]["id"])
        return used

    # --- signals ------------------------------------------------------------------------------------------------

    def _judge_signals(self, verdicts: list[Any], signals: list[Coming]) -> None:
        told: dict[str, list[Any]] = defaultdict(list)
        for verdict in verdicts:
            told[verdict.event_ids[0]].append(verdict)
        taken: dict[int, list[StepLife]] = defaultdict(list)
        for life in self._ledger.steps.values():
            if life.op == SIGNAL and life.done_tick >= 0:
                result = unpack((life.output or b"")[1:])
                if result is not None:
                    taken[result["data"]["e"]].append(life)
                elif not self.asks(life.run_id)[life.name]["ms"]:
                    raise Violation(f"signals: {life} has timed out, and has no time-out")
        for signal in signals:
            found = told[signal.id]
            if len(found) != 1:
                raise Violation(f"signals: {signal} has the verdicts {found}")
            self._judge_signal(signal, found[0], taken[signal.data["e"]])

    def _judge_signal(self, signal: Coming, verdict: Any, takers: list[StepLife]) -> None:
        digest = digest_of("\0signal", "", signal.name.encode())
        tick = self._ledger.tick_of(verdict.partition, verdict.seq)
        self.verdicts[verdict.status] += 1
        waited = [
            key for key, (since, end) in self._waits_of(digest).items() if since < tick and (not end or end > tick)
        ]
        if verdict.status == "nobody_waits":
            if takers or waited:
                raise Violation(f"signals: nobody was to wait for {signal}, and {takers or waited} did")
            return
        run_id = verdict.run_id
        ended = self._ledger.ended.get(run_id)
        if [life.run_id for life in takers] != [run_id] and (takers or ended is None or not self._died(run_id)):
            raise Violation(f"signals: {signal} was for {run_id}, and {takers} have it")
        for key in waited if takers else ():
            if self._ledger.asked_ms[key] < takers[0].asked_ms:
                raise Violation(f"signals: {signal} was for {takers}, and {key!r} has waited longer")

    def _died(self, run_id: str) -> bool:
        return any(
            life.run_id == run_id and life.op == SIGNAL and life.done_tick < 0 for life in self._ledger.steps.values()
        )

    def _waits_of(self, digest: bytes) -> dict[bytes, tuple[int, int]]:
        """From when to when each waiter of a signal was there; 0: to the end."""
        return {
            key: (since, self._ledger.gone[key][0].tick if self._ledger.gone[key] else 0)
            for key, since in self._ledger.arrived.items()
            if key[:DIGEST] == digest
        }
