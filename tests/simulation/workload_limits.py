"""Users who declare limits: functions that combine the stages of admission, and the events that start them.

Seven functions have one stage or gate each; nine combine them so that every pair of stages stands in one of these. An
event starts several functions at once. Its script is the same kind of script as in `workload.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from headrace.execution.current import CURRENT
from headrace.execution.live_run import Call
from headrace.functions import Function, declare_function
from headrace.functions.errors import StepError
from headrace.functions.gathering import Batch, Debounce
from headrace.functions.limits import Concurrency, RateLimit, Throttle
from headrace.functions.retries import Backoff, Retries
from headrace.functions.selection import Idempotency, Singleton, Timeouts
from tests.simulation.workload import RETRIES, Scribe

_OPTIONS: dict[str, Any] = {"retries": Retries(RETRIES, Backoff("fixed", "150ms", "1s", 0.1))}
A, B, NUMBER, RANK = "event.data.a", "event.data.b", "event.data.i", "event.data.rank"

Limited = dict[str, tuple[list[str], dict[str, Any]]]  # by function: the events that start it, and its options

LIMITED: Limited = {
    "one": (["la"], {"concurrency": Concurrency(1, key=A), "on_exhausted": "park"}),
    "two": (["la"], {"concurrency": [Concurrency(2, key=A), Concurrency(3, key=B, scope="app")]}),
    "wide": (["lb"], {"concurrency": [Concurrency(2), Concurrency(1, key=B, scope="account")]}),
    "rate": (["lb"], {"rate_limit": RateLimit(3, "2s", key=B)}),
    "part": (["lc"], {"batch": Batch(4, "500ms", partitioned=True)}),
    "gather": (["lb"], {"batch": Batch(3, "600ms", key=A, max_bytes=1_500, if_="event.data.b != 'q'")}),
    "late": (["lc"], {"debounce": Debounce("700ms", key=A, timeout="2s")}),
    "pace": (["ld"], {"throttle": Throttle(2, "1s", burst=1, key=A)}),
    "last": (["ld"], {"singleton": Singleton("cancel", key=B)}),
    "pitcq": (
        ["la", "le"],
        {
            "priority": RANK,
            "idempotency": Idempotency(NUMBER, "3s"),
            "throttle": Throttle(3, "1s"),
            "concurrency": Concurrency(1, key=B),
            "timeouts": Timeouts(start="4s"),
        },
    ),
    "irds": (
        ["lb", "le"],
        {
            "idempotency": Idempotency(f"{A} + {NUMBER}", "2s"),
            "rate_limit": RateLimit(4, "1s"),
            "debounce": Debounce("200ms", key=B),
            "singleton": Singleton("skip", key=A),
        },
    ),
    "rbtq": (
        ["lc", "le"],
        {
            "rate_limit": RateLimit(5, "2s", key=A),
            "batch": Batch(2, "300ms", key=B),
            "throttle": Throttle(1, "700ms", key=B),
            "timeouts": Timeouts(start="3s"),
        },
    ),
    "pdbc": (
        ["lc", "ld"],
        {
            "priority": RANK,
            "debounce": Debounce("150ms", key=A),
            "batch": Batch(3, "400ms", key=B),
            "concurrency": [Concurrency(1, key=B), Concurrency(3, scope="app", key=B)],
        },
    ),
    "prsc": (
        ["ld", "le"],
        {
            "priority": RANK,
            "rate_limit": RateLimit(6, "1s"),
            "singleton": Singleton("cancel", key=A),
            "concurrency": Concurrency(1),
        },
    ),
    "ibs": (
        ["la", "lc"],
        {
            "idempotency": Idempotency(NUMBER, "1s"),
            "batch": Batch(2, "250ms", key=A),
            "singleton": Singleton("skip", key=A),
        },
    ),
    "dtsq": (
        ["lb", "ld"],
        {
            "debounce": Debounce("100ms", key=B, timeout="1s"),
            "singleton": Singleton("cancel", key=B),
            "throttle": Throttle(2, "800ms", key=A),
            "timeouts": Timeouts(start="2s"),
        },
    ),
}
NAMES = ["la", "lb", "lc", "ld", "le"]


def started_by_name(limited: Limited) -> dict[str, list[str]]:
    """By the name of an event: the functions that it starts."""
    names = sorted({name for found, _ in limited.values() for name in found})
    return {
        name: [f"sim-{function_id}" for function_id in limited if name in limited[function_id][0]] for name in names
    }


class Watching:
    """Notes which runs execute a step right now, as their own code sees it, and what batches their code was given."""

    def __init__(self, scribe: Scribe) -> None:
        self.scribe = scribe
        self.executing: list[tuple[str, Any]] = []  # run id, owner
        self.on_enter: list[Callable[[str, Any], None]] = []
        self.on_events: list[Callable[[str, list[int]], None]] = []
        self.resumed: set[str] = set()  # runs that an operator has let go on

    @contextmanager
    def inside(self, run_id: str) -> Iterator[None]:
        """Be inside a step."""
        call = CURRENT.get()
        assert isinstance(call, Call)
        entry = (run_id, call.live.owned.owner)
        self.executing.append(entry)
        try:
            for look in self.on_enter:
                look(*entry)
            yield
        finally:
            self.executing.remove(entry)

    async def step(self, run_id: str, name: str, script: dict[str, Any]) -> str:
        """Do what the script says."""
        with self.inside(run_id):
            return await self.scribe.step(run_id, name, script)

    async def step_to_park(self, run_id: str, script: dict[str, Any]) -> str:
        """Fail until an operator has let the run go on; attempts are counted anew then."""
        with self.inside(run_id):
            await asyncio.sleep(script.get("ms", 0) / 1000)
            if run_id not in self.resumed:
                raise ValueError("it fails until the run is resumed")
            return "it has been resumed"


def make_limited_functions(watching: Watching, limited_by: Limited) -> dict[str, Function]:
    """Declare them."""
    scribe = watching.scribe

    async def run_step(ctx: Any, name: str, script: dict[str, Any]) -> None:
        try:
            value = await ctx.step.run(name, watching.step, ctx.run_id, name, script)
        except StepError as error:
            scribe.saw(ctx.run_id, name, str(error))
            raise
        scribe.saw(ctx.run_id, name, value)

    async def limited(ctx: Any) -> list[int]:
        numbers = [event.data["n"] for event in ctx.events]
        for look in watching.on_events:
            look(ctx.run_id, numbers)
        for name, script in ctx.event.data["steps"].items():
            if script.get("parks") and ctx.function_id == "sim-one":
                await ctx.step.run(name, watching.step_to_park, ctx.run_id, script)
            else:
                await run_step(ctx, name, script)
            if script.get("nap"):
                await ctx.step.sleep(f"{name}-nap", script["nap"] / 1000)
        return numbers

    found: dict[str, Function] = {}
    for function_id, (names, options) in limited_by.items():
        for made in declare_function("sim", function_id, limited, {**_OPTIONS, "trigger": names, **options}):
            found[made.id] = made
    return found


class LimitedScripts:
    """Draws events for them."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._number = 100_000

    def event(self) -> dict[str, Any]:
        """Draw an event: {"name", "data"}."""
        draw = self._draw
        self._number += 1
        data: dict[str, Any] = {"n": self._number, "steps": self._steps()}
        if draw.random() < 0.92:
            data["a"] = draw.choice("xxyz")
        if draw.random() < 0.92:
            data["b"] = draw.choice("ppq")
        if draw.random() < 0.9:
            data["i"] = draw.choice("123456")
        if draw.random() < 0.5:
            data["rank"] = draw.choice([-2, -1, 0.5, 1, 2, 3, 1e9, "many"])
        if draw.random() < 0.1:
            data["size"] = "x" * 900
        return {"name": draw.choice(NAMES), "data": data}

    def _steps(self) -> dict[str, dict[str, Any]]:
        draw = self._draw
        steps = {}
        for number in range(draw.choice([0, 1, 1, 1, 2])):
            script: dict[str, Any] = {}
            if draw.random() < 0.6:
                script["ms"] = draw.choice([1, 20, 300, 1_500])
            kind = draw.random()
            if kind < 0.15:
                script["fails"] = draw.randint(1, RETRIES)
            elif kind < 0.2:
                script["fatal"] = True
            elif kind < 0.3:
                script["parks"] = True
            if draw.random() < 0.25:
                script["nap"] = draw.choice([1, 50, 700])
            steps[f"s{number}"] = script
        return steps


def limited_ends_as(data: dict[str, Any]) -> str:
    """Tell how a run that this event begins must end, if nothing cancels it."""
    return "Failed" if any(script.get("fatal") for script in data["steps"].values()) else "Completed"
