"""Stubs. Goal: a test says what a step gives, and the rest of the workflow runs as it is."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import App, Context, NonRetriableError


class Reached(Exception):
    """The world was touched."""


def shop() -> App:
    app = App("shop")

    async def charge(amount: int) -> dict[str, Any]:
        raise Reached

    def mail(text: str) -> str:
        raise Reached

    @app.function("order", trigger="order/created", retries=1)
    async def order(ctx: Context) -> Any:
        paid = await ctx.step.run("charge", charge, ctx.event.data["amount"])
        return [paid, await ctx.step.run("mail", mail, text="thanks"), await ctx.step.run("mail", mail, "again")]

    @app.function("plain", trigger="order/plain", retries=0)
    def plain(ctx: Context) -> Any:
        return ctx.step.run("mail", mail, "plain")

    return app


@pytest.mark.parametrize("always_replay", [True, False])
def test_values_callables_and_errors_stand_in(always_replay: bool) -> None:
    with shop().test(always_replay=always_replay) as t:
        charge = t.stub("charge", {"paid": True})
        mail = t.stub("mail", lambda text: f"sent {text}")
        t.send("order/created", {"amount": 5})
        t.crash()
        assert t.run_of("order").output == [{"paid": True}, "sent thanks", "sent again"]
        assert charge.calls == [((5,), {})]
        assert mail.calls == [((), {"text": "thanks"}), (("again",), {})]
        t.stub("mail:1", ValueError("full"))
        t.send("order/created", {"amount": 6})
        assert t.run_of("order").steps["mail:1"].attempts == 1
        t.stub("mail:1", NonRetriableError)
        t.advance("5s")
        assert t.run_of("order").status == "Failed"
        assert t.run_of("order").steps["mail"].output == "sent thanks"


def test_one_function_alone_may_be_meant() -> None:
    with shop().test() as t:
        t.stub("charge", None)
        t.stub("mail", "plain's", function="plain")
        t.send("order/plain")
        assert t.run_of("plain").output == "plain's"
        t.send("order/created", {"amount": 5})
        step = t.run_of("order").steps["mail"]
        assert step.error is not None
        assert step.error.name == "Reached"


def test_code_is_replayed_at_every_step_boundary_unless_it_is_told_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_EVICT", raising=False)
    begun: list[int] = []
    app = App("shop")

    @app.function("f", trigger="go")
    async def f(ctx: Context) -> None:
        begun.append(1)
        for n in range(3):
            await ctx.step.run(f"s{n}", lambda: None)

    for options, expected in (({}, 4), ({"always_replay": False}, 1), ({"evict": "never"}, 1)):
        begun.clear()
        with app.test(**options) as t:  # type: ignore[arg-type]
            t.send("go")
            assert t.run_of("f").status == "Completed"
        assert len(begun) == expected
    monkeypatch.setenv("HEADRACE_EVICT", "never")
    begun.clear()
    with app.test() as t:
        t.send("go")
    assert len(begun) == 1
