"""Waiting: for events, for other functions, for an end from outside."""

import asyncio
import datetime

import inngest
from client import APP, function
from ledger import note


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)


@function("wait_match")
async def wait_match(ctx: inngest.Context) -> dict:
    answer = await ctx.step.wait_for_event(
        "answer", event=f"{APP}/answer", if_exp="event.data.id == async.data.id", timeout=seconds(600)
    )
    return {"name": answer.name, "data": answer.data, "id": answer.id, "ts": answer.ts} if answer else {}


@function("wait_if")
async def wait_if(ctx: inngest.Context) -> int:
    bid = await ctx.step.wait_for_event(
        "bid",
        event=f"{APP}/bid",
        if_exp="async.data.item == event.data.item && async.data.price >= event.data.floor",
        timeout=seconds(600),
    )
    return bid.data["price"]


@function("wait_timeout")
async def wait_timeout(ctx: inngest.Context) -> str:
    answer = await ctx.step.wait_for_event("answer", event=f"{APP}/never", timeout=seconds(1))
    return "timed out" if answer is None else "answered"


@function("double", inngest.TriggerEvent(event=f"{APP}/double"))
async def double(ctx: inngest.Context) -> dict:
    note(ctx.run_id, "double", "called", event=ctx.event.name)
    return {"doubled": ctx.event.data["n"] * 2}


@function("doomed", retries=0)
async def doomed(ctx: inngest.Context) -> None:
    raise ValueError("doomed from the start")


@function("endless")
async def endless(ctx: inngest.Context) -> None:
    await ctx.step.sleep("for ever", seconds(3600))


@function("invoke")
async def invoke(ctx: inngest.Context) -> dict:
    by_object = await ctx.step.invoke("by object", function=double, data={"n": 21})
    by_id = await ctx.step.invoke_by_id("by id", app_id=APP, function_id="double", data={"n": by_object["doubled"]})
    return {"first": by_object, "second": by_id}


async def told(call) -> dict:  # type: ignore[no-untyped-def]
    try:
        return {"result": await call}
    except inngest.StepError as error:
        return {"name": error.name, "message": error.message, "stack": error.stack}


@function("invoke_failure")
async def invoke_failure(ctx: inngest.Context) -> dict:
    return await told(ctx.step.invoke("doomed", function=doomed))


@function("invoke_timeout")
async def invoke_timeout(ctx: inngest.Context) -> dict:
    return await told(ctx.step.invoke("endless", function=endless, timeout=seconds(1)))


@function("invoke_missing")
async def invoke_missing(ctx: inngest.Context) -> dict:
    return await told(ctx.step.invoke_by_id("nobody", app_id=APP, function_id="nobody"))


@function(
    "cancel_on",
    cancel=[inngest.Cancel(event=f"{APP}/cancel_on.stop", if_exp="event.data.id == async.data.id")],
)
async def cancel_on(ctx: inngest.Context) -> None:
    note(ctx.run_id, "cancel_on", "called")
    await ctx.step.sleep("for ever", seconds(3600))


@function("cancel_called", cancel=[inngest.Cancel(event=f"{APP}/cancel_called.stop")])
async def cancel_called(ctx: inngest.Context) -> str:
    note(ctx.run_id, "cancel_called", "called")
    await asyncio.sleep(4)
    note(ctx.run_id, "cancel_called", "returned")
    return "too late"


@function("cancel_timeout", cancel=[inngest.Cancel(event=f"{APP}/cancel_timeout.stop", timeout=seconds(1))])
async def cancel_timeout(ctx: inngest.Context) -> str:
    await ctx.step.sleep("past the time-out", seconds(2))
    await ctx.step.wait_for_event("go", event=f"{APP}/cancel_timeout.go", timeout=seconds(600))
    return "not cancelled"


@function("finish_late", timeouts=inngest.Timeouts(finish=seconds(1)))
async def finish_late(ctx: inngest.Context) -> None:
    await ctx.step.sleep("too long", seconds(3600))


@function("twice_sent")
async def twice_sent(ctx: inngest.Context) -> str:
    return ctx.event.id
