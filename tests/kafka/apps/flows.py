"""Orders in several steps, a second function on the same event, a third on what the first publishes; naps and bulk."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from headrace import App, Backoff, Context, Event, Retries
from tests.kafka.apps.witness import begin_step, note

app = App("flows")
RETRIES = Retries(3, backoff=Backoff("fixed", base="150ms", max="150ms", jitter=0))


_ON_THREAD_MS_MAX = 20  # threads are few


class Busy(Exception):
    """What the first attempt of a step raises, where the event says so."""


async def work(ctx: Context, step: str, occurrence: int = 0) -> dict[str, Any]:
    """Do what the event says about this step: take a while, fail at first; give a value of its own."""
    value = begin_step(ctx, step, occurrence)
    data = ctx.event.data
    await asyncio.sleep(data.get("work_ms", 0) / 1000)
    if data.get("busy") == step and ctx.attempt == 0:
        raise Busy(step)
    return {"value": value}


def charge(ctx: Context, step: str) -> dict[str, Any]:
    """Do the same on a thread."""
    value = begin_step(ctx, step, 0)
    data = ctx.event.data
    time.sleep(min(data.get("work_ms", 0), _ON_THREAD_MS_MAX) / 1000)
    if data.get("busy") == step and ctx.attempt == 0:
        raise Busy(step)
    return {"value": value}


async def step(ctx: Context, name: str, occurrence: int = 0) -> str:
    """Run one step, and note which value the function got for it."""
    value: str = (await ctx.step.run(name, work, ctx, name, occurrence))["value"]
    note("saw", ctx, step=name, occurrence=occurrence, value=value)
    return value


@app.function("order", trigger="order/created", retries=RETRIES)
async def order(ctx: Context) -> dict[str, Any]:
    """Seven steps: one after another, two side by side, one id twice, a short sleep, an event."""
    note("body-start", ctx)
    data = ctx.event.data
    values = [await step(ctx, "reserve")]
    values += await asyncio.gather(step(ctx, "pack-left"), step(ctx, "pack-right"))
    for occurrence in range(2):
        values.append(await step(ctx, "stamp", occurrence))
    await ctx.step.sleep("rest", data.get("rest_ms", 20) / 1000)
    await ctx.step.send_event("announce", Event("order/done", {"n": data["n"], "of": ctx.run_id}, key=data.get("key")))
    values.append(await step(ctx, "close"))
    note("body-end", ctx)
    return {"n": data["n"], "values": values}


@app.function("bill", trigger="order/created", retries=RETRIES)
def bill(ctx: Context) -> dict[str, Any]:
    """One step, on threads."""
    note("body-start", ctx)
    paid = ctx.step.run("charge", charge, ctx, "charge")
    note("saw", ctx, step="charge", occurrence=0, value=paid["value"])
    note("body-end", ctx)
    return {"n": ctx.event.data["n"], "values": [paid["value"]]}


@app.function("mail", trigger="order/done", retries=RETRIES)
async def mail(ctx: Context) -> dict[str, Any]:
    """One step, for the event that an order publishes."""
    note("body-start", ctx)
    values = [await step(ctx, "write")]
    note("body-end", ctx)
    return {"n": ctx.event.data["n"], "values": values}


@app.function("count", trigger="tick", retries=RETRIES)
async def count(ctx: Context) -> dict[str, Any]:
    """No step at all."""
    note("body-start", ctx)
    note("body-end", ctx)
    return {"n": ctx.event.data["n"]}


@app.function("nap", trigger="nap/wanted", retries=RETRIES)
async def nap(ctx: Context) -> dict[str, Any]:
    """Two steps with a sleep between them."""
    note("body-start", ctx)
    values = [await step(ctx, "before")]
    await ctx.step.sleep("nap", ctx.event.data["nap_ms"] / 1000)
    values.append(await step(ctx, "after"))
    note("body-end", ctx)
    return {"n": ctx.event.data["n"], "values": values}


async def swell(ctx: Context, size: int) -> dict[str, Any]:
    """Give a result of about so many bytes, which cannot be compressed."""
    return {"value": begin_step(ctx, "swell", 0), "ballast": os.urandom(size // 2).hex()}


@app.function("bulk", trigger="bulk/arrived", retries=RETRIES)
async def bulk(ctx: Context) -> dict[str, Any]:
    """Record a large result, sleep on it as long as the event says."""
    note("body-start", ctx)
    data = ctx.event.data
    value = (await ctx.step.run("swell", swell, ctx, data["bytes"]))["value"]
    note("saw", ctx, step="swell", occurrence=0, value=value)
    await ctx.step.sleep("rest", data.get("nap_ms", 10) / 1000)
    value = await step(ctx, "close")
    note("body-end", ctx)
    return {"n": data["n"], "values": [value]}
