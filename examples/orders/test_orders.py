"""Orders: charged once, though the gateway is busy, and an apology for those that fail.

`headrace_app` is the fixture that Headrace brings to pytest; `with app.test() as t` is the same without pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from examples.orders.app import app
from headrace.testing import TestApp

ITEMS = [{"sku": "tea", "price": 5}, {"sku": "pot", "price": 20}]
ORDER: dict[str, Any] = {"orderId": "7", "customer": "ada", "items": ITEMS}
Kit = Callable[..., TestApp]


def test_an_order_starts_three_functions_and_is_charged_once(headrace_app: Kit) -> None:
    t = headrace_app(app)
    t.send("order/created", ORDER, key="ada")
    run = t.run_of("process-order")
    assert run.phase == "backing_off"
    t.advance("1s")
    assert run.steps["charge"].attempts == 2
    t.crash()
    t.advance("1s")
    assert run.output == {"orderId": "7", "paid": 25, "items": 2}
    assert [name for name in run.steps if name.startswith("pack")] == ["pack", "pack:1"]
    assert t.run_of("send-receipt").output == "receipt for order 7"
    assert t.run_of("update-stats").output == {"items": 2, "revenue": 25}
    (processed,) = t.events("order/processed")
    assert processed.data == {"orderId": "7"}


def test_an_order_without_items_fails_at_once_and_somebody_apologises(headrace_app: Kit) -> None:
    t = headrace_app(app)
    t.send("order/created", {"orderId": "8"})
    run = t.run_of("process-order")
    assert (run.status, run.steps["load"].attempts) == ("Failed", 1)
    assert t.run_of("process-order-failure").status == "Completed"
