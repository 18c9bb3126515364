"""Orders that are paid, refused, forgotten, withdrawn, and those that cannot be shipped after all."""

from __future__ import annotations

from typing import Any

from examples.payments.app import app

ORDER: dict[str, Any] = {"orderId": "7", "sku": "kettle", "amount": 30, "address": "1 Mill Lane"}


def test_an_order_that_is_paid_is_shipped() -> None:
    with app.test() as t:
        t.send("order/placed", ORDER)
        run = t.run_of("fulfil-order")
        assert (run.status, run.phase) == ("Running", "waiting")
        t.send("payment/succeeded", {"orderId": "another", "paymentId": "p-0"})
        t.crash()  # what was done is not done again, and the wait goes on
        t.advance("23h")
        t.send("payment/succeeded", {"orderId": "7", "paymentId": "p-1"})
        assert run.output == {"status": "shipped", "orderId": "7", "parcel": "parcel-of-7"}
        assert run.steps["reserve"].attempts == 1
        assert [event.data["orderId"] for event in t.events("order/shipped")] == ["7"]


def test_who_pays_at_once_has_paid() -> None:
    with app.test() as t:
        t.stub("reserve", ConnectionError("the warehouse is away"))  # still being tried when the money comes
        t.send("order/placed", ORDER)
        t.send("payment/succeeded", {"orderId": "7", "paymentId": "p-1"})
        t.stub("reserve", {"sku": "kettle", "shelf": "a"})
        t.advance("1m")
        assert t.run_of("fulfil-order").output["status"] == "shipped"


def test_goods_go_back_when_nobody_pays() -> None:
    with app.test() as t:
        t.send("order/placed", ORDER)
        t.advance("1d")
        run = t.run_of("fulfil-order")
        assert run.output["why"] == "not paid within 1d"
        assert list(run.steps) == ["reserve", "payment", "release", "announce"]
        t.send("payment/succeeded", {"orderId": "7", "paymentId": "p-1"})  # too late: nobody waits any more
        assert [event.name for event in t.events() if event.name.startswith("order/")] == [
            "order/placed",
            "order/abandoned",
        ]


def test_a_refusal_and_a_withdrawal_end_the_wait_at_once() -> None:
    with app.test() as t:
        for end in ("payment/refused", "order/withdrawn"):
            t.send("order/placed", ORDER | {"orderId": end})
            t.send(end, {"orderId": end})
        whys = [run.output["why"] for run in t.runs_of("fulfil-order")]
        assert whys == ["the bank refused the payment", "the customer has withdrawn"]


def test_what_cannot_be_shipped_is_refunded_and_then_put_back() -> None:
    with app.test() as t:
        refund = t.stub("refund", lambda payment: f"refunded {payment['paymentId']}")
        t.send("order/placed", ORDER | {"address": "PO box 9"})
        t.send("payment/succeeded", {"orderId": "7", "paymentId": "p-1"})
        run = t.run_of("fulfil-order")
        assert run.status == "Completed"
        assert run.output["undone"] == ["refunded p-1", "kettle is back on shelf-6"]
        assert len(refund.calls) == 1


def test_nothing_is_undone_that_was_not_done() -> None:
    with app.test() as t:
        t.send("order/placed", ORDER | {"sku": "unicorn"})
        run = t.run_of("fulfil-order")
        assert run.output["why"].endswith("unicorns are out of stock")
        assert run.output["undone"] == []


def test_undoing_goes_on_until_it_is_done() -> None:
    with app.test() as t:
        away = t.stub("release", ConnectionError("the warehouse is away"))
        t.send("order/placed", ORDER)
        t.advance("1d2h")
        run = t.run_of("fulfil-order")
        assert run.phase == "backing_off"
        assert len(away.calls) > 4
        t.stub("release", "back on its shelf")
        t.advance("1h")
        assert run.output["undone"] == ["back on its shelf"]
