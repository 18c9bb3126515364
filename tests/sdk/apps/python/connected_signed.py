"""A worker in production: it connects with a signing key, which stands in its environment."""

import asyncio
import os

import inngest
from inngest.connect import connect

client = inngest.Inngest(app_id=os.environ["APP_ID"], is_production=True)


@client.create_function(fn_id="parts", trigger=inngest.TriggerEvent(event=f"{client.app_id}/parts"))
async def parts(ctx: inngest.Context) -> list[str]:
    async def first() -> str:
        return "a"

    async def second() -> str:
        return "b"

    return [await ctx.step.run("first", first), await ctx.step.run("second", second)]


asyncio.run(connect([(client, [parts])], instance_id=os.environ["WORKER"]).start())
