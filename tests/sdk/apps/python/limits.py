"""Flow control, as the SDK registers it."""

import asyncio
import datetime

import inngest
from client import APP, function
from ledger import note

SECOND = datetime.timedelta(seconds=1)


@function("batch", batch_events=inngest.Batch(max_size=3, timeout=600 * SECOND))
async def batch(ctx: inngest.Context) -> list:
    note(ctx.run_id, "batch", "called")
    return [event.data["n"] for event in ctx.events]


@function("batch_timeout", batch_events=inngest.Batch(max_size=50, timeout=3 * SECOND, key="event.data.shop"))
async def batch_timeout(ctx: inngest.Context) -> list:
    return sorted(event.data["n"] for event in ctx.events)


@function("debounce", debounce=inngest.Debounce(period=2 * SECOND, key="event.data.user"))
async def debounce(ctx: inngest.Context) -> int:
    note(ctx.run_id, "debounce", "called", n=ctx.event.data["n"], user=ctx.event.data["user"])
    return ctx.event.data["n"]


@function("rate_limit", rate_limit=inngest.RateLimit(limit=1, period=3600 * SECOND, key="event.data.user"))
async def rate_limit(ctx: inngest.Context) -> str:
    return ctx.event.data["user"]


@function("throttle", throttle=inngest.Throttle(limit=1, period=2 * SECOND, burst=0))
async def throttle(ctx: inngest.Context) -> None:
    note("", "throttle", "called")


async def busy(ctx: inngest.Context, case: str) -> None:
    async def work() -> None:
        note(ctx.run_id, case, "in", key=ctx.event.data["user"])
        await asyncio.sleep(0.4)
        note(ctx.run_id, case, "out", key=ctx.event.data["user"])

    await ctx.step.run("work", work)


@function("concurrency", concurrency=[inngest.Concurrency(limit=1, key="event.data.user")])
async def concurrency(ctx: inngest.Context) -> None:
    await busy(ctx, "concurrency")


@function("concurrency_plain", concurrency=[inngest.Concurrency(limit=2)])
async def concurrency_plain(ctx: inngest.Context) -> None:
    await busy(ctx, "concurrency_plain")


@function(
    "priority",
    concurrency=[inngest.Concurrency(limit=1)],
    priority=inngest.Priority(run="event.data.vip == true ? 600 : 0"),
)
async def priority(ctx: inngest.Context) -> None:
    note("", "priority", "called", n=ctx.event.data["n"])
    await asyncio.sleep(0.7)


@function("singleton_skip", singleton=inngest.Singleton(mode="skip", key="event.data.user"))
async def singleton_skip(ctx: inngest.Context) -> str:
    await ctx.step.wait_for_event("go", event=f"{APP}/singleton_skip.go", timeout=600 * SECOND)
    return "ran"


@function("singleton_cancel", singleton=inngest.Singleton(mode="cancel"))
async def singleton_cancel(ctx: inngest.Context) -> str:
    await ctx.step.wait_for_event("go", event=f"{APP}/singleton_cancel.go", timeout=600 * SECOND)
    return "ran"


@function("idempotency", idempotency="event.data.order")
async def idempotency(ctx: inngest.Context) -> str:
    return ctx.event.data["order"]


@function("every_minute", inngest.TriggerCron(cron="* * * * *"))
async def every_minute(ctx: inngest.Context) -> dict:
    note(ctx.run_id, "every_minute", "called", event=ctx.event.name, data=ctx.event.data)
    return {"cron": ctx.event.data.get("cron")}
