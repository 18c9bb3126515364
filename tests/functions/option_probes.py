"""What each option of a function does, seen in the test kit: one probe an option, which holds beside any other option.

Every probe marks its own events: those of the others carry keys of their own, or none, so each option decides only
about what is meant for it. So what a probe finds must be the same whatever else the function declares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace import (
    App,
    Backoff,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Cron,
    Debounce,
    Idempotency,
    Middleware,
    OnEvent,
    Priority,
    RateLimit,
    Retries,
    Singleton,
    Throttle,
    Timeouts,
)
from headrace.functions.cron import next_fires
from headrace.testing import TestApp

NEW_YEAR = "0 0 1 1 *"


class Boom(Exception):
    """What a step raises that the event asks to fail."""


class Counting(Middleware):
    """Counts runs."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def before_run(self, ctx: Any) -> None:
        self.begun.append(ctx.run_id)


async def work(ctx: Context) -> dict[str, Any]:
    """Do what the first event says: hold a slot for a while, fail at first or always, sleep."""
    data = ctx.event.data

    async def hold() -> None:
        await asyncio.sleep(data.get("hold_s", 0))

    async def fail() -> None:
        if ctx.attempt < data.get("fails", 0):
            raise Boom(f"attempt {ctx.attempt}")

    await ctx.step.run("hold", hold)
    await ctx.step.run("fail", fail)
    if data.get("sleep"):
        await ctx.step.sleep("rest", data["sleep"])
    return {"numbers": [event.data.get("n") for event in ctx.events]}


async def mourn(ctx: Context) -> str:
    """Stand by as `on_failure`."""
    return str(ctx.event.data["run_id"])


@dataclass
class Kit:
    """A function under test, the events it was sent, and what became of them."""

    t: TestApp
    options: Mapping[str, Any]
    sent: dict[int, str] = field(default_factory=dict)  # by number: the event's id

    def send(self, *, name: str = "job", **data: Any) -> int:
        """Send an event that no stage but the marked ones has anything against; its number."""
        n = len(self.sent)
        own = {"n": n, "by_throttle": n, "by_concurrency": n, "by_debounce": n, "by_batch": n}
        self.sent[n] = self.t.send(name, {**own, **data})
        if "debounce" in self.options:  # what is held until one moment goes on in any order
            self.t.advance("1ms")
        return n

    def settle(self) -> None:
        """Let what debounce holds back go on."""
        self.t.advance("5s" if "debounce" in self.options else 0)

    def runs(self, n: int) -> list[Any]:
        """List the runs that an event is part of."""
        return [run for run in self.t.runs_of("f") if self.sent[n] in run.event_ids]

    def run(self, n: int) -> Any:
        """Give the one run of an event."""
        (run,) = self.runs(n)
        return run

    def states(self, *numbers: int) -> list[str]:
        """Say of each event's run what it does, or how it ended."""
        runs = [self.run(n) for n in numbers]
        return [run.phase or run.status for run in runs]

    def codes(self, n: int) -> list[str]:
        """List the verdicts about an event, by their codes."""
        return [verdict.code for verdict in self.t._ledger.verdicts(self.sent[n])]


def app_of(options: Mapping[str, Any]) -> App:
    """Declare the function, and another one that stands beside it."""
    app = bare_app()
    given = dict(options)
    if "triggers" not in given:
        given["trigger"] = "job"
    app.function("f", **given)(work)
    return app


def bare_app() -> App:
    """Make an app without the function."""
    app = App("shop")

    @app.function("other", trigger="job")
    async def other(ctx: Context) -> None: ...

    return app


# --- probes ---------------------------------------------------------------------------------------------------------


def probe_plain(kit: Kit) -> None:
    n = kit.send()
    kit.settle()
    assert kit.states(n) == ["Completed"]
    assert kit.run(n).output == {"numbers": [n]}


def probe_triggers(kit: Kit) -> None:
    unwanted, wanted = kit.send(name="job/a", go=False), kit.send(name="job/a", go=True)
    kit.settle()
    assert not kit.runs(unwanted)
    assert kit.states(wanted) == ["Completed"]
    (fire_ms,) = next_fires(NEW_YEAR, "", kit.t.now_ms, 1)
    before = len(kit.t.runs_of("f"))
    kit.t.advance((fire_ms - kit.t.now_ms) / 1000)
    kit.settle()
    (run,) = kit.t.runs_of("f")[before:]
    assert run.status == "Completed"


def probe_retries(kit: Kit) -> None:
    n = kit.send(fails=1)
    kit.settle()
    assert kit.states(n) == ["backing_off"]
    kit.t.advance("1s")
    assert kit.states(n) == ["Completed"]
    assert kit.run(n).steps["fail"].attempts == 2


def probe_on_failure(kit: Kit) -> None:
    before = len(kit.t.runs_of("f-failure"))
    n = kit.send(fails=99)
    kit.settle()
    kit.t.advance("1h")
    if "on_exhausted" in kit.options:  # it has not failed yet
        assert kit.states(n) == ["parked"]
        kit.t.cancel(kit.run(n))
        assert kit.states(n) == ["Cancelled"]
        assert len(kit.t.runs_of("f-failure")) == before
        return
    assert kit.states(n) == ["Failed"]
    assert len(kit.t.runs_of("f-failure")) == before + 1
    assert kit.t.run_of("f-failure").output == kit.run(n).id


def probe_on_exhausted(kit: Kit) -> None:
    n = kit.send(fails=99)
    kit.settle()
    kit.t.advance("5m")
    assert kit.states(n) == ["parked"]
    kit.t.cancel(kit.run(n))
    assert kit.states(n) == ["Cancelled"]


def probe_concurrency(kit: Kit) -> None:
    first, second = (kit.send(by_concurrency="same", hold_s=10, rank=1) for _ in range(2))
    kit.settle()
    assert kit.states(first, second) == ["executing", "queued"]
    kit.t.advance("10s")
    assert kit.states(first, second) == ["Completed", "executing"]
    kit.t.advance("10s")
    assert kit.states(first, second) == ["Completed", "Completed"]


def probe_throttle(kit: Kit) -> None:
    first, second = (kit.send(by_throttle="same") for _ in range(2))
    kit.settle()
    assert kit.states(first) == ["Completed"]
    assert not kit.runs(second)
    assert kit.codes(second)[-1] == "held_throttled"
    kit.t.advance("1m")
    assert kit.states(second) == ["Completed"]


def probe_rate_limit(kit: Kit) -> None:
    first, second = (kit.send(by_rate_limit="same") for _ in range(2))
    kit.settle()
    assert kit.states(first) == ["Completed"]
    assert (kit.runs(second), kit.codes(second)) == ([], ["rate_limited"])


def probe_debounce(kit: Kit) -> None:
    first, second = (kit.send(by_debounce="same") for _ in range(2))
    kit.t.advance("4s")
    assert not kit.runs(second)
    kit.t.advance("1s")
    assert kit.states(second) == ["Completed"]
    assert (kit.runs(first), kit.codes(first)[-1]) == ([], "debounce_replaced")


def probe_batch(kit: Kit) -> None:
    first, second = (kit.send(by_batch="same", bulk=True) for _ in range(2))
    kit.settle()
    assert kit.run(first).id == kit.run(second).id
    assert kit.run(first).output == {"numbers": [first, second]}
    late = kit.send(by_batch="same", bulk=True)
    kit.settle()
    assert not kit.runs(late)
    kit.t.advance("30s")
    assert kit.states(late) == ["Completed"]


def probe_partitioned(kit: Kit) -> None:
    numbers = [kit.send(bulk=True) for _ in range(4)]  # two partitions take turns in the kit
    kit.settle()
    if "debounce" in kit.options:  # they come from the partitions of their keys
        kit.t.advance("30s")
        gathered = {run.id: run.output["numbers"] for n in numbers for run in kit.runs(n)}
        assert sorted(n for batch in gathered.values() for n in batch) == numbers
        assert len(gathered) < len(numbers)
        return
    assert sorted(kit.run(n).output["numbers"] for n in numbers[:2]) == [numbers[::2], numbers[1::2]]


def probe_priority(kit: Kit) -> None:
    """Where runs queue, the one with the higher rank goes first; elsewhere it changes nothing."""
    if "concurrency" not in kit.options:
        probe_plain(kit)
        return
    first, low, high = (kit.send(by_concurrency="same", hold_s=5, rank=rank) for rank in (0, 1.5, 60))
    kit.settle()
    assert kit.states(first, low, high) == ["executing", "queued", "queued"]
    kit.t.advance("5s")
    assert kit.states(first, low, high) == ["Completed", "queued", "executing"]
    kit.t.advance("10s")


def probe_skip(kit: Kit) -> None:
    first, second = (kit.send(by_singleton="same", sleep="20m") for _ in range(2))
    kit.settle()
    assert kit.states(first) == ["sleeping"]
    assert (kit.runs(second), kit.codes(second)[-1]) == ([], "singleton_skipped")
    kit.t.advance("20m")
    assert kit.states(first) == ["Completed"]


def probe_cancel(kit: Kit) -> None:
    first = kit.send(by_singleton="same", sleep="20m")
    kit.settle()
    second = kit.send(by_singleton="same")
    kit.settle()
    assert kit.states(first, second) == ["Cancelled", "Completed"]


def probe_idempotency(kit: Kit) -> None:
    first, second = (kit.send(by_idempotency="same") for _ in range(2))
    kit.settle()
    assert kit.states(first) == ["Completed"]
    assert (kit.runs(second), kit.codes(second)) == ([], ["idempotency_key_repeated"])


def probe_cancel_on(kit: Kit) -> None:
    first, second = (kit.send(sleep="20m") for _ in range(2))
    kit.settle()
    kit.t.send("stop", {"n": first})
    assert kit.states(first, second) == ["Cancelled", "sleeping"]
    kit.t.advance("20m")
    assert kit.states(second) == ["Completed"]


def probe_timeouts(kit: Kit) -> None:
    n = kit.send(sleep="2h")
    kit.settle()
    assert kit.states(n) == ["sleeping"]
    kit.t.advance("1h")
    assert kit.states(n) == ["Cancelled"]
    if "concurrency" in kit.options:  # where there is a queue, time in it is over as well
        first, second = (kit.send(by_concurrency="same", hold_s=400) for _ in range(2))
        kit.settle()
        kit.t.advance("5m")
        assert kit.states(first, second) == ["executing", "Cancelled"]
        kit.t.advance("5m")


def probe_start_from(kit: Kit) -> None:
    n = kit.send()
    assert not kit.runs(n)
    kit.t.reload(app_of(kit.options))
    kit.t.advance("1s")
    kit.settle()
    assert kit.states(n) == ["Completed"]
    probe_plain(kit)


def probe_middleware(kit: Kit) -> None:
    (counting,) = kit.options["middleware"]
    n = kit.send()
    kit.settle()
    assert kit.run(n).id in counting.begun


Probe = Callable[[Kit], None]
# Of each option the values that differ in what they do.
OPTIONS: dict[str, dict[str, tuple[Any, Probe]]] = {
    "name": {"name": ("F", probe_plain)},
    "triggers": {
        "triggers": ([OnEvent("job/*", if_="event.data.go == true"), "job", Cron(NEW_YEAR)], probe_triggers),
    },
    "retries": {"retries": (Retries(1, Backoff("fixed", "1s", "1s", 0)), probe_retries)},
    "on_failure": {"on_failure": (mourn, probe_on_failure)},
    "on_exhausted": {"on_exhausted": ("park", probe_on_exhausted)},
    "concurrency": {
        "concurrency": (Concurrency(1, key="event.data.by_concurrency"), probe_concurrency),
        "concurrency, of the app too": (
            [Concurrency(1, key="event.data.by_concurrency"), Concurrency(4, scope="app"), 3],
            probe_concurrency,
        ),
    },
    "throttle": {"throttle": (Throttle(1, "1m", key="event.data.by_throttle"), probe_throttle)},
    "rate_limit": {"rate_limit": (RateLimit(1, "2d", key="event.data.by_rate_limit"), probe_rate_limit)},
    "debounce": {"debounce": (Debounce("5s", key="event.data.by_debounce"), probe_debounce)},
    "batch": {
        "batch": (Batch(2, "30s", key="event.data.by_batch", if_="event.data.bulk == true"), probe_batch),
        "batch, partitioned": (Batch(2, "30s", if_="event.data.bulk == true", partitioned=True), probe_partitioned),
    },
    "priority": {"priority": (Priority("event.data.rank"), probe_priority)},
    "singleton": {
        "singleton, skip": (Singleton("skip", key="event.data.by_singleton"), probe_skip),
        "singleton, cancel": (Singleton("cancel", key="event.data.by_singleton"), probe_cancel),
    },
    "idempotency": {"idempotency": (Idempotency("event.data.by_idempotency", "2d"), probe_idempotency)},
    "cancel_on": {"cancel_on": (CancelOn("stop", match="data.n"), probe_cancel_on)},
    "timeouts": {"timeouts": (Timeouts(start="5m", finish="30m"), probe_timeouts)},
    "start_from": {"start_from": ("1d", probe_start_from)},
    "middleware": {"middleware": ([Counting], probe_middleware)},
}
