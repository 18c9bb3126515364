"""Failures: what is tried again, when, and what is left of an error."""

import datetime

import inngest
from client import function
from ledger import note


class CardError(Exception):
    """What a user's own error is."""


@function("retries", retries=3)
async def retries(ctx: inngest.Context) -> int:
    note(ctx.run_id, "retries", "called", attempt=ctx.attempt)
    if ctx.attempt < 2:
        raise CardError("not yet")
    return ctx.attempt


@function("step_retries", retries=3)
async def step_retries(ctx: inngest.Context) -> str:
    async def sure() -> None:
        note(ctx.run_id, "step_retries", "sure")

    async def shaky() -> str:
        note(ctx.run_id, "step_retries", "shaky", attempt=ctx.attempt)
        if ctx.attempt < 2:
            raise CardError("not yet")
        return "held"

    async def late() -> None:
        note(ctx.run_id, "step_retries", "late", attempt=ctx.attempt)

    await ctx.step.run("sure", sure)
    held = await ctx.step.run("shaky", shaky)
    await ctx.step.run("late", late)
    return held


@function("retry_after", retries=3)
async def retry_after(ctx: inngest.Context) -> int:
    note(ctx.run_id, "retry_after", "called", attempt=ctx.attempt)
    if ctx.attempt == 0:
        raise inngest.RetryAfterError("busy", datetime.timedelta(seconds=3))
    return ctx.attempt


@function("retry_after_step", retries=3)
async def retry_after_step(ctx: inngest.Context) -> int:
    async def busy() -> int:
        note(ctx.run_id, "retry_after_step", "busy", attempt=ctx.attempt)
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("busy", datetime.timedelta(seconds=3))
        return ctx.attempt

    return await ctx.step.run("busy", busy)


@function("non_retriable", retries=3)
async def non_retriable(ctx: inngest.Context) -> None:
    note(ctx.run_id, "non_retriable", "called")
    raise inngest.NonRetriableError("never again")


@function("non_retriable_step", retries=3)
async def non_retriable_step(ctx: inngest.Context) -> None:
    async def never() -> None:
        note(ctx.run_id, "non_retriable_step", "never")
        raise inngest.NonRetriableError("never again")

    await ctx.step.run("never", never)


async def tell(ctx: inngest.Context) -> str:
    data = ctx.event.data
    note(data["run_id"], "exhausted", "on failure", event=ctx.event.name, data=data)
    return "told"


@function("exhausted", retries=1, on_failure=tell)
async def exhausted(ctx: inngest.Context) -> None:
    note(ctx.run_id, "exhausted", "called", attempt=ctx.attempt)
    raise CardError("declined")


@function("step_failed", retries=1)
async def step_failed(ctx: inngest.Context) -> None:
    async def declined() -> None:
        note(ctx.run_id, "step_failed", "declined")
        raise CardError("declined")

    await ctx.step.run("declined", declined)


@function("step_caught", retries=1)
async def step_caught(ctx: inngest.Context) -> dict:
    async def declined() -> None:
        note(ctx.run_id, "step_caught", "declined")
        raise CardError("declined")

    async def instead() -> str:
        note(ctx.run_id, "step_caught", "instead")
        return "by hand"

    try:
        await ctx.step.run("declined", declined)
    except inngest.StepError as error:
        way = await ctx.step.run("instead", instead)
        return {"name": error.name, "message": error.message, "way": way}
    return {}
