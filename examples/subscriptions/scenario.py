"""Four subscriptions with a second for a month: one runs out, one is cancelled, one gets a new card, one lapses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT = {"SUBSCRIPTIONS_MONTH_S": "1", "SUBSCRIPTIONS_GRACE_S": "5"}
MONTHS = {"faithful": 3, "leaving": 1_000, "mended": 2, "lapsing": 12}


def play(stage: Stage) -> None:
    """Start them, let their owners do what they do, and look at how they ended."""
    started = {}
    for name, months in MONTHS.items():
        card = "expired" if name in ("mended", "lapsing") else "4242"
        data = {"subscriptionId": name, "email": f"{name}@example.com", "card": card, "months": months}
        started[name] = stage.send("subscription/started", data)

    def run(name: str) -> dict[str, Any]:
        found = stage.wait(
            lambda: stage.runs("subscriptions-subscription", event_id=started[name]), f"{name} has begun"
        )
        return found[0]

    def charged(name: str) -> int:
        steps = stage.steps(run(name)["run_id"])
        return sum(step["name"] == "charge" and step["status"] == "Completed" for step in steps)

    stage.wait(lambda: run("mended")["phase"] == "waiting", "the refused card is asked for")
    stage.send("card/updated", {"subscriptionId": "mended", "card": "5555"})
    stage.wait(lambda: charged("leaving") >= 2, "two months are paid")
    stage.send("subscription/cancelled", {"subscriptionId": "leaving"})
    stage.await_runs("subscriptions-goodbye", 1)
    stage.await_runs("subscriptions-subscription", 1, status="Cancelled")
    stage.await_runs("subscriptions-subscription", 3)
    stage.check("who left is the one that was cancelled", run("leaving")["status"] == "Cancelled")
    stage.check("three months, three charges", charged("faithful") == 3)
    stage.check("with the new card it was paid to the end", run("mended")["output"] == {"status": "over", "months": 2})
    stage.check("without one it lapsed", run("lapsing")["output"] == {"status": "lapsed", "months": 0})
