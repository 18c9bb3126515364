"""A shop on FastAPI with functions of the Python SDK of Inngest, as its own documentation writes them.

    headrace dev -u http://localhost:8000/api/inngest
    INNGEST_DEV=1 uvicorn main:app --port 8000

Nothing here knows Headrace: INNGEST_DEV=1 makes the SDK look at port 8288, where `headrace dev` listens.
"""

import datetime
import logging
import os
from typing import Any

import fastapi
import inngest
import inngest.fast_api
from inngest.experimental import ai

PARCEL_WITHIN = datetime.timedelta(hours=1)
EXPRESS_WITHIN = datetime.timedelta(seconds=int(os.environ.get("EXPRESS_WITHIN_S", "60")))
COOLING_OFF = datetime.timedelta(seconds=int(os.environ.get("COOLING_OFF_S", "30")))
MODEL_URL = os.environ.get("MODEL_URL", "http://localhost:8000/model")

shop = inngest.Inngest(app_id="shop", logger=logging.getLogger("uvicorn"))


class CardDeclined(Exception):
    """The bank says no; it may say yes in a moment."""


# --- one function with every kind of step ---------------------------------------------------------------------------


async def tell_support(ctx: inngest.Context) -> str:
    """Called when an order has failed for good."""
    failed: Any = ctx.event.data
    return f"order {failed['event']['data']['order']}: {failed['error']['message']}"


@shop.create_function(
    fn_id="fulfil-order",
    trigger=inngest.TriggerEvent(event="shop/order.placed"),
    retries=2,
    on_failure=tell_support,
    cancel=[inngest.Cancel(event="shop/order.withdrawn", if_exp="event.data.order == async.data.order")],
    concurrency=[inngest.Concurrency(limit=2, key="event.data.customer")],
    idempotency="event.data.order",
)
async def fulfil_order(ctx: inngest.Context) -> dict[str, object]:
    """Take the money, wait for the parcel, say thanks; give the money back if there is no parcel."""
    order = str(ctx.event.data["order"])

    async def load() -> dict[str, int]:
        return {"price": 20, "pieces": int(str(ctx.event.data.get("pieces", 1)))}

    async def reserve() -> str:
        return f"shelf {len(order)}"

    async def charge() -> int:
        if ctx.event.data.get("card") == "stolen":
            raise inngest.NonRetriableError("the card is stolen")
        if ctx.event.data.get("card") == "slow" and ctx.attempt == 0:
            raise CardDeclined("try again in a moment")
        return loaded["price"] * loaded["pieces"]

    loaded = await ctx.step.run("load", load)
    shelf, paid = await ctx.group.parallel(
        (lambda: ctx.step.run("reserve", reserve), lambda: ctx.step.run("charge", charge))
    )
    await ctx.step.send_event("confirm", inngest.Event(name="shop/order.confirmed", data={"order": order}))
    parcel = await ctx.step.wait_for_event(
        "parcel",
        event="shop/parcel.scanned",
        if_exp="event.data.order == async.data.order",
        timeout=EXPRESS_WITHIN if ctx.event.data.get("express") else PARCEL_WITHIN,
    )
    if parcel is None:
        refund = await ctx.step.invoke("refund", function=give_back, data={"order": order, "amount": paid})
        return {"order": order, "refunded": refund}
    await ctx.step.sleep("cooling off", COOLING_OFF)
    thanks = await ctx.step.ai.infer(
        "thanks",
        adapter=ai.openai.Adapter(auth_key="none", base_url=MODEL_URL, model="any"),
        body={"messages": [{"role": "user", "content": f"Thank somebody for order {order}."}]},
    )
    return {"order": order, "shelf": shelf, "paid": paid, "thanks": said(thanks)}


def said(answer: dict[str, object]) -> str:
    """Give the text of a model's answer."""
    return str(answer["choices"][0]["message"]["content"])  # type: ignore[index]


@shop.create_function(fn_id="give-back", trigger=inngest.TriggerEvent(event="shop/refund.wanted"), retries=5)
async def give_back(ctx: inngest.Context) -> int:
    """Give money back. Invoked by fulfil-order; an event would start it as well."""
    if ctx.attempt == 0:
        raise inngest.RetryAfterError("the bank is busy", datetime.timedelta(seconds=1))
    return int(str(ctx.event.data["amount"]))


# --- a batch, and a line of cron ------------------------------------------------------------------------------------


@shop.create_function(
    fn_id="count-confirmed",
    trigger=inngest.TriggerEvent(event="shop/order.confirmed"),
    batch_events=inngest.Batch(max_size=4, timeout=datetime.timedelta(minutes=1)),
)
async def count_confirmed(ctx: inngest.Context) -> list[str]:
    """Write the book, a page of four orders at a time."""
    return sorted(str(event.data["order"]) for event in ctx.events)


@shop.create_function(fn_id="close-the-day", trigger=inngest.TriggerCron(cron="TZ=Europe/Paris 0 22 * * *"))
async def close_the_day(ctx: inngest.Context) -> str:
    """Runs at ten in the evening."""
    midnight = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)
    await ctx.step.sleep_until("midnight", midnight)
    return "closed"


# --- the app --------------------------------------------------------------------------------------------------------

app = fastapi.FastAPI()
inngest.fast_api.serve(app, shop, [fulfil_order, give_back, count_confirmed, close_the_day])


@app.post("/model/chat/completions")
async def pretend(request: fastapi.Request) -> dict[str, object]:
    """Stand in for a language model, so that the example needs no key. With one: take MODEL_URL away."""
    asked = (await request.json())["messages"][-1]["content"]
    return {"choices": [{"message": {"role": "assistant", "content": f"{asked} Thank you!"}}]}
