"""Users who wait: for events, signals, other functions, the clock; and strangers who send that, or stop them.

What a run asks for stands in its event's data, so it is known beforehand which events may answer it. Few different
values are drawn, and short time-outs, so that events, time-outs, cancellations and crashes meet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from headrace.functions import Function, declare_function
from headrace.functions.cron_trigger import Cron
from headrace.functions.errors import NonRetriableError, StepError
from headrace.functions.limits import Concurrency
from headrace.functions.retries import Backoff, Retries
from headrace.functions.selection import CancelOn, Timeouts
from headrace.functions.waits import Wait

Look = Callable[[str, bytes, Any], None]  # run id, step, what the code was given
FINISH_MS = 1_500
CANCEL_ON_MS = 4_000  # how long `wait/halt` may cancel a run
TICK_S = 4
VALUES = 4
SIGNALS = 2
NAMES = ("wait/a", "wait/b")
HOWS = ("match", "match", "match", "even", "loose", "any")
_OPTIONS: dict[str, Any] = {"retries": Retries(1, Backoff("fixed", "150ms", "1s", 0.1))}
_EVEN = "async.data.k == event.data.k && async.data.e % 2 == 0"
_LOOSE = "async.data.e % 3 == 0"


def matches(how: str, own: int, data: dict[str, Any]) -> bool:
    """Tell whether an event's data is what a run of this value waits for so."""
    if how == "any":
        return True
    if how == "loose":
        return bool(data["e"] % 3 == 0)
    return bool(data["k"] == own and (how == "match" or data["e"] % 2 == 0))


def condition(how: str) -> dict[str, str]:
    """Write it as the options of a wait."""
    return {"match": {"match": "data.k"}, "even": {"if_": _EVEN}, "loose": {"if_": _LOOSE}, "any": {}}[how]


class Scribe:
    """Where user code tells what it does and sees."""

    def __init__(self) -> None:
        self.on_begin: list[Callable[[str], None]] = []
        self.on_given: list[Look] = []

    def began(self, run_id: str) -> None:
        """The code of a run is executed."""
        for look in self.on_begin:
            look(run_id)

    def given(self, run_id: str, step: str, value: Any) -> None:
        """A step has given this: ("event", index, e) | ("signal", data) | ("late",) | ("invoked", …) | ("count", n)."""
        for look in self.on_given:
            look(run_id, step.encode(), value)


def make_waiting_functions(scribe: Scribe) -> dict[str, Function]:
    """Declare the functions of those who wait."""
    found: dict[str, Function] = {}

    def function(function_id: str, **options: Any) -> Callable[[Any], Any]:
        def declare(call: Any) -> Any:
            for made in declare_function("sim", function_id, call, {**_OPTIONS, **options}):
                found[made.id] = made
            return call

        return declare

    async def interpret(ctx: Any) -> Any:
        scribe.began(ctx.run_id)
        for number, ask in enumerate(ctx.event.data["asks"]):
            if ask["do"] == "both":
                await asyncio.gather(*(_ask(scribe, ctx, f"ask-{number}.{i}", one) for i, one in enumerate(ask["of"])))
            else:
                await _ask(scribe, ctx, f"ask-{number}", ask)
        return ctx.event.data["n"]

    function("waiter", trigger="wait/go")(interpret)
    stops = [
        CancelOn("wait/stop", match="data.k"),
        CancelOn("wait/halt", if_=_EVEN, timeout=f"{CANCEL_ON_MS}ms"),
    ]
    function("stoppable", trigger="wait/stoppable", cancel_on=stops)(interpret)
    function("brief", trigger="wait/brief", timeouts=Timeouts(finish=f"{FINISH_MS}ms"))(interpret)

    @function("child", trigger="wait/child", cancel_on=stops[:1])
    async def child(ctx: Any) -> Any:
        data = ctx.event.data
        scribe.began(ctx.run_id)
        await ctx.step.sleep("nap", "30d" if data["does"] == "linger" else data["nap"] / 1000)
        if data["does"] == "fail":
            raise NonRetriableError(f"child {data['n']}")
        return f"child {data['n']}"

    @function("tally", trigger="wait/tally", concurrency=Concurrency(1, key="event.data.account"))
    async def tally(ctx: Any) -> Any:
        scribe.began(ctx.run_id)
        if ctx.event.data["nap"]:  # it gives its slot back meanwhile
            await ctx.step.sleep("nap", ctx.event.data["nap"] / 1000)
        count = await ctx.state.get("count", 0)
        scribe.given(ctx.run_id, "state.get count", ("count", count))
        await ctx.state.set("count", count + 1)
        return count + 1

    function("ticker", trigger=Cron(f"@every {TICK_S}s", overlap="queue"))(_tick)
    return found


async def _tick(ctx: Any) -> Any:
    await ctx.step.sleep("nap", 0.05)
    return ctx.event.data["scheduledAt"]


def idle_ticker() -> dict[str, Function]:
    """Declare the ticker with a line that is not due for years: its old line goes."""
    made = declare_function("sim", "ticker", _tick, {**_OPTIONS, "trigger": Cron("0 0 29 2 *", overlap="queue")})
    return {function.id: function for function in made}


async def _ask(scribe: Scribe, ctx: Any, step: str, ask: dict[str, Any]) -> None:
    timeout = ask["ms"] / 1000 if ask.get("ms") else None
    since = "run" if ask.get("since") else None
    given: Any
    if ask["do"] == "nap":
        await ctx.step.sleep(step, ask["ms"] / 1000)
        return
    if ask["do"] == "invoke":
        data = {"n": f"{ctx.event.data['n']}:{step}", "k": ctx.event.data["k"], "does": ask["does"], "nap": ask["nap"]}
        try:
            given = ("invoked", await ctx.step.invoke(step, function="sim-child", data=data, timeout=timeout))
        except StepError as error:
            given = ("failed", error.name, error.run_id)
    elif ask["do"] == "signal":
        told = await ctx.step.wait_for_signal(step, signal=ask["name"], timeout=timeout)
        given = ("signal", told.data) if told else ("late",)
    else:
        if ask["do"] == "any":
            waits = [Wait(event, **condition(how)) for event, how in ask["of"]]
            got = await ctx.step.wait_any(step, waits, timeout=timeout, since=since)
        else:
            (event, how), *_ = ask["of"]
            got = await ctx.step.wait_for_event(step, event=event, timeout=timeout, since=since, **condition(how))
        given = ("event", got.index, got.event.data["e"]) if got else ("late",)
    scribe.given(ctx.run_id, step, given)


def asked_for(data: dict[str, Any]) -> dict[bytes, dict[str, Any]]:
    """Name the steps of a script, and what each asks for."""
    steps: dict[bytes, dict[str, Any]] = {}
    for number, ask in enumerate(data.get("asks", ())):
        if ask["do"] == "both":
            steps.update({b"ask-%d.%d" % (number, i): one for i, one in enumerate(ask["of"])})
        else:
            steps[b"ask-%d" % number] = ask
    return steps


class WaitScripts:
    """Draws what runs ask for, and what comes."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._number = 0

    def number(self) -> int:
        """Give the next one."""
        self._number += 1
        return self._number

    def start(self) -> tuple[str, dict[str, Any]]:
        """Draw an event that starts a run."""
        draw = self._draw
        n, k = self.number(), draw.randrange(VALUES)
        kind = draw.random()
        if kind < 0.2:
            return "wait/tally", {"n": n, "account": f"a{draw.randrange(2)}", "nap": draw.choice([0, 0, 300])}
        if kind < 0.3:
            asks = [{"do": "nap", "ms": draw.choice([1, 700, 1_400, 1_600])}, self._ask(draw.choice([1_000, 0]))]
            return "wait/brief", {"n": n, "k": k, "asks": asks}
        asks = [self._any_ask() for _ in range(draw.randint(1, 3))]
        name = "wait/stoppable" if kind < 0.6 else "wait/go"
        return name, {"n": n, "k": k, "asks": asks}

    def _any_ask(self) -> dict[str, Any]:
        draw = self._draw
        kind = draw.random()
        if kind < 0.15:
            return {"do": "nap", "ms": draw.choice([1, 300, 3_000])}
        if kind < 0.35:
            does = draw.choice(["complete", "complete", "fail", "linger"])
            return {"do": "invoke", "does": does, "nap": draw.choice([1, 1_000]), "ms": draw.choice([0, 900, 5_000])}
        if kind < 0.5:
            return {"do": "signal", "name": f"s{draw.randrange(SIGNALS)}", "ms": draw.choice([0, 800, 5_000])}
        if kind < 0.65:
            return {"do": "both", "of": [self._ask(draw.choice([700, 5_000])) for _ in range(2)]}
        return self._ask(draw.choice([0, 400, 2_000, 2_000, 7_000]))

    def _ask(self, timeout_ms: int) -> dict[str, Any]:
        draw = self._draw
        several = draw.randint(2, 3) if draw.random() < 0.3 else 1
        waits = [[draw.choice(NAMES), draw.choice(HOWS)] for _ in range(several)]
        ask: dict[str, Any] = {"do": "any" if several > 1 else "event", "of": waits, "ms": timeout_ms}
        if draw.random() < 0.3:
            ask["since"] = True
        return ask

    def coming(self) -> tuple[str, dict[str, Any]]:
        """Draw an event that somebody may wait for, or that stops runs."""
        draw = self._draw
        name = draw.choice(NAMES) if draw.random() < 0.8 else draw.choice(["wait/stop", "wait/halt"])
        return name, {"e": self.number(), "k": draw.randrange(VALUES)}
