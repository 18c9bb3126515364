"""One webhook, several functions: what a code host tells about a repository is built, announced and counted.

    headrace dev examples/webhooks/app.py

and in another terminal, as the code host would:

    curl -X POST http://127.0.0.1:8288/e/dev -d '{"name": "code/push", "id": "delivery-1", "data":
      {"repository": "engine", "branch": "main", "commit": "c0ffee", "message": "Turn the mill", "author": "ada"}}'
    headrace event delivery-1           # the runs that it has started
    headrace why delivery-1             # and what became of it for every other function

Nothing is called by anybody: each function says which events it is for. A further one needs no change to the others,
and one that fails is tried again alone.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from headrace import App, Concurrency, Context, NonRetriableError, OnEvent, Singleton

BUILD_TAKES_S = float(os.environ.get("WEBHOOKS_BUILD_TAKES_S", "30"))

app = App("webhooks")
Json = dict[str, Any]


async def compile_and_test(commit: str, message: str) -> str:
    """Build a commit; a while of somebody else's machine."""
    await asyncio.sleep(BUILD_TAKES_S)
    if "broken" in message:
        raise NonRetriableError(f"the tests of {commit} fail")
    return f"engine-{commit}.tar.gz"


async def complain(ctx: Context) -> str:
    """Tell who broke it: runs when a build has failed for good, with what it failed of."""
    failed = ctx.event.data
    push: Json = failed["event"]["data"]
    return await ctx.step.run("tell", lambda: f"to {push['author']}: {failed['error']['message']}")


@app.function(
    "build",
    trigger=OnEvent("code/push", if_="event.data.branch == 'main'"),
    # A newer push to the same repository takes the place of the build that is still running.
    singleton=Singleton("cancel", key="event.data.repository"),
    on_failure=complain,
)
async def build(ctx: Context) -> Json:
    """Build what is pushed to the main branch."""
    push: Json = ctx.event.data
    artefact = await ctx.step.run("compile and test", compile_and_test, push["commit"], push["message"])
    await ctx.step.send_event("tell", {"name": "build/finished", "data": {"artefact": artefact}})
    return {"artefact": artefact}


@app.function("announce", trigger=["code/push", "code/release", "build/finished"])
async def announce(ctx: Context) -> str:
    """Tell the team's chat; three kinds of events, one function."""
    data: Json = ctx.event.data
    subject = data.get("commit") or data.get("version") or data.get("artefact")
    return await ctx.step.run("post", lambda: f"#{ctx.event.name}: {subject}")


@app.function(
    "tally",
    trigger="code/*",
    # One at a time for each repository: what is read below is still true when it is written.
    concurrency=Concurrency(1, key="event.data.repository"),
)
async def tally(ctx: Context) -> Json:
    """Count what happens to each repository. The count is kept in the partition, and needs no database."""
    counts: Json = await ctx.state.get("counts", {})
    counts[ctx.event.name] = counts.get(ctx.event.name, 0) + 1
    await ctx.state.set("counts", counts)
    return counts
