"""A subscription: remind, charge, and so on for a year; ask for another card if one is refused; end when cancelled.

    headrace dev examples/subscriptions/app.py

and in another terminal:

    headrace send subscription/started '{"subscriptionId": "s-1", "email": "a@b.org", "card": "1", "months": 12}'
    headrace runs                       # sleeping, until three days before the month is over
    headrace send subscription/cancelled '{"subscriptionId": "s-1"}'
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace import App, CancelOn, Context, NonRetriableError, StepError

# The real times; `make example NAME=subscriptions` counts a second for a month.
MONTH = timedelta(seconds=float(os.environ.get("SUBSCRIPTIONS_MONTH_S", 30 * 86_400)))
NOTICE = MONTH / 10
GRACE = timedelta(seconds=float(os.environ.get("SUBSCRIPTIONS_GRACE_S", 7 * 86_400)))

app = App("subscriptions")
Json = dict[str, Any]


def remind(email: str, day: datetime) -> str:
    """Write that the subscription will be renewed."""
    return f"to {email}: your subscription will be renewed on {day:%Y-%m-%d}"


def ask_for_card(email: str) -> str:
    """Write that the card was refused."""
    return f"to {email}: your card was refused, please give us another one"


def charge(card: str, ctx: Context) -> Json:
    """Charge the card. A payment provider that is given the same key twice charges once."""
    if card == "expired":
        raise NonRetriableError("the card is expired")
    return {"charged": card, "key": ctx.idempotency_key}


@app.function(
    "subscription",
    trigger="subscription/started",
    idempotency="event.data.subscriptionId",
    # It may be in the middle of a sleep of weeks: the event ends it there.
    cancel_on=CancelOn("subscription/cancelled", match="data.subscriptionId"),
)
async def subscription(ctx: Context) -> Json:
    """Live as long as the subscription does."""
    data: Json = ctx.event.data
    card: str = data["card"]
    # Moments are counted from the first event, so that a year of small delays does not add up.
    began = datetime.fromtimestamp(ctx.event.ts / 1000, UTC)
    for month in range(1, data["months"] + 1):
        renewal = began + month * MONTH
        await ctx.step.sleep_until("until the reminder", renewal - NOTICE)
        await ctx.step.run("remind", remind, data["email"], renewal)
        await ctx.step.sleep_until("until the renewal", renewal)
        paid_with = await collect(ctx, card, data["email"])
        if paid_with is None:
            return {"status": "lapsed", "months": month - 1}
        card = paid_with
    return {"status": "over", "months": data["months"]}


async def collect(ctx: Context, card: str, email: str) -> str | None:
    """Charge a card, or the next one that the customer gives; the card that was charged, None if there was none."""
    while True:
        try:
            await ctx.step.run("charge", charge, card, ctx)
            return card
        except StepError:
            await ctx.step.run("ask for a card", ask_for_card, email)
        update = await ctx.step.wait_for_event(
            "another card", event="card/updated", match="data.subscriptionId", timeout=GRACE
        )
        if not update:
            return None
        card = update.data["card"]


@app.function("goodbye", trigger="subscription/cancelled")
async def goodbye(ctx: Context) -> str:
    """Say goodbye: the event that cancels one function may start another."""
    return await ctx.step.run("write", lambda: f"goodbye, {ctx.event.data['subscriptionId']}")
