"""I8 and I9: slots of gates, and the order in which runs of a key begin, as the honoured commits show them.

Leases are the rows of gates (table g), queues those of table j, and a run's own row says which gates it needs. What may
be given out is read from the definitions and live limits that stand in the same partition's state.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from tests.simulation.oracle import Commit, Oracle, Violation, unpack
from tests.simulation.rules import Rules, all_keys, first_key, priority_ms
from tests.simulation.starts import Change, Follow, Moment, Starts

ACQUIRE = 20  # the tag of the command
GATE, SHARE = 16, 24  # where a key's parts end: the gate, its share
Lease = tuple[int, bytes]  # number of the run's asking, and its place in the queue (b"": it has the slot)


class GateRules:
    """Follows every gate, and judges every commit that changes one."""

    def __init__(self, oracles: list[Oracle], rules: list[Rules], starts: Starts, commands: str) -> None:
        self._commands = commands  # the topic
        self._oracles = oracles
        self._rules = rules
        self._starts = starts
        self._claims: list[dict[bytes, dict[str, Lease]]] = [defaultdict(dict) for _ in oracles]
        self._queues: list[dict[bytes, dict[bytes, Any]]] = [defaultdict(dict) for _ in oracles]
        self._gates: dict[str, list[Any]] = {}  # by run: [gate, partition, limit, share]
        self._asked: dict[tuple[str, bytes], tuple[str, str, bytes]] = {}  # by run and gate: function, limit, share
        self._gave_back: set[str] = set()  # runs that had asked their gates when a pause came
        self._not_begun: dict[tuple[str, ...], list[Follow]] = defaultdict(list)
        self.judged: Counter[str] = Counter()

    def wrong(self, moment: Moment, gate: bytes, what: str) -> Violation:
        """Say what is broken, and where."""
        return Violation(f"I8: gate {gate.hex()} of partition {moment.partition} at {moment}: {what}")

    def take(self, oracle: Oracle, commit: Commit, moment: Moment, changes: list[Change]) -> None:
        """Judge a commit."""
        claims, queues = self._claims[oracle.number], self._queues[oracle.number]
        touched: dict[bytes, dict[str, Lease]] = {}
        for key, raw in commit.rows:
            table, gate = key[:1], key[1 : 1 + GATE]
            if table in (b"r", b"z") and raw is not None:
                self._take_run(key[1:].decode(), unpack(raw))
            elif table == b"O" and raw is not None:
                self._take_asked(unpack(raw))
            elif table == b"g":
                touched.setdefault(gate, dict(claims[gate]))
                if raw is None:
                    claims[gate].pop(key[1 + GATE :].decode(), None)
                else:
                    number, queued = unpack(raw)
                    claims[gate][key[1 + GATE :].decode()] = (number, queued)
            elif table == b"j":
                touched.setdefault(gate, dict(claims[gate]))
                if raw is None:
                    queues[gate].pop(key[1:], None)
                else:
                    queues[gate][key[1:]] = unpack(raw)
        for gate, before in touched.items():
            self._judge_leases(moment, gate, before)
            self._judge_order(moment, gate, before)
        for gate in queues if self._rules[oracle.number].changed else touched:
            self._judge_idle(moment, gate)
        self._judge_begins(moment, changes)

    def _take_run(self, run_id: str, row: list[Any]) -> None:
        if row[14] is not None:
            self._gates[run_id] = row[14][0]
            for gate, _, limit, share in row[14][0]:
                self._asked[run_id, gate] = (row[0], limit, share)
            _, _, _, asked, *_, paused_at, _, _, _ = row[14]
            if asked and paused_at and len(row[14][0]) > 1:
                self._gave_back.add(run_id)

    def _take_asked(self, row: Any) -> None:
        # A run that ends in the turn in which it was made shows only in what it has asked for.
        topic, _, records = row
        for _, value, _ in records if topic == self._commands else ():
            command = unpack(value[1:])[3]
            if command[0] == ACQUIRE:
                gate, run_id, _, _, _, function_id, limit, share = command[1:9]
                self._asked[run_id, gate] = (function_id, limit, share)

    # --- slots --------------------------------------------------------------------------------------------------

    def _limit(self, moment: Moment, run_id: str, gate: bytes) -> int:
        """How many slots the gate may give out when this run gets one: as it was before this commit, or is now."""
        function_id, name, _ = self._asked[run_id, gate]
        rules = self._rules[moment.partition]
        return max(rules.slots(function_id, name), rules.slots(function_id, name, before=True))

    def _judge_leases(self, moment: Moment, gate: bytes, before: dict[str, Lease]) -> None:
        leases = {run_id: lease for run_id, lease in self._claims[moment.partition][gate].items() if not lease[1]}
        fresh = [run_id for run_id, lease in leases.items() if before.get(run_id) != lease]
        kept = len(leases) - len(fresh)
        for number, limit in enumerate(sorted(self._limit(moment, run_id, gate) for run_id in fresh), 1):
            if kept + number > limit:
                raise self.wrong(moment, gate, f"{kept} slots were given out, and {number} more of {limit}")
        self.judged["leases"] += len(fresh)

    def _judge_order(self, moment: Moment, gate: bytes, before: dict[str, Lease]) -> None:
        """Whoever is given a slot was before all of its share that waited already and still do."""
        claims = self._claims[moment.partition][gate]
        fresh = [run_id for run_id, lease in claims.items() if not lease[1] and before.get(run_id) != lease]
        if not fresh:
            return
        waited = [
            (key[GATE:SHARE], row)
            for key, row in self._queues[moment.partition][gate].items()
            if before.get(row[0]) == (row[1], key) and row[0] in self._starts.by_run
        ]
        for run_id in fresh:
            share = self._asked[run_id, gate][2]
            for other_share, other in waited if run_id in self._starts.by_run else ():
                if other_share == share and self._rank(moment, other[0]) < self._rank(moment, run_id):
                    raise self.wrong(moment, gate, f"{run_id} is given a slot before {other[0]}, which waits")
                self.judged["orders"] += other_share == share

    def _rank(self, moment: Moment, run_id: str) -> tuple[bool, int]:
        follow = self._starts.by_run[run_id]
        assert follow.made is not None
        definition = self._rules[follow.made.partition].of(follow.function_id)
        order_ms = follow.made.now_ms - priority_ms(definition, follow.event.data)
        begun = follow.begun is not None and follow.begun.number < moment.number
        return not begun, order_ms

    def _judge_idle(self, moment: Moment, gate: bytes) -> None:
        """No slot is free while somebody waits for it."""
        rules = self._rules[moment.partition]
        given = sum(not queued for _, queued in self._claims[moment.partition][gate].values())
        first: dict[bytes, Any] = {}
        for key, row in sorted(self._queues[moment.partition][gate].items()):
            first.setdefault(key[GATE:SHARE], row)
        for run_id, _, _, _, function_id, limit, begun, place in first.values():
            held = not begun and rules.paused(function_id, None if place is None else place.decode())
            if given < rules.slots(function_id, limit) and not held:
                raise self.wrong(moment, gate, f"{given} slots are given out, and {run_id} waits for one")

    # --- beginnings ---------------------------------------------------------------------------------------------

    def _judge_begins(self, moment: Moment, changes: list[Change]) -> None:
        rules = self._rules[moment.partition]
        begun: list[tuple[str, ...]] = []
        for follow in [change.start for change in changes if change.what in ("made", "begun")]:
            definition = rules.of(follow.function_id)
            key = first_key(definition, follow.event.data)
            # Runs of one key that need slots of other keys as well may find these sooner or later.
            name = (follow.function_id, *all_keys(definition, follow.event.data))
            if follow.begun == moment:
                begun.append(name)
                if all(rules.paused(follow.function_id, key, before=before) for before in (False, True)):
                    raise Violation(f"pause: {follow.run_id} of {name} begins at {moment}, and it is paused")
            if follow.made == moment and key is not None and not definition.get("priority"):
                self._not_begun[name].append(follow)
        for name in dict.fromkeys(begun):
            waiting = self._not_begun[name]
            still = [follow for follow in waiting if follow.begun is None and follow.ended is None]
            # A run whose slot is on its way when a pause comes asks anew after it, and of several gates elsewhere the
            # first may be ahead of its home then: it may give the slot to the next run of the key in between.
            in_order = [follow for follow in still if follow.run_id not in self._gave_back]
            for follow in waiting:
                passed_by = [other for other in in_order if earlier(other, follow)] if follow.begun == moment else []
                if passed_by:
                    raise Violation(
                        f"I9: {follow.run_id} of {name} begins at {moment}, {passed_by[0].run_id} came before it"
                    )
                self.judged["begins"] += follow.begun == moment
            self._not_begun[name] = still

    # --- executions ---------------------------------------------------------------------------------------------

    def entered(self, run_id: str, owner: Any, executing: list[tuple[str, Any]]) -> None:
        """Code of a run executes from now on: it has all its slots, and no gate has too many inside."""
        oracle = self._oracles[owner.partition]
        follow = self._starts.by_run.get(run_id)
        if oracle.claim != owner.claim or follow is None or follow.ended is not None:
            return  # a node that does not know yet what it has lost, or that the run is over
        for gate, partition, _, _ in self._gates.get(run_id, ()):
            lease = self._claims[partition][gate].get(run_id)
            if lease is None or lease[1]:
                raise Violation(f"I8: {run_id} of {follow.function_id} executes without its slot at {gate.hex()}")
            inside = {
                other
                for other, other_owner in executing
                if self._oracles[other_owner.partition].claim == other_owner.claim
                and any(found == gate for found, _, _, _ in self._gates.get(other, ()))
            }
            leases = sum(not queued for _, queued in self._claims[partition][gate].values())
            if len(inside) > leases:
                raise Violation(f"I8: {len(inside)} runs execute at {gate.hex()}, which has given out {leases} slots")
            self.judged["entries"] += 1


def earlier(one: Follow, other: Follow) -> bool:
    """Whether a run came to its home before another; in one commit the log decides where it can be told."""
    assert one.made is not None
    assert other.made is not None
    if one.made.number != other.made.number:
        return one.made.number < other.made.number
    same_log = one.event.direct and other.event.direct and one.event.partition == other.event.partition
    return same_log and one.event.key == other.event.key and one.event.offset < other.event.offset
