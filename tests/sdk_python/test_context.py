"""The context's time, chance and state: the same whenever the code is replayed."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import App, Concurrency, Context


def drawing(seen: list[Any], plain: bool) -> App:
    app = App("shop")

    def draw(ctx: Context) -> list[Any]:
        return [str(ctx.uuid()), ctx.random.randint(0, 1 << 40), ctx.now().isoformat()]

    if plain:

        @app.function("f", trigger="go")
        def f(ctx: Context) -> Any:
            drawn = [draw(ctx)]
            for n in range(3):
                ctx.step.sleep(f"s{n}", "1m")
                ctx.step.run(f"in-step-{n}", lambda: draw(ctx))
                drawn.append(draw(ctx))
            seen.append(drawn)
            return drawn
    else:

        @app.function("f", trigger="go")
        async def f(ctx: Context) -> Any:
            drawn = [draw(ctx)]
            for n in range(3):
                await ctx.step.sleep(f"s{n}", "1m")
                await ctx.step.run(f"in-step-{n}", lambda: draw(ctx))
                drawn.append(draw(ctx))
                seen.append(list(drawn))
            return drawn

    return app


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_time_and_chance_are_the_same_in_every_replay(plain: bool) -> None:
    seen: list[Any] = []
    with drawing(seen, plain).test(evict="always") as t:
        begun_ms = t.now_ms
        t.send("go")
        t.send("go")
        t.advance("5m")
        first, second = (run.output for run in t.runs_of("f"))
        assert t.member.execution.counts.replays > 4
    for drawn in seen:
        assert drawn in (first[: len(drawn)], second[: len(drawn)])
    uuids = [draw[0] for draw in first + second]
    assert len(set(uuids)) == len(uuids)
    assert len({draw[1] for draw in first + second}) == len(uuids)
    minutes = [draw[2] for draw in first]
    assert len(set(minutes)) == 4, "it moves on with what is recorded"
    assert minutes == sorted(minutes)
    from datetime import datetime

    times = [datetime.fromisoformat(one).timestamp() * 1000 - begun_ms for one in minutes]
    assert [round(one / 60_000) for one in times] == [0, 1, 2, 3]


def test_a_step_draws_the_same_in_every_attempt_and_moves_nothing_outside() -> None:
    app = App("shop")
    attempts: list[Any] = []

    def fails(ctx: Context) -> None:
        attempts.append([ctx.uuid(), ctx.random.random()])
        if len(attempts) < 3:
            raise ValueError("again")

    @app.function("f", trigger="go")
    async def f(ctx: Context) -> Any:
        await ctx.step.run("fails", fails, ctx)
        return str(ctx.uuid())

    with app.test(evict="always") as t:
        t.send("go")
        t.advance("1m")
        assert t.run_of("f").output != str(attempts[0][0])
    assert attempts[0] == attempts[1] == attempts[2]


@pytest.mark.parametrize("evict", ["kept", "always"])
@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_state_is_kept_by_key_from_run_to_run(plain: bool, evict: str) -> None:
    app = App("shop")
    limit = Concurrency(1, key="event.data.user")
    if plain:

        @app.function("count", trigger="go", concurrency=limit)
        def count(ctx: Context) -> Any:
            number = ctx.state.get("count", 0) + 1
            ctx.state.set("count", number)
            if number == 3:
                ctx.state.delete("count")
            return number
    else:

        @app.function("count", trigger="go", concurrency=limit)
        async def count(ctx: Context) -> Any:
            number = await ctx.state.get("count", 0) + 1
            await ctx.state.set("count", number)
            await ctx.step.sleep("a while", "1s")
            if number == 3:
                await ctx.state.delete("count")
            return number

    with app.test(evict=evict) as t:
        for user in "abaaab":
            t.send("go", {"user": user})
            t.advance("2s")
        t.crash()
        t.send("go", {"user": "b"})
        t.advance("2s")
        assert [run.output for run in t.runs_of("count")] == [1, 1, 2, 3, 1, 2, 3]


def test_state_needs_a_key_and_a_name() -> None:
    app = App("shop")

    @app.function("f", trigger="go", retries=0)
    async def f(ctx: Context) -> Any:
        await ctx.state.get(ctx.event.data["name"])

    with app.test() as t:
        t.send("go", {"name": "x"})
        t.send("go", {"name": ""})
        keyless, nameless = (run.error for run in t.runs_of("f"))
        assert keyless is not None
        assert "concurrency" in keyless.message
        assert nameless is not None
        assert "state_name_invalid" in nameless.message
