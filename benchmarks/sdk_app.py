"""The app of `benchmarks.sdk`: functions of the official Python SDK, served by FastAPI, that count what they do."""

from __future__ import annotations

import time
from typing import Any

import fastapi
import inngest
import inngest.fast_api

client = inngest.Inngest(app_id="bench", is_production=False)
starts: list[float] = []  # milliseconds from sending an event to the function
ended: dict[str, int] = {"nothing": 0, "three": 0}


@client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="bench/nothing"))
async def nothing(ctx: inngest.Context) -> int:
    """Do nothing."""
    starts.append(time.time() * 1000 - float(str(ctx.event.data["at"])))
    ended["nothing"] += 1
    return 1


@client.create_function(fn_id="three", trigger=inngest.TriggerEvent(event="bench/three"))
async def three(ctx: inngest.Context) -> int:
    """Make three steps."""
    total = 0
    for step_id in ("a", "b", "c"):
        total += await ctx.step.run(step_id, _one)
    ended["three"] += 1
    return total


async def _one() -> int:
    return 1


app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, [nothing, three])


@app.get("/counted")
def counted() -> dict[str, Any]:
    """Tell how many runs have ended since it was asked last, and how long after their events they started."""
    told = {"ended": dict(ended), "starts": list(starts)}
    starts.clear()
    ended.update(dict.fromkeys(ended, 0))
    return told
