"""An online shop's orders: three functions that start on the same event, `order/created`.

    headrace dev examples/orders/app.py

and in another terminal:

    headrace send order/created '{"orderId": "7", "customer": "ada", "items": [{"sku": "tea", "price": 5}]}' --key ada
    headrace runs
    headrace run <the id of one of them>

Any Kafka producer can send it too: the topic is `headrace.events`, the value {"name": "order/created", "data": {…}}.
The record key (`--key`) is the customer: orders of one customer reach the same partition, in the order they were sent.

Worth trying:
- Stop the server with Ctrl-C while an order sleeps, and start it again: the run goes on, and nothing is charged twice.
- Change the text of a step while runs sleep, and save: those runs go on with the new code.
- Send an order without items: it fails for good, and `apologise` runs.
"""

from __future__ import annotations

from typing import Any

from headrace import App, Backoff, Context, NonRetriableError, Retries

app = App("orders")


class GatewayBusy(Exception):
    """What a payment gateway says now and then."""


def load_order(data: dict[str, Any]) -> dict[str, Any]:
    """Look the order up; here everything travels with the event."""
    items = data.get("items") or []
    if not items:
        # No retry will make this better: the run fails at once.
        raise NonRetriableError("an order needs items")
    return {"id": data["orderId"], "items": items, "total": sum(item["price"] for item in items)}


def charge(ctx: Context, order: dict[str, Any]) -> dict[str, Any]:
    """Charge the card. The gateway is always busy at first; the step is tried again until it answers."""
    if ctx.attempt == 0:
        raise GatewayBusy("try again in a moment")
    # A gateway that is given the same key twice charges once, even if this process dies before the result is recorded.
    return {"paid": order["total"], "key": ctx.idempotency_key}


def pack(item: dict[str, Any]) -> str:
    """Put one item into the parcel."""
    return f"packed {item['sku']}"


async def apologise(ctx: Context) -> None:
    """Run when an order has failed for good; the event says which, and why."""
    failed = ctx.event.data
    ctx.logger.warning("run %s has failed: %s", failed["run_id"], failed["error"]["message"])


@app.function(
    "process-order",
    trigger="order/created",
    retries=Retries(4, backoff=Backoff("exponential", base="200ms", max="5s")),
    on_failure=apologise,
)
async def process_order(ctx: Context) -> dict[str, Any]:
    """Process an order. What a step returns is recorded; a step that is recorded never runs again."""
    order = await ctx.step.run("load", load_order, ctx.event.data)
    payment = await ctx.step.run("charge", charge, ctx, order)
    await ctx.step.sleep("let-the-customer-think-again", "500ms")  # days are fine too: nothing is held meanwhile
    for item in order["items"]:
        await ctx.step.run("pack", pack, item)  # one id in a loop: each turn is a step of its own
    await ctx.step.send_event("announce", {"name": "order/processed", "data": {"orderId": order["id"]}})
    return {"orderId": order["id"], "paid": payment["paid"], "items": len(order["items"])}


@app.function("send-receipt", trigger="order/created")
async def send_receipt(ctx: Context) -> str:
    """Send the receipt: one step, so that it is sent once however often the rest is tried."""
    return await ctx.step.run("mail", lambda: f"receipt for order {ctx.event.data.get('orderId')}")


@app.function("update-stats", trigger="order/created")
async def update_stats(ctx: Context) -> dict[str, int]:
    """Count: a function without steps is recorded once, when it returns."""
    items = ctx.event.data.get("items") or []
    return {"items": len(items), "revenue": sum(item["price"] for item in items)}
