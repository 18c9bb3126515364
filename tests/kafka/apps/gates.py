"""Two limited functions on one event: one at a time for each key, two at a time, and an app-wide limit over both.

Every piece of work notes when it begins and ends, by a clock that all processes of the machine share.
`GATES_EXTRA` makes each limit so much wider than the checks take it for: a planted mistake, for the checks' own sake.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from headrace import App, Backoff, Concurrency, Context, Retries
from tests.kafka.apps.witness import note

ONE, TWO, TOGETHER = 1, 2, 8
KEY = "event.data.key"
app = App("gates")
_EXTRA = int(os.environ.get("GATES_EXTRA", "0"))
_RETRIES = Retries(3, backoff=Backoff("fixed", base="50ms", max="50ms", jitter=0))


def limited(slots: int) -> list[Concurrency]:
    """Limit the runs of a key, and those of the whole app."""
    return [Concurrency(slots + _EXTRA, key=KEY), Concurrency(TOGETHER + _EXTRA, scope="app")]


class Busy(Exception):
    """What the first attempt of the second piece raises, where the event says so."""


def begin(ctx: Context, piece: str) -> None:
    note("begin", ctx, key=ctx.event.data["key"], piece=piece, at_ns=time.monotonic_ns())


def end(ctx: Context, piece: str) -> None:
    note("end", ctx, key=ctx.event.data["key"], piece=piece, at_ns=time.monotonic_ns())


def fail_once(ctx: Context, piece: str) -> None:
    if ctx.event.data.get("busy") and piece == "second" and ctx.attempt == 0:
        raise Busy(piece)


async def work(ctx: Context, piece: str) -> None:
    begin(ctx, piece)
    try:
        await asyncio.sleep(ctx.event.data["work_ms"] / 1000)
        fail_once(ctx, piece)
    finally:
        end(ctx, piece)


def work_on_thread(ctx: Context, piece: str) -> None:
    begin(ctx, piece)
    try:
        time.sleep(ctx.event.data["work_ms"] / 1000)
        fail_once(ctx, piece)
    finally:
        end(ctx, piece)


@app.function("one", trigger="job", concurrency=limited(ONE), retries=_RETRIES)
async def one(ctx: Context) -> dict[str, Any]:
    """Three pieces; the slots are given back for a short sleep, and for the wait before a retry."""
    for piece in ("first", "second"):
        await ctx.step.run(piece, work, ctx, piece)
    await ctx.step.sleep("rest", 0.02)
    await ctx.step.run("third", work, ctx, "third")
    return {"n": ctx.event.data["n"]}


@app.function("two", trigger="job", concurrency=limited(TWO), retries=_RETRIES)
def two(ctx: Context) -> dict[str, Any]:
    """The same on threads."""
    for piece in ("first", "second"):
        ctx.step.run(piece, work_on_thread, ctx, piece)
    ctx.step.sleep("rest", 0.02)
    ctx.step.run("third", work_on_thread, ctx, "third")
    return {"n": ctx.event.data["n"]}
