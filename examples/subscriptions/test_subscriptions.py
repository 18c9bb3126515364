"""A year of a subscription, in milliseconds."""

from __future__ import annotations

from examples.subscriptions.app import app

START = {"subscriptionId": "s-1", "email": "ada@example.com", "card": "4242", "months": 12}


def test_a_year_has_twelve_reminders_and_twelve_charges() -> None:
    with app.test() as t:
        t.send("subscription/started", START)
        t.advance("27d")
        run = t.run_of("subscription")
        assert list(run.steps)[:2] == ["until the reminder", "remind"]
        assert "charge" not in run.steps
        t.advance("3d")
        assert run.steps["charge"].output["charged"] == "4242"
        for _ in range(11):
            t.crash()
            t.advance("30d")
        assert run.output == {"status": "over", "months": 12}
        charges = [step for name, step in run.steps.items() if name.partition(":")[0] == "charge"]
        assert [step.attempts for step in charges] == [1] * 12
        assert len({step.output["key"] for step in charges}) == 12, "each month has a key of its own"


def test_who_cancels_is_neither_reminded_nor_charged_again() -> None:
    with app.test() as t:
        t.send("subscription/started", START)
        t.send("subscription/started", START | {"subscriptionId": "s-2"})
        t.advance("40d")
        t.send("subscription/cancelled", {"subscriptionId": "s-1"})
        first, second = t.runs_of("subscription")
        assert (first.status, second.status) == ("Cancelled", "Running")
        t.advance("60d")
        assert "charge:1" not in first.steps
        assert "charge:2" in second.steps
        assert t.run_of("goodbye").output == "goodbye, s-1"


def test_a_refused_card_may_be_replaced() -> None:
    with app.test() as t:
        t.send("subscription/started", START | {"card": "expired", "months": 2})
        t.advance("33d")
        run = t.run_of("subscription")
        assert run.phase == "waiting"
        t.send("card/updated", {"subscriptionId": "s-1", "card": "5555"})
        assert run.steps["charge:1"].output["charged"] == "5555"
        t.advance("27d")
        assert run.steps["charge:2"].output["charged"] == "5555", "the new card counts from then on"
        assert run.output == {"status": "over", "months": 2}


def test_without_another_card_it_lapses() -> None:
    with app.test() as t:
        t.send("subscription/started", START | {"card": "expired"})
        t.advance("37d")
        assert t.run_of("subscription").output == {"status": "lapsed", "months": 0}
