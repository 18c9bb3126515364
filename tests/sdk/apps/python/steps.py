"""Steps: what they give, what is remembered of them, how they are named."""

import datetime

import inngest
from client import APP, client, function
from ledger import note

MEBIBYTE = 1 << 20


@function("plain")
async def plain(ctx: inngest.Context) -> dict:
    note(ctx.run_id, "plain", "called")
    return {"hello": ctx.event.data["name"], "run": ctx.run_id, "attempt": ctx.attempt}


@function("nothing")
async def nothing(ctx: inngest.Context) -> None:
    note(ctx.run_id, "nothing", "called")


@function("plain_def")
def plain_def(ctx: inngest.ContextSync) -> dict:
    one = ctx.step.run("one", lambda: 1)
    ctx.step.sleep("nap", 1000)
    return {"sum": one + ctx.step.run("two", lambda: 2)}


@function("steps")
async def steps(ctx: inngest.Context) -> dict:
    note(ctx.run_id, "steps", "called")

    async def load() -> dict:
        note(ctx.run_id, "steps", "load")
        return {"price": 20}

    async def charge(order: dict, times: int) -> int:
        note(ctx.run_id, "steps", "charge")
        return order["price"] * times

    async def forget() -> None:
        note(ctx.run_id, "steps", "forget")

    order = await ctx.step.run("load", load)
    total = await ctx.step.run("charge", charge, order, 3)
    forgotten = await ctx.step.run("forget", forget)
    return {"total": total, "forgotten": forgotten}


@function("loop")
async def loop(ctx: inngest.Context) -> list:
    async def square(number: int) -> int:
        note(ctx.run_id, "loop", f"square {number}")
        return number * number

    return [await ctx.step.run("square", square, number) for number in range(5)]


@function("odd_ids")
async def odd_ids(ctx: inngest.Context) -> list:
    async def said(name: str) -> str:
        return name

    return [await ctx.step.run(name, said, name) for name in ctx.event.data["ids"]]


@function("sleep")
async def sleep(ctx: inngest.Context) -> str:
    async def before() -> None:
        note(ctx.run_id, "sleep", "before")

    async def after() -> None:
        note(ctx.run_id, "sleep", "after")

    await ctx.step.run("before", before)
    await ctx.step.sleep("nap", datetime.timedelta(seconds=1))
    await ctx.step.run("after", after)
    return "slept"


@function("sleep_until")
async def sleep_until(ctx: inngest.Context) -> str:
    await ctx.step.sleep_until("nap", datetime.datetime.fromisoformat(ctx.event.data["until"]))
    note(ctx.run_id, "sleep_until", "woken")
    return "slept"


@function("send_event")
async def send_event(ctx: inngest.Context) -> dict:
    events = [inngest.Event(name=f"{APP}/received", data={"n": number, "by": ctx.run_id}) for number in range(2)]
    ids = await ctx.step.send_event("tell", events)
    return {"ids": ids}


@function("received")
async def received(ctx: inngest.Context) -> int:
    note(ctx.event.data["by"], "received", "called", n=ctx.event.data["n"])
    return ctx.event.data["n"]


@function("large")
async def large(ctx: inngest.Context) -> int:
    async def page(number: int) -> str:
        note(ctx.run_id, "large", f"page {number}")
        return str(number) * MEBIBYTE

    pages = [await ctx.step.run(f"page {number}", page, number) for number in range(6)]
    assert all(set(text) == {str(number)} for number, text in enumerate(pages))
    return sum(map(len, pages))


@function("shared", inngest.TriggerEvent(event="shared/greeting"))
async def shared(ctx: inngest.Context) -> str:
    return f"{APP} greets {ctx.event.data['name']}"


@function(
    "several_triggers",
    inngest.TriggerEvent(event=f"{APP}/several_triggers", expression="event.data.n > 1"),
    inngest.TriggerEvent(event=f"{APP}/wild.*"),
)
async def several_triggers(ctx: inngest.Context) -> str:
    return ctx.event.name


class Stamp(inngest.Middleware):
    """Sees every call; changes what goes in and what comes out."""

    async def transform_input(self, ctx, function, steps) -> None:  # type: ignore[no-untyped-def]
        ctx.event.data = {**ctx.event.data, "stamped": True}

    async def transform_output(self, result: inngest.TransformOutputResult) -> None:
        if isinstance(result.output, str):
            result.output = f"<{result.output}>"

    async def before_send_events(self, events: list[inngest.Event]) -> None:
        for event in events:
            event.data = {**event.data, "sent through": "middleware"}


@function("middleware", middleware=[Stamp])
async def middleware(ctx: inngest.Context) -> str:
    async def inside() -> str:
        return "inside" if ctx.event.data["stamped"] else "unstamped"

    told = inngest.Event(name=f"{APP}/stamped", data={"by": ctx.run_id})
    text = await ctx.step.run("inside", inside)
    await ctx.step.send_event("tell", told)
    return text


@function("stamped")
async def stamped(ctx: inngest.Context) -> None:
    note(ctx.event.data["by"], "stamped", "called", through=ctx.event.data.get("sent through", ""))


@function("sent_by_client")
async def sent_by_client(ctx: inngest.Context) -> list:
    async def send() -> list:
        return await client.send([inngest.Event(name=f"{APP}/nobody"), inngest.Event(name=f"{APP}/nobody")])

    return await ctx.step.run("send", send)
