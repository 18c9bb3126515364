"""Five orders on a real node: one for each way in which they can end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT = {"PAYMENTS_WINDOW": "2s"}


def play(stage: Stage) -> None:
    """Place the orders, pay for some of them, and look at what became of each."""
    order = {"sku": "kettle", "amount": 30, "address": "1 Mill Lane"}
    for order_id, other in {
        "paid": {},
        "refused": {},
        "forgotten": {},
        "rare": {"sku": "unicorn"},
        "boxed": {"address": "PO box 9"},
    }.items():
        stage.send("order/placed", {"orderId": order_id} | order | other)
    for order_id in ("paid", "boxed"):
        stage.send("payment/succeeded", {"orderId": order_id, "paymentId": f"payment-{order_id}"})
    stage.send("payment/refused", {"orderId": "refused"})
    runs = stage.await_runs("payments-fulfil-order", 5)
    ends = {run["output"]["orderId"]: run["output"] for run in runs}
    stage.check("the paid order is shipped", ends["paid"]["status"] == "shipped")
    stage.check("nobody waits for ever", ends["forgotten"]["why"] == "not paid within 2s")
    stage.check("the refused one is put back", ends["refused"]["undone"] == ["kettle is back on shelf-6"])
    stage.check("nothing was taken of what is not there", ends["rare"]["undone"] == [])
    undone = ["refunded payment-boxed", "kettle is back on shelf-6"]
    stage.check("who could not be served has his money back", ends["boxed"]["undone"] == undone)
