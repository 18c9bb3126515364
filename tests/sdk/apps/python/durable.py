"""Functions that are interrupted: the app is edited, restarted or killed, or the server is."""

import asyncio
import datetime
import os

import inngest
from client import function
from ledger import note

EDITION = os.environ.get("EDITION", "1")


@function("edited")
async def edited(ctx: inngest.Context) -> dict:
    async def said(name: str) -> str:
        note(ctx.run_id, "edited", f"{name}{EDITION}")
        return f"{name}{EDITION}"

    first = await ctx.step.run("a", said, "a")
    await ctx.step.sleep("nap", datetime.timedelta(seconds=2))
    between = [await ctx.step.run("between", said, "between")] if EDITION == "2" else []
    return {"steps": [first, *between, await ctx.step.run("b", said, "b")]}


@function("counting", retries=20)
async def counting(ctx: inngest.Context) -> int:
    async def count(number: int) -> int:
        note(ctx.run_id, "counting", f"in {number}", worker=os.getpid())
        await asyncio.sleep(0.3)
        note(ctx.run_id, "counting", f"out {number}", worker=os.getpid())
        return number

    return sum([await ctx.step.run(f"count {number}", count, number) for number in range(6)])
