"""The functions that the benchmark runs, as anybody would write them.

Latencies are taken inside the functions, from the `sent_ms` that the producer put into the event; they are kept in
memory and written to the file that `BENCH_TIMES` names when an event bench/dump comes.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from headrace import App, Batch, Concurrency, Context

app = App("bench")
times_ms: dict[str, list[float]] = {"start": [], "completed": [], "late": [], "matched": [], "batches": []}


def _since(ctx: Context) -> float:
    return time.time() * 1000 - float(ctx.event.data["sent_ms"])


@app.function("nothing", trigger="bench/nothing")
async def nothing(ctx: Context) -> None:
    """Run without a step."""


async def answer(number: int) -> dict[str, int]:
    """Stand for a call to somewhere."""
    return {"answer": number}


@app.function("three", trigger="bench/three")
async def three(ctx: Context) -> int:
    """Run three steps, one after the other."""
    total = 0
    for number in range(3):
        result = await ctx.step.run(f"step-{number}", answer, number)
        total += result["answer"]
    return total


@app.function("timed", trigger="bench/timed")
async def timed(ctx: Context) -> None:
    """Take the time from the event to the start of the function, and to the end of its third step."""
    started = _since(ctx)
    for number in range(3):
        await ctx.step.run(f"step-{number}", answer, number)
    if ctx.attempt == 0:
        times_ms["start"].append(started)
        times_ms["completed"].append(_since(ctx))


asked_ms: dict[str, float] = {}


@app.function("sleeper", trigger="bench/sleep")
async def sleeper(ctx: Context) -> None:
    """Sleep for five seconds, and take how late it woke after it had asked."""
    asked_ms.setdefault(ctx.run_id, time.time() * 1000)  # code that is replayed asks for nothing
    await ctx.step.sleep("nap", "5s")
    times_ms["late"].append(time.time() * 1000 - asked_ms.pop(ctx.run_id) - 5_000)


@app.function("long-sleeper", trigger="bench/long-sleep")
async def long_sleeper(ctx: Context) -> None:
    """Sleep for longer than any benchmark."""
    await ctx.step.sleep("night", "7d")


def _take_batch(ctx: Context) -> None:
    times_ms["batches"] += [time.time() * 1000, len(ctx.events)]


@app.function("clicks", trigger="bench/click", batch=Batch(1_000, "1s", partitioned=True))
async def clicks(ctx: Context) -> None:
    """Take a thousand events at once, gathered partition by partition, and note when and how many."""
    _take_batch(ctx)


@app.function("clicks-together", trigger="bench/click-together", batch=Batch(1_000, "1s"))
async def clicks_together(ctx: Context) -> None:
    """Take a thousand events at once, gathered in one place, and note when and how many."""
    _take_batch(ctx)


@app.function("keyed", trigger="bench/keyed", concurrency=Concurrency(1, key="event.data.customer"))
async def keyed(ctx: Context) -> None:
    """Run without a step, one at a time for each customer."""


@app.function("waiter", trigger="bench/wait")
async def waiter(ctx: Context) -> bool:
    """Wait for the answer with the same number."""
    answered = await ctx.step.wait_for_event("answer", "bench/answer", match="data.number", timeout="1d")
    if answered.event is not None and "sent_ms" in answered.event.data:
        times_ms["matched"].append(time.time() * 1000 - float(answered.event.data["sent_ms"]))
    return bool(answered)


@app.function("dump", trigger="bench/dump")
async def dump(ctx: Context) -> None:
    """Write the times taken since the last dump."""
    place = Path(os.environ["BENCH_TIMES"])
    place.with_suffix(".tmp").write_text(json.dumps(times_ms))
    place.with_suffix(".tmp").rename(place)
    for taken in times_ms.values():
        taken.clear()
