"""A random day of a shop: one seed draws what happens, what arrives next, and what the code does.

After each turn it is checked that no gate has given out a slot beyond its limit and that all code that executes has its
slots; at the end that nothing is left over, that every run has ended, and that the runs of each key began in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from headrace.functions.gates import slots_at
from headrace.records.commands import ENVELOPE, Granted, Release, SleepAsked
from headrace.records.definitions import Backoff, Concurrency, Timeouts
from headrace.records.rows import Run, is_waiting
from headrace.runs.slots import has_slots
from tests.concurrency.shop import FAILURE, Planted, Shop, function

KEY = "event.data.key"
FUNCTIONS = [
    function("one", Concurrency(1, KEY), backoff=Backoff("fixed", 500, 500, 0.0)),
    function("two", Concurrency(2, KEY), Concurrency(3), backoff=Backoff("fixed", 500, 500, 0.0)),
    function("app", Concurrency(1, "event.data.user"), Concurrency(4, scope="app")),
    function("tenant", Concurrency(2, "event.data.user", scope="account"), Concurrency(4, scope="app")),
    function("timed", Concurrency(1), Concurrency(2, "event.data.user", scope="account"), timeouts=Timeouts(700)),
    function("free"),
]
ORDERED = ("shop-one", "shop-two")  # limited by the record's key: their runs begin in the order of their events


class Wrong(AssertionError):
    """A rule is broken."""


class Day:
    """What happens in a shop, drawn from a seed."""

    def __init__(
        self, seed: int, *, planted: Planted | None = None, changes: bool = False, twice: bool = False
    ) -> None:
        self.random = Random(seed)
        self.shop = Shop(*FUNCTIONS, planted=planted)
        self.changes = changes  # limits and pauses are changed
        self.twice = twice  # releases come twice
        self.shop.turned.append(self._check)
        self.shop.sending.append(self._send)
        self.counts: Counter[str] = Counter()
        self._given: dict[bytes, int] = {}
        self._sent = 0
        self._paused: set[str] = set()
        self._came: dict[str, list[tuple[str, str]]] = {function_id: [] for function_id in ORDERED}

    def _send(self, pair: tuple[int, int], value: bytes) -> None:
        # An `Acquire` that came twice would be another wish: that it does not is I5, which is tested elsewhere.
        command = ENVELOPE.decode(value).command
        if self.twice and isinstance(command, Granted | Release) and self.random.random() < 0.5:
            self.shop.repeats.append((pair[1], value))

    # --- what happens -------------------------------------------------------------------------------------------

    def pass_by(self, actions: int = 250) -> None:
        """Let many things happen, then let everything come to rest, and look at what is left."""
        moves: list[tuple[float, Callable[[], None]]] = [
            (4, self._event),
            (8, self._arrival),
            (5, self._code),
            (1, self._cancel),
            (2, self._time),
            (0.5, self._crash),
        ]
        if self.changes:
            moves += [(0.7, self._change_limits), (0.7, self._change_pause), (3, self._tell)]
        if self.twice:
            moves.append((3, self._repeat))
        for _ in range(actions):
            self.random.choices([move for _, move in moves], [weight for weight, _ in moves])[0]()
        self._rest()

    def _event(self) -> None:
        self._sent += 1
        name = self.random.choice(FUNCTIONS).name
        key = self.random.choice("abcd")
        event = self.shop.send(name, key, user=self.random.choice("xyz"))
        if f"shop-{name}" in ORDERED:
            self._came[f"shop-{name}"].append((key, self.shop.run_of(event)))
        self.counts["events"] += 1

    def _arrival(self) -> None:
        if self.shop.on_way:
            self.shop.arrive(self.random.choice(sorted(self.shop.on_way)))
            self.counts["arrivals"] += 1

    def _repeat(self) -> None:
        if self.shop.repeats:
            self.shop.arrive_again(self.random.randrange(len(self.shop.repeats)))
            self.counts["repeats"] += 1

    def _tell(self) -> None:
        waiting = [number for number, records in enumerate(self.shop.to_be_told) if records]
        if waiting:
            self.shop.tell(self.random.choice(waiting))

    def _code(self) -> None:
        if not self.shop.executing:
            return
        shop = self.shop
        run_id = self.random.choice(sorted(shop.executing))
        step = b"step%d" % self.random.randrange(1 << 30)
        choice = self.random.random()
        if choice < 0.5:
            shop.finish(run_id)
            self.counts["finished"] += 1
        elif choice < 0.65:
            shop.sleep(run_id, self.random.choice((0, 100, 2_000)), step)
            self.counts["slept"] += 1
        elif choice < 0.75:
            at = shop.executing[run_id]
            shop.apply(at, SleepAsked(run_id, step, 0, 100))
            shop.apply(at, SleepAsked(run_id, step + b"b", 0, 300))
            shop.rest(run_id, step, step + b"b")
            self.counts["slept twice"] += 1
        elif choice < 0.85:
            shop.report(run_id, step, FAILURE)
            shop.rest(run_id, step)
            self.counts["steps failed"] += 1
        elif choice < 0.92:
            shop.finish(run_id, FAILURE)
            self.counts["bodies failed"] += 1
        else:
            shop.report(run_id, step)
            self.counts["steps"] += 1

    def _cancel(self) -> None:
        live = sorted(self.shop.live())
        if live:
            self.shop.cancel(self.random.choice(live))
            self.counts["cancelled"] += 1

    def _time(self) -> None:
        self.shop.pass_time(self.random.choice((1, 50, 500, 3_000)))

    def _crash(self) -> None:
        self.shop.crash(self.random.randrange(len(self.shop.partitions)))
        self.counts["crashes"] += 1

    def _change_limits(self) -> None:
        definition = self.random.choice(FUNCTIONS)
        if definition.concurrency:
            limit = self.random.choice(definition.concurrency)
            number = self.random.randrange(1, 5)
            self.shop.set_limits(definition.name, Concurrency(number, limit.key, limit.scope))
            self.counts["limits changed"] += 1

    def _change_pause(self) -> None:
        name = self.random.choice([definition.name for definition in FUNCTIONS] + ["one/a", "two/b"])
        paused = name not in self._paused
        self._paused ^= {name}
        self.shop.pause(name, paused=paused)
        self.counts["pauses changed"] += 1

    # --- what must hold -----------------------------------------------------------------------------------------

    def _check(self, number: int) -> None:
        shop = self.shop
        turn = shop.partitions[number].open_turn
        gates = shop.partitions[number].overlay.gates
        limits: dict[bytes, int] = {}
        for home in shop.partitions:
            for _, run in home.overlay.runs.scan(b""):
                for gate in run.slots.gates if run.slots is not None else []:
                    limit = slots_at(turn.definition(run.function_id), gate.limit)
                    limits[gate.id] = max(limits.get(gate.id, 0), limit)
        for gate_id, limit in limits.items():
            given = gates.claims.given(gate_id)
            before = self._given.get(gate_id, 0)
            if given > limit and given > before and not self.changes:
                raise Wrong(f"{given} slots of a limit of {limit}")
            if given or before:
                self._given[gate_id] = given
        for run_id in shop.executing:
            executes = shop.run(run_id)
            if executes is not None and not has_slots(executes):
                raise Wrong(f"{run_id} of {executes.function_id} executes without its slots")
        if not self.changes:
            self._check_executing()

    def _check_executing(self) -> None:
        by_key: Counter[tuple[str, bytes]] = Counter()
        by_function: Counter[str] = Counter()
        for run_id in self.shop.executing:
            executes = self.shop.run(run_id)
            if executes is not None:
                by_key[executes.function_id, executes.place or b""] += 1
                by_function[executes.function_id] += 1
        for (function_id, _), executing in by_key.items():
            if executing > {"shop-one": 1, "shop-two": 2, "shop-app": 1}.get(function_id, 1 << 30):
                raise Wrong(f"{executing} runs of one key of {function_id} execute")
        if by_function["shop-two"] > 3 or by_function["shop-timed"] > 1:
            raise Wrong(f"too many execute: {by_function}")
        if by_function["shop-app"] + by_function["shop-tenant"] > 4:
            raise Wrong(f"too many of the app execute: {by_function}")

    def _rest(self) -> None:
        shop = self.shop
        for name in sorted(self._paused):
            shop.pause(name, paused=False)
        for _ in range(2_000):
            shop.settle()
            while shop.repeats:
                shop.arrive_again(0)
            shop.settle()
            if shop.executing:
                shop.finish(min(shop.executing))
            elif any(self._is_timed(run_id, run) for run_id, run in shop.live().items()):
                shop.pass_time(100)
            else:
                break
        left = [(run.function_id, run.phase, run.slots) for run in shop.live().values()]
        if left:
            raise Wrong(f"these wait for ever: {left[:3]}")
        if shop.leftovers():
            raise Wrong(f"{shop.leftovers()} rows are left over: {shop.claims()}")
        if not self.changes:
            self._check_order()

    def _is_timed(self, run_id: str, run: Run) -> bool:
        steps = self.shop.partitions[self.shop.home(run_id)].overlay.steps.scan(run_id.encode())
        return bool(run.retry_due_ms) or any(is_waiting(row) and row.due_ms for _, row in steps)

    def _check_order(self) -> None:
        begun = {run_id: number for number, run_id in enumerate(self.shop.begun)}
        for function_id in ORDERED:
            last: dict[str, int] = {}
            for key, run_id in self._came[function_id]:
                if begun.get(run_id, 1 << 30) < last.get(key, -1):
                    raise Wrong(f"{run_id} of {function_id} has overtaken one of its key")
                last[key] = max(begun.get(run_id, -1), last.get(key, -1))
