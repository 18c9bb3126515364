"""An app in production: what calls it must be signed, and it signs in with the engine by the same key."""

import logging
import os

import fastapi
import inngest
import inngest.fast_api

client = inngest.Inngest(app_id=os.environ["APP_ID"], is_production=True, logger=logging.getLogger("uvicorn"))


@client.create_function(fn_id="secret", trigger=inngest.TriggerEvent(event=f"{client.app_id}/secret"), retries=0)
async def secret(ctx: inngest.Context) -> dict:
    async def half() -> float:
        return ctx.event.data["n"] / 2

    return {"half": await ctx.step.run("half", half), "text": ctx.event.data["text"]}


app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, [secret])
