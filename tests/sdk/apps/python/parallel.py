"""Steps side by side."""

import asyncio
import datetime

import inngest
from client import APP, function
from ledger import note


@function("parallel")
async def parallel(ctx: inngest.Context) -> dict:
    note(ctx.run_id, "parallel", "called")

    def one(name: str):  # type: ignore[no-untyped-def]
        async def work() -> str:
            note(ctx.run_id, "parallel", name)
            return name.upper()

        return lambda: ctx.step.run(name, work)

    letters = await ctx.group.parallel((one("a"), one("b"), one("c")))

    async def join() -> str:
        note(ctx.run_id, "parallel", "join")
        return "".join(letters)

    return {"joined": await ctx.step.run("join", join)}


async def two_groups(ctx: inngest.Context, case: str, mode: inngest.ParallelMode) -> None:
    note(ctx.run_id, case, "called")

    async def group(letter: str, seconds: float) -> None:
        for number in (1, 2):

            async def work(name: str = f"{letter}{number}") -> None:
                await asyncio.sleep(seconds)
                note(ctx.run_id, case, name)

            await ctx.step.run(f"{letter}{number}", work)

    await ctx.group.parallel((lambda: group("a", 0.01), lambda: group("b", 3.0)), parallel_mode=mode)


@function("groups_wait")
async def groups_wait(ctx: inngest.Context) -> str:
    await two_groups(ctx, "groups_wait", inngest.ParallelMode.WAIT)
    return "both"


@function("groups_race")
async def groups_race(ctx: inngest.Context) -> str:
    await two_groups(ctx, "groups_race", inngest.ParallelMode.RACE)
    return "both"


@function("parallel_kinds")
async def parallel_kinds(ctx: inngest.Context) -> list:
    async def work() -> str:
        return "ran"

    second = datetime.timedelta(seconds=1)
    found = await ctx.group.parallel(
        (
            lambda: ctx.step.run("work", work),
            lambda: ctx.step.sleep("nap", second),
            lambda: ctx.step.wait_for_event("never", event=f"{APP}/never", timeout=second),
            lambda: ctx.step.invoke_by_id("double", app_id=APP, function_id="double", data={"n": 4}),
        )
    )
    return list(found)


@function("parallel_failure", retries=1)
async def parallel_failure(ctx: inngest.Context) -> dict:
    async def right() -> str:
        note(ctx.run_id, "parallel_failure", "right")
        return "right"

    async def wrong() -> str:
        note(ctx.run_id, "parallel_failure", "wrong")
        raise ValueError("wrong")

    try:
        await ctx.group.parallel((lambda: ctx.step.run("right", right), lambda: ctx.step.run("wrong", wrong)))
    except inngest.StepError as error:
        return {"name": error.name, "message": error.message}
    return {}
