"""The rule of each stage of admission: what it lets pass, holds and drops is compared with docs/flow-control.md.

A group is one key of one stage of a function. Everything is computed from what the honoured commits show (`Starts`) and
from the numbers that are in force there (`Rules`); nothing asks the engine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.simulation.oracle import Commit, Oracle, Violation, unpack
from tests.simulation.rules import Rules, is_gathered, key_of, priority_ms
from tests.simulation.starts import (
    BATCH,
    DEBOUNCE,
    IDEMPOTENCY,
    RATE,
    SINGLETON,
    STAGES,
    THROTTLE,
    Change,
    Follow,
    Moment,
    Starts,
)

TIMER_KINDS = {DEBOUNCE: 10, BATCH: 11, THROTTLE: 12}
GroupKey = tuple[str, int, Any]
Tat = tuple[Fraction, int]  # theoretical arrival time, and the limit by which it was counted
IDLE = (Fraction(0), 0)


@dataclass(eq=False)
class Group:
    """One key of one stage: what has come to it, and what stands there."""

    name: GroupKey
    option: dict[str, Any]
    partition: int
    arrivals: list[Follow] = field(default_factory=list)
    waiting: list[Follow] = field(default_factory=list)  # held at the end of the last commit, as they came
    holders: list[Follow] = field(default_factory=list)  # of a singleton's lock
    window: list[Follow] = field(default_factory=list)  # of a debounce: what has come since it let one go on
    tats: set[Tat] = field(default_factory=set)  # what a rate may stand at; empty: idle
    fired: Moment | None = None

    def wrong(self, what: str) -> Violation:
        """Say which rule is broken, and where."""
        return Violation(f"{STAGES[self.name[1]]}: {self.name} on {self.partition}: {what}")


@dataclass
class Shown:
    """What one commit shows of a group, in no order."""

    arrived: list[Follow] = field(default_factory=list)
    passed: list[Follow] = field(default_factory=list)
    dropped: list[Follow] = field(default_factory=list)


class Timers:
    """The rows of timers of one partition, by kind and what follows it."""

    def __init__(self) -> None:
        self.due: dict[tuple[int, bytes], set[int]] = defaultdict(set)

    def take(self, commit: Commit) -> None:
        """Follow a commit."""
        for key, raw in commit.rows:
            if key[:1] == b"t":
                due = self.due[key[9], key[10:]]
                (due.discard if raw is None else due.add)(int.from_bytes(key[1:9], "big"))


class StageRules:
    """Judges every commit that changes something at a stage."""

    def __init__(self, rules: list[Rules], starts: Starts) -> None:
        self._rules = rules
        self._by_start = starts.by_start
        self._timers = [Timers() for _ in rules]
        self._locks: dict[bytes, GroupKey] = {}  # by the lock's row
        self.groups: dict[GroupKey, Group] = {}
        self.judged: Counter[str] = Counter()

    def take(self, oracle: Oracle, commit: Commit, moment: Moment, changes: list[Change]) -> None:
        """Judge a commit."""
        self._timers[oracle.number].take(commit)
        by_group: dict[GroupKey, Shown] = defaultdict(Shown)
        for change in changes:
            group = self._group(change, moment) if change.stage in STAGES else None
            if group is not None:
                if not group.name[2] == moment.partition and group.partition != moment.partition:
                    raise group.wrong(f"it is decided on {moment.partition} as well")
                getattr(by_group[group.name], change.what).append(change.start)
        if self._rules[oracle.number].changed:
            self._bring_within(oracle.number, moment)
        held_locks = set(self._locks.values())
        self._take_locks(oracle, commit)
        for name, shown in by_group.items():
            self._judge(self.groups[name], shown, moment, held_locks | set(self._locks.values()))

    def _bring_within(self, partition: int, moment: Moment) -> None:
        """Numbers have changed: what a throttle stands at may be brought within the new ones at once, or later."""
        for name, group in self.groups.items():
            if name[1] == THROTTLE and group.partition == partition:
                option = self._rules[partition].of(name[0])["throttle"]
                brought = {play(tat, option, moment.now_ms, 0, option.get("burst", 0)) for tat in group.tats}
                group.tats |= {tat for tat in brought if tat is not None}

    def _group(self, change: Change, moment: Moment) -> Group | None:
        start, stage = change.start, change.stage
        option = self._rules[moment.partition].of(start.function_id).get(STAGES[stage])
        if option is None:
            return None
        key: Any = key_of(option.get("key", ""), start.event.data)
        if stage == BATCH and not is_gathered(option, start.event.data):
            if len(start.members) > 1:
                raise Violation(f"batch: {start.event.id} of {start.function_id} is gathered, against the condition")
            return None
        if stage == BATCH and option.get("partitioned"):
            key = moment.partition
        elif key is None:
            if stage in (IDEMPOTENCY, RATE, SINGLETON):
                return None  # no limit for such an event
            key = "false"
        name = (start.function_id, stage, key)
        if name not in self.groups:
            self.groups[name] = Group(name, option, moment.partition)
        return self.groups[name]

    def _take_locks(self, oracle: Oracle, commit: Commit) -> None:
        for key, raw in commit.rows:
            if key[:1] == b"C":
                self._locks.pop(key, None)
                holder = None if raw is None else self._by_start.get(unpack(raw)[0])
                if holder is not None:
                    option = self._rules[oracle.number].of(holder.function_id).get("singleton", {})
                    group_key = key_of(option.get("key", ""), holder.event.data)
                    self._locks[key] = (holder.function_id, SINGLETON, group_key)

    def _judge(self, group: Group, shown: Shown, moment: Moment, locks: set[GroupKey]) -> None:
        stage = group.name[1]
        now = self._rules[moment.partition].of(group.name[0])
        before = self._rules[moment.partition].of(group.name[0], before=True) or now
        group.option = now[STAGES[stage]]
        group.arrivals += shown.arrived
        gone = {*shown.passed, *shown.dropped}
        if stage == BATCH:
            gone |= {member for start in shown.passed for member in start.members}
        waiting = [start for start in group.waiting + shown.arrived if start not in gone]
        if stage == IDEMPOTENCY:
            self._judge_idempotency(group, shown, moment)
        elif stage == RATE:
            self._judge_rate(group, shown, moment, [now["rate_limit"], before["rate_limit"]], 0, strict=True)
        elif stage == DEBOUNCE:
            self._judge_debounce(group, shown, moment, waiting)
        elif stage == BATCH:
            self._judge_batch(group, shown, moment, waiting, now)
        elif stage == SINGLETON:
            self._judge_singleton(group, shown, moment, waiting, locks)
        else:
            self._judge_throttle(group, shown, moment, waiting, now, before)
        group.waiting = waiting
        self.judged[STAGES[stage]] += 1

    # --- the stages ---------------------------------------------------------------------------------------------

    def _judge_idempotency(self, group: Group, shown: Shown, moment: Moment) -> None:
        window_ms = group.option.get("window_ms", 86_400_000)
        for _ in shown.passed:
            if group.fired is not None and moment.now_ms < group.fired.now_ms + window_ms:
                raise group.wrong(f"two starts within {window_ms} ms: at {group.fired} and {moment}")
            group.fired = moment
        if shown.dropped and (group.fired is None or moment.now_ms >= group.fired.now_ms + window_ms):
            raise group.wrong(f"dropped at {moment}, and the last start was at {group.fired}")

    def _judge_rate(
        self, group: Group, shown: Shown, moment: Moment, options: list[dict[str, Any]], more: int, *, strict: bool
    ) -> None:
        """Play GCRA; where the numbers change in this very commit, either of them may have decided about each."""
        passes, drops = len(shown.passed), len(shown.dropped) if strict else 0
        changed = options[0] != options[1]
        found: set[Tat] = set()
        for option in options if changed else options[:1]:
            for tat in group.tats or {IDLE}:
                after = play(tat, option, moment.now_ms, passes, more)
                if after is not None and not (drops and is_free(after, option, moment.now_ms, more)):
                    found.add(after)
        if not found and not changed:  # else some were decided by the old numbers and some by the new ones
            raise group.wrong(
                f"{passes} passed and {drops} were dropped at {moment} by {options[0]}, which stood at {group.tats}"
            )
        group.tats = found or group.tats

    def _judge_debounce(self, group: Group, shown: Shown, moment: Moment, waiting: list[Follow]) -> None:
        option = group.option
        period_ms, timeout_ms = option["period_ms"], option.get("timeout_ms", 0)
        for start in shown.dropped:
            later = [other for other in group.waiting + shown.arrived if other is not start]
            if not any(other.event.ts_ms >= start.event.ts_ms for other in later):
                raise group.wrong(
                    f"{start.event.id} is dropped ({start.verdict}), and none that is later came: {later}"
                )
        if len(waiting) > 1:
            raise group.wrong(f"it holds {[start.event.id for start in waiting]}")
        window = group.window + shown.arrived
        for start in shown.passed:
            later = [other for other in group.window if other.event.ts_ms > start.event.ts_ms]
            if later:
                raise group.wrong(f"{start.event.id} goes on, and {later[0].event.id} is later by its ts")
            due_ms = start.arrived[DEBOUNCE].now_ms + period_ms
            if timeout_ms:
                due_ms = min(due_ms, window[0].arrived[DEBOUNCE].now_ms + timeout_ms)
            if moment.now_ms < due_ms:
                raise group.wrong(f"{start.event.id} goes on at {moment}, before {due_ms}")
        group.window = waiting if shown.passed else window
        if waiting:
            due_ms = waiting[0].arrived[DEBOUNCE].now_ms + period_ms
            if timeout_ms:
                due_ms = min(due_ms, group.window[0].arrived[DEBOUNCE].now_ms + timeout_ms)
            self._has_timer(group, moment, waiting[0], due_ms)

    def _judge_batch(
        self, group: Group, shown: Shown, moment: Moment, waiting: list[Follow], now: dict[str, Any]
    ) -> None:
        option = group.option
        in_log_order = not any(name in now for name in ("idempotency", "rate_limit", "debounce"))
        max_size, max_bytes = option["max_size"], option.get("max_bytes") or 1 << 30
        for start in sorted(shown.passed, key=lambda first: [first.arrived[BATCH], first.members[-1].arrived[BATCH]]):
            members = start.members
            if not all(is_gathered(option, member.event.data) for member in members):
                raise group.wrong(f"the batch of {start.event.id} has an event that starts alone")
            size = sum(map(weight, members))
            if len(members) > max_size or (size > max_bytes and len(members) > 1):
                raise group.wrong(f"a batch of {len(members)} events and {size} bytes")
            since_ms = members[0].arrived[BATCH].now_ms
            larger = any(size + weight(other) > max_bytes for other in shown.arrived if other not in members)
            full = len(members) == max_size or size >= max_bytes or larger
            if not full and moment.now_ms < since_ms + option["timeout_ms"]:
                raise group.wrong(f"a batch of {len(members)} since {since_ms} goes on at {moment.now_ms}")
            check_order(group, members, in_log_order)
        if len(waiting) >= max_size:
            raise group.wrong(f"{len(waiting)} events are held")
        if waiting:
            self._has_timer(group, moment, waiting[0], waiting[0].arrived[BATCH].now_ms + option["timeout_ms"])

    def _judge_singleton(
        self, group: Group, shown: Shown, moment: Moment, waiting: list[Follow], locks: set[GroupKey]
    ) -> None:
        group.holders = [holder for holder in group.holders + shown.passed if holder.ended is None]
        if len(group.holders) > 1:
            raise group.wrong(f"at {moment} {[holder.run_id for holder in group.holders]} live at once")
        if len(waiting) > (group.option["mode"] == "cancel"):
            raise group.wrong(f"{len(waiting)} wait for the lock")
        for start in shown.dropped:
            if start.verdict == "singleton_skipped":
                if group.option["mode"] != "skip" or (group.name not in locks and not shown.passed):
                    raise group.wrong(f"{start.event.id} is skipped, and nobody has the lock")
            elif start.verdict == "singleton_replaced" and not [s for s in shown.arrived if s is not start]:
                raise group.wrong(f"{start.event.id} is replaced, and nobody came")
        for start in waiting:
            if group.name not in locks:
                raise group.wrong(f"{start.event.id} waits for a lock that nobody has")

    def _judge_throttle(
        self,
        group: Group,
        shown: Shown,
        moment: Moment,
        waiting: list[Follow],
        now: dict[str, Any],
        before: dict[str, Any],
    ) -> None:
        options = [now["throttle"], before["throttle"]]
        self._judge_rate(group, shown, moment, options, options[0].get("burst", 0), strict=False)
        start_ms = now.get("timeouts", {}).get("start_ms", 0)
        for start in shown.dropped:
            if start.verdict == "start_timeout" and not (start_ms and moment.now_ms >= start.accepted_ms + start_ms):
                raise group.wrong(f"{start.event.id} is given up at {moment}, accepted at {start.accepted_ms}")
        lanes = any(c.get("key") for c in now.get("concurrency", ()))
        still = [start for start in group.waiting if start in waiting]  # since an earlier commit, and on
        for start in shown.passed if not lanes else []:
            for other in still:
                if place(other, now) < place(start, now):
                    raise group.wrong(f"{start.event.id} goes before {other.event.id} at {moment}")
        if waiting:
            tat = max(group.tats, default=IDLE)[0]
            option = options[0]
            room = option["limit"] + option.get("burst", 0)
            free_ms = tat - (room - 1) * Fraction(option["period_ms"], option["limit"])
            self._has_timer(group, moment, waiting[0], max(-(-free_ms // 1), moment.now_ms) + 1)
            for start in waiting if start_ms else []:
                due = self._timers[moment.partition].due
                late_ms = start.accepted_ms + start_ms
                if not any(
                    late_ms in dues
                    for (kind, rest), dues in due.items()
                    if kind == TIMER_KINDS[THROTTLE] and rest.startswith(start.run_id.encode())
                ):
                    raise group.wrong(f"{start.event.id} waits, and nothing says when that is over ({late_ms})")

    def _has_timer(self, group: Group, moment: Moment, start: Follow, due_ms: int) -> None:
        dues = self._timers[moment.partition].due[TIMER_KINDS[group.name[1]], start.bucket]
        if not any(due <= due_ms for due in dues):
            raise group.wrong(f"at {moment} {start.event.id} is held, due at {due_ms}; its timers are {dues}")


def play(before: Tat, option: dict[str, Any], now_ms: int, passes: int, more: int) -> Tat | None:
    """GCRA by its definition, in fractions of milliseconds; None if one of these would not have passed."""
    tat, per_ms = before
    limit, room = option["limit"], option["limit"] + more
    interval = Fraction(option["period_ms"], limit)
    if per_ms != limit:  # times are kept in parts of a millisecond: `limit` to each
        tat = Fraction(-(-tat * limit // 1), limit)
    tat = min(max(tat, Fraction(now_ms)), now_ms + room * interval)
    for _ in range(passes):
        if tat - (room - 1) * interval > now_ms:
            return None
        tat += interval
    return tat, limit


def is_free(tat: Tat, option: dict[str, Any], now_ms: int, more: int) -> bool:
    """Whether another one could pass now."""
    room = option["limit"] + more
    return bool(tat[0] - (room - 1) * Fraction(option["period_ms"], option["limit"]) <= now_ms)


def weight(start: Follow) -> int:
    """How many bytes an event counts in a batch."""
    return len(start.event.json) + len((start.event.key or "").encode())


def place(start: Follow, definition: dict[str, Any]) -> int:
    """A start's place in the queue of a throttle: when it came, less its priority."""
    return max(start.arrived[THROTTLE].now_ms - priority_ms(definition, start.event.data), 0)


def check_order(group: Group, members: list[Follow], in_log_order: bool) -> None:
    """A batch has its events as they came, and comes behind the one before it."""
    moments = [member.arrived[BATCH] for member in members]
    if moments != sorted(moments) or (group.fired is not None and moments[0].number < group.fired.number):
        raise group.wrong(f"the batch of {members[0].event.id} is out of order: {moments}, after {group.fired}")
    group.fired = moments[-1]
    last: dict[int, int] = {}
    for member in members:
        event = member.event
        if in_log_order and event.direct:
            if event.offset < last.get(event.partition, -1):
                raise group.wrong(f"{event.id} at {event.partition}:{event.offset} is behind a later one of its log")
            last[event.partition] = event.offset
