"""A new function that starts from an earlier place in the log. Goal: each event once, those of the meantime as well."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import App, Batch, Context

AN_HOUR = 3_600_000


def app_with(*ids: str, **options: Any) -> App:
    app = App("shop")
    for function_id in ids:
        given = options if function_id == "new" else {}

        @app.function(function_id, trigger="order/*", **given)
        async def seen(ctx: Context) -> Any:
            return [event.data["n"] for event in ctx.events] if "batch" in options else ctx.event.data["n"]

    return app


def outputs(t: Any, function_id: str) -> list[Any]:
    return sorted(run.output for run in t.runs_of(function_id))


@pytest.mark.parametrize(("start_from", "expected"), [(0, range(60)), ("90m", range(20, 60)), ("30d", range(60))])
def test_it_runs_over_what_is_in_the_log_and_goes_on_with_what_comes(start_from: Any, expected: range) -> None:
    with app_with("old").test() as t:
        for n in range(40):
            if n == 20:
                t.advance("2h")
            t.send("order/created", {"n": n}, key=f"k{n % 7}")
        t.send("other", {"n": -1})
        t.reload(app_with("old", "new", start_from=start_from))
        for n in range(40, 60):
            t.send("order/created", {"n": n}, key=f"k{n % 7}")
        t.advance("1m")
        assert outputs(t, "new") == list(expected)
        assert outputs(t, "old") == list(range(60))
        assert {code for code, _ in t.told} >= {"back_fill_begins", "back_fill_done"}


def test_without_it_a_new_function_sees_only_what_comes() -> None:
    with app_with("old").test() as t:
        t.send("order/created", {"n": 1})
        t.reload(app_with("old", "new"))
        t.send("order/created", {"n": 2})
        t.advance("1m")
        assert outputs(t, "new") == [2]


def test_a_function_that_is_known_does_not_start_anew_when_the_option_is_added() -> None:
    with app_with("old", "new").test() as t:
        t.send("order/created", {"n": 1})
        t.reload(app_with("old", "new", start_from=0))
        t.crash()
        t.advance("1m")
        assert outputs(t, "new") == [1]


def test_it_survives_crashes_and_moves() -> None:
    with app_with("old").test() as t:
        for n in range(300):
            t.send("order/created", {"n": n})
        t.reload(app_with("old", "new", start_from=0))
        t.crash()
        t.rebalance()
        t.crash()
        t.advance("1m")
        assert outputs(t, "new") == list(range(300))


def test_ids_that_users_gave_start_it_once() -> None:
    with app_with("old").test() as t:
        for n in range(5):
            t.send("order/created", {"n": n}, id="same")
        t.reload(app_with("old", "new", start_from=0))
        t.send("order/created", {"n": 9}, id="same")
        t.advance("1m")
        assert outputs(t, "old") == [0]
        assert outputs(t, "new") == [0]


def test_events_whose_time_has_not_come_start_it_when_it_has() -> None:
    with app_with("old").test() as t:
        t.send("order/created", {"n": 1}, ts=t.now_ms + AN_HOUR)
        t.send("order/created", {"n": 2}, ts=t.now_ms + 1)
        t.advance("1m")
        t.reload(app_with("old", "new", start_from=0))
        t.advance("1m")
        assert outputs(t, "new") == [2]
        t.advance("2h")
        assert outputs(t, "new") == [1, 2]
        assert outputs(t, "old") == [1, 2]


def test_events_that_steps_published_count_once() -> None:
    app = app_with("old")

    @app.function("source", trigger="go")
    async def source(ctx: Context) -> None:
        for n in range(10):
            await ctx.step.send_event(f"send-{n}", {"name": "order/made", "data": {"n": n}})

    with app.test() as t:
        t.send("go")
        t.crash()
        t.advance("1m")
        t.reload(app_with("old", "new", start_from=0))
        t.advance("1m")
        assert outputs(t, "new") == list(range(10))


def test_its_other_options_hold() -> None:
    with app_with("old").test() as t:
        for n in range(25):
            t.send("order/created", {"n": n}, key="k")
        t.reload(app_with("old", "new", start_from=0, batch=Batch(10, "5s")))
        t.advance("1m")
        assert [len(found) for found in outputs(t, "new")].count(10) == 2
        assert sorted(n for found in outputs(t, "new") for n in found) == list(range(25))
