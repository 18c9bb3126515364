"""An order that is paid for later: reserve, wait for the money, ship. What was done is taken back if that fails.

    headrace dev examples/payments/app.py

and in another terminal:

    headrace send order/placed '{"orderId": "7", "sku": "kettle", "amount": 30, "address": "1 Mill Lane"}'
    headrace send payment/succeeded '{"orderId": "7", "paymentId": "p-1"}'
    headrace runs
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from headrace import App, Context, NonRetriableError, StepError, Wait

# How long customers may take to pay. `make example NAME=payments` has less time than they have.
PAYMENT_WINDOW = os.environ.get("PAYMENTS_WINDOW", "1d")

app = App("payments")
Json = dict[str, Any]


class NotPaid(Exception):
    """The money will not come."""


# --- the world: each of these would be a call to somebody else's API --------------------------------------------------


def reserve(order: Json) -> Json:
    """Put the goods aside."""
    if order["sku"] == "unicorn":
        raise NonRetriableError("unicorns are out of stock")  # trying again would not bring one
    return {"sku": order["sku"], "shelf": f"shelf-{len(order['sku'])}"}


def release(reservation: Json) -> str:
    """Put the goods back."""
    return f"{reservation['sku']} is back on {reservation['shelf']}"


def refund(payment: Json) -> str:
    """Give the money back."""
    return f"refunded {payment['paymentId']}"


def ship(order: Json) -> Json:
    """Hand the parcel to the carrier."""
    if order["address"].startswith("PO box"):
        raise NonRetriableError("the carrier does not deliver to PO boxes")
    return {"parcel": f"parcel-of-{order['orderId']}"}


# --- the workflow -----------------------------------------------------------------------------------------------------


async def await_payment(ctx: Context) -> Json:
    """Wait for whichever comes first; three events, one answer. The run takes up no memory meanwhile."""
    answer = await ctx.step.wait_any(
        "payment",
        [
            Wait("payment/succeeded", match="data.orderId"),
            Wait("payment/refused", match="data.orderId"),
            Wait("order/withdrawn", match="data.orderId"),
        ],
        timeout=PAYMENT_WINDOW,
        since="run",  # who pays before the goods are reserved has paid as well
    )
    if not answer:
        raise NotPaid(f"not paid within {PAYMENT_WINDOW}")
    if answer.index != 0:
        raise NotPaid(("", "the bank refused the payment", "the customer has withdrawn")[answer.index])
    payment: Json = answer.data
    return payment


@app.function("fulfil-order", trigger="order/placed")
async def fulfil_order(ctx: Context) -> Json:
    """Fulfil an order, or leave everything as it was before."""
    order: Json = ctx.event.data
    # What has been done is noted with what undoes it: in an ordinary list, because a replay fills it with the same.
    undo: list[tuple[str, Callable[[Json], str], Json]] = []
    try:
        undo.append(("release", release, await ctx.step.run("reserve", reserve, order)))
        undo.append(("refund", refund, await await_payment(ctx)))
        parcel = await ctx.step.run("ship", ship, order)
    except (StepError, NotPaid) as failure:
        undone = []
        for step_id, compensate, done in reversed(undo):
            # Nothing may be left half undone, so this is tried longer than other steps.
            undone.append(await ctx.step.options(retries=20).run(step_id, compensate, done))
        abandoned = {"orderId": order["orderId"], "why": str(failure), "undone": undone}
        await ctx.step.send_event("announce", {"name": "order/abandoned", "data": abandoned})
        return {"status": "abandoned"} | abandoned
    await ctx.step.send_event("announce", {"name": "order/shipped", "data": {"orderId": order["orderId"]} | parcel})
    return {"status": "shipped", "orderId": order["orderId"]} | parcel
