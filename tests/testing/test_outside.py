"""What people outside do to runs. Goal: signals, invocations and verdicts are seen in a test as on a node."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import App, Context, RateLimit

RUNS = 6  # more than partitions: some wait elsewhere than where their signal is decided


def shop() -> App:
    app = App("shop")

    @app.function("ship", trigger="order/created")
    async def ship(ctx: Context) -> Any:
        number = ctx.event.data["number"]
        answer = await ctx.step.wait_for_signal("approval", signal=f"approve-{number}", timeout="1d")
        return [number, bool(answer), answer.data]

    @app.function("mail", trigger="mail/asked", rate_limit=RateLimit(1, "1h"))
    async def mail(ctx: Context) -> str:
        return str(ctx.event.data["to"])

    return app


def test_a_signal_goes_to_the_run_that_waits_and_tells_which() -> None:
    with shop().test() as t:
        for number in range(RUNS):
            t.send("order/created", {"number": number})
        waiting = t.runs_of("ship")
        for number in range(RUNS):
            run = t.signal(f"approve-{number}", {"by": "kim"})
            assert run.id == waiting[number].id
            assert (run.function_id, run.status, run.output) == (
                "shop-ship",
                "Completed",
                [number, True, {"by": "kim"}],
            )
        assert {run.partition for run in t.runs} == {0, 1}
        assert len(t.runs) == RUNS


def test_a_signal_that_nobody_waits_for_is_an_error_and_is_not_kept() -> None:
    with shop().test() as t:
        with pytest.raises(LookupError, match="no run waits for the signal 'approve-1'"):
            t.signal("approve-1")
        t.send("order/created", {"number": 1})
        assert t.run_of("ship").phase == "waiting"
        t.advance("1d")
        assert t.run_of("ship").output == [1, False, None]


def test_a_function_is_invoked_whatever_its_triggers_say() -> None:
    with shop().test() as t:
        assert t.invoke("mail", {"to": "ada"}).output == "ada"
        t.advance("1h")
        assert t.invoke("shop-mail", {"to": "bob"}).output == "bob"
        with pytest.raises(LookupError, match="shop-mail"):
            t.invoke("male")


def test_what_a_stage_has_dropped_is_told_with_its_reason() -> None:
    with shop().test() as t:
        first, second = (t.send("mail/asked", {"to": to}) for to in ("ada", "bob"))
        assert [run.output for run in t.runs_of("mail")] == ["ada"]
        assert t.verdicts(first) == []
        (verdict,) = t.verdicts(second)
        assert (verdict.function_id, verdict.code) == ("shop-mail", "rate_limited")
        assert "1" in verdict.explanation
