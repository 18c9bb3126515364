"""The users of a simulated world: functions that follow a script in their event's data, and strangers who send events.

A script says what every step does: how often it fails, how long it takes. So it is known beforehand how each run must
end. What a step returns is never the same twice: whoever runs one again, or forgets a result, is found out.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from headrace.execution.current import CURRENT
from headrace.execution.live_run import Call
from headrace.functions import Function, OnEvent, declare_function
from headrace.functions.errors import NonRetriableError, StepError
from headrace.functions.retries import Backoff, Retries

RETRIES = 2
HANGS_MS = 25_000
KEYS = ["k1", "k2", "k3", "k4", "k5"]
_OPTIONS: dict[str, Any] = {"retries": Retries(RETRIES, Backoff("fixed", "150ms", "1s", 0.1))}


class Scribe:
    """Writes down what user code did and saw; the checkers look over its shoulder."""

    def __init__(self) -> None:
        self.serial = 0
        self.struck: Counter[str] = Counter()
        self.on_attempt: list[Callable[[Any, str, bytes, int], None]] = []  # owner, run id, step, attempt
        self.on_value: list[Callable[[str, bytes, Any], None]] = []  # run id, step, what the code was given

    async def step(self, run_id: str, name: str, script: dict[str, Any]) -> str:
        """Do what the script says; every value is a new one."""
        call = CURRENT.get()
        assert isinstance(call, Call)
        attempt = call.attempt
        for look in self.on_attempt:
            look(call.live.owned.owner, run_id, name.encode(), attempt)
        if script.get("ms"):
            self.struck["hanging_step" if script["ms"] >= HANGS_MS else "slow_step"] += 1
            await asyncio.sleep(script["ms"] / 1000)
        self.serial += 1
        if script.get("fatal"):
            raise NonRetriableError(f"{name} {self.serial}")
        if attempt < script.get("fails", 0):
            self.struck["failing_step"] += 1
            raise ValueError(f"{name} {self.serial}")
        return f"{name} {self.serial} {'x' * script.get('size', 0)}"

    def saw(self, run_id: str, name: str, value: Any) -> Any:
        """Note what the code was given for a step."""
        for look in self.on_value:
            look(run_id, name.encode(), value)
        return value


def make_functions(scribe: Scribe) -> dict[str, Function]:
    """Declare the functions of the simulated app."""
    found: dict[str, Function] = {}

    def function(function_id: str, **options: Any) -> Callable[[Any], Any]:
        def declare(call: Any) -> Any:
            for made in declare_function("sim", function_id, call, {**_OPTIONS, **options}):
                found[made.id] = made
            return call

        return declare

    async def run_step(ctx: Any, name: str, script: dict[str, Any]) -> Any:
        try:
            value = await ctx.step.run(name, scribe.step, ctx.run_id, name, script)
        except StepError as error:
            scribe.saw(ctx.run_id, name, str(error))
            raise
        return scribe.saw(ctx.run_id, name, value)

    @function("plain", trigger=["plain", "w/*"])
    async def plain(ctx: Any) -> Any:
        return ctx.event.data["n"]

    @function("odd", trigger=OnEvent("plain", "event.data.n % 2 == 1"))
    async def odd(ctx: Any) -> Any:
        return ctx.event.data["n"]

    async def tell_failure(ctx: Any) -> Any:
        return ctx.event.data["run_id"]

    @function("steps", trigger="steps", on_failure=tell_failure)
    async def steps(ctx: Any) -> Any:
        return [await run_step(ctx, name, script) for name, script in ctx.event.data["steps"].items()]

    @function("sleeper", trigger="sleeper")
    async def sleeper(ctx: Any) -> Any:
        values = []
        for number, nap_ms in enumerate(ctx.event.data["naps"]):
            scribe.saw(ctx.run_id, f"nap-{number}", await ctx.step.sleep(f"nap-{number}", nap_ms / 1000))
            values.append(await run_step(ctx, f"after-{number}", {}))
        return values

    @function("parallel", trigger="parallel")
    async def parallel(ctx: Any) -> Any:
        async def branch(name: str, script: dict[str, Any]) -> list[Any]:
            first = await run_step(ctx, name, script)
            await ctx.step.sleep(f"{name}-nap", script.get("nap", 0) / 1000)
            return [first, await run_step(ctx, f"{name}-more", {})]

        return await asyncio.gather(*(branch(name, script) for name, script in ctx.event.data["steps"].items()))

    @function("chain", trigger="chain")
    async def chain(ctx: Any) -> Any:
        data = ctx.event.data
        await run_step(ctx, "before", {})
        ids = await ctx.step.send_event("send", data["events"])
        scribe.saw(ctx.run_id, "send", ids)
        return await run_step(ctx, "after", {})

    @function("body", trigger="body")
    async def body(ctx: Any) -> Any:
        data = ctx.event.data
        value = await run_step(ctx, "first", {})
        if ctx.attempt < data["fails"]:
            raise ValueError("the body fails")
        return value

    @function("long", trigger="long")
    async def long(ctx: Any) -> Any:
        await run_step(ctx, "first", {})
        await ctx.step.sleep("for ever", "30d")

    return found


@dataclass
class Sent:
    """An event that a stranger put on the topic."""

    name: str
    data: dict[str, Any]
    partition: int
    offset: int
    key: str | None = None
    given_id: str = ""
    ts_ms: int = 0
    poison: bool = False
    ends: str = ""  # how its runs must end, where a test knows better than the script


class Scripts:
    """Draws events with scripts for the functions above."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._number = 0
        self._ids: list[tuple[str, str, str | None]] = []  # name, id, key of events that may come again

    def event(self) -> dict[str, Any]:
        """Draw an event: {"name", "data"}."""
        draw = self._draw
        self._number += 1
        name = draw.choice(["plain", "plain", "w/a", "steps", "steps", "sleeper", "parallel", "chain", "body", "long"])
        data: dict[str, Any] = {"n": self._number}
        if name == "steps":
            data["steps"] = self._steps(draw.randint(1, 4))
        elif name == "sleeper":
            data["naps"] = [draw.choice([1, 50, 700, 5_000]) for _ in range(draw.randint(1, 3))]
        elif name == "parallel":
            data["steps"] = self._steps(draw.randint(1, 3), always=True)
        elif name == "chain":
            data["events"] = [self._published(2) for _ in range(draw.randint(1, 3))]
        elif name == "body":
            data["fails"] = draw.choice([0, 1, 2, 3, 4])
        return {"name": name, "data": data}

    def _published(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        self._number += 1
        event: dict[str, Any] = {"name": "plain", "data": {"n": self._number}}
        if depth and draw.random() < 0.4:
            inner = [self._published(depth - 1) for _ in range(draw.randint(1, 2))]
            event = {"name": "chain", "data": {"n": self._number, "events": inner}}
        if draw.random() < 0.6:
            event["key"] = draw.choice(KEYS)
        if draw.random() < 0.3:
            event["id"] = f"published-{draw.randint(1, 5)}"
        return event

    def _steps(self, count: int, always: bool = False) -> dict[str, dict[str, Any]]:
        draw = self._draw
        steps = {}
        for number in range(count):
            script: dict[str, Any] = {}
            kind = draw.random()
            if kind < 0.2:
                script["fails"] = draw.randint(1, RETRIES)
            elif kind < 0.3 and not always:
                script["fails"] = RETRIES + 1
            elif kind < 0.35 and not always:
                script["fatal"] = True
            if draw.random() < 0.4:
                script["ms"] = draw.choice([1, 20, 300, 4_000])
            elif draw.random() < 0.05:
                script["ms"] = HANGS_MS  # longer than anybody waits
            if draw.random() < 0.2:
                script["size"] = draw.choice([10, 700])
            if draw.random() < 0.3:
                script["nap"] = draw.choice([1, 400])
            steps[f"s{number}"] = script
        return steps

    def poison(self) -> bytes | None:
        """Draw a record that nobody can use."""
        return self._draw.choice(
            [
                b"",
                None,
                b"not json",
                b"\xff\xfe",
                b"[1, 2]",
                b'{"data": {}}',
                b'{"name": "", "data": {}}',
                b'{"name": "inngest/forged", "data": {}}',
                b'{"name": "plain", "data": [1]}',
                b'{"name": "plain", "ts": 12, "data": {}}',
                b'{"name": "plain", "data": {"n": "' + b"x" * 400,
            ]
        )


def ends_as(name: str, data: dict[str, Any]) -> str:
    """Tell how a run of the function for this event must end."""
    if name == "steps":
        for script in data["steps"].values():
            if script.get("fatal") or script.get("fails", 0) > RETRIES:
                return "Failed"
    if name == "body" and data["fails"] > RETRIES:
        return "Failed"
    return "Cancelled" if name == "long" else "Completed"


def started_by(name: str, data: dict[str, Any]) -> list[str]:
    """Name the functions that an event starts."""
    if name == "plain":
        return ["sim-plain"] + ["sim-odd"] * (data["n"] % 2)
    if name.startswith("w/"):
        return ["sim-plain"]
    return [f"sim-{name}"]


def event_value(event: dict[str, Any], given_id: str = "", ts_ms: int = 0) -> bytes:
    """Write an event as a producer does."""
    fields = {"name": event["name"], "data": event["data"]}
    if given_id:
        fields["id"] = given_id
    if ts_ms:
        fields["ts"] = ts_ms
    return json.dumps(fields).encode()
