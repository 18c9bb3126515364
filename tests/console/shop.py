"""A shop's day: enough of everything to look at, drawn from one seed."""

from __future__ import annotations

import random
from typing import Any

from headrace.errors import BadRecord
from headrace.records.definitions import Backoff, EventTrigger
from headrace.records.history import Kind
from tests.console.histories import STACK, History, RunHistory

_MINUTE_MS = 60_000
DECLINED = {
    "status": "Failed",
    "output": "",
    "error_name": "CardError",
    "error_message": "the card was declined",
    "error_stack": STACK,
}
_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Eşref", "福田")


def shop_history(now_ms: int, *, runs: int = 400, seed: int = 7) -> History:
    """Make the history of a day that ends now."""
    history = History(8)
    chance = random.Random(seed)
    began_ms = now_ms - 24 * 60 * _MINUTE_MS
    declare(history, began_ms)
    for number in range(runs):
        # Busier towards the end of the day.
        at_ms = began_ms + int((number / runs) ** 0.6 * (now_ms - began_ms - 3 * _MINUTE_MS))
        _order(history, chance, number, at_ms)
    _now(history, chance, now_ms)
    _troubles(history, now_ms)
    return history


def declare(history: History, at_ms: int) -> None:
    """Declare the shop's functions."""
    history.function("shop-process-order", EventTrigger("order/created"), at_ms=at_ms, retries=3)
    history.function(
        "shop-send-receipt",
        EventTrigger("order/paid", "event.data.total > 0"),
        at_ms=at_ms,
        retries=5,
        backoff=Backoff("linear", 5_000, 60_000),
    )
    history.function("shop-remind-of-cart", EventTrigger("cart/*"), EventTrigger("user/signed.out"), at_ms=at_ms)
    history.function("media-resize-image", EventTrigger("image/uploaded"), at_ms=at_ms, retries=0, kind="http")
    history.function("billing-close-the-month", at_ms=at_ms)


def _order_data(chance: random.Random, number: int) -> dict[str, Any]:
    return {
        "orderId": f"o-{10_000 + number}",
        "customer": {"id": f"u-{chance.randrange(90):03}", "name": chance.choice(_NAMES)},
        "total": round(chance.uniform(5, 400), 2),
        "currency": "EUR",
        "items": [{"sku": f"SKU-{chance.randrange(999):03}", "quantity": chance.randrange(1, 4)} for _ in range(3)],
        "express": chance.random() < 0.3,
    }


def _order(history: History, chance: random.Random, number: int, at_ms: int) -> None:
    data = _order_data(chance, number)
    kind = chance.random()
    if kind < 0.2:
        image = history.event("image/uploaded", {"url": f"s3://photos/{number}.jpg", "bytes": 48_213 + number}, at_ms)
        run = history.run("media-resize-image", [image], at_ms)
        run.step("download", at_ms + 4, at_ms + 90, {"bytes": 48_213}).step("resize", at_ms + 91, at_ms + 410, "ok")
        if chance.random() < 0.1:
            run.fail(at_ms + 500, "UnidentifiedImageError", "cannot identify image file")
        else:
            run.complete(at_ms + 450, {"sizes": [64, 256, 1024]})
        return
    event = history.event("order/created", data, at_ms, id=data["orderId"], key=data["customer"]["id"].encode())
    run = history.run("shop-process-order", [event], at_ms)
    _process(run, chance, data, at_ms)
    if kind > 0.9:
        history.event("user/viewed.page", {"path": "/sale", "ms": chance.randrange(9_000)}, at_ms + 40)
    if kind > 0.3:
        paid = history.event("order/paid", data, at_ms + 900, key=data["customer"]["id"].encode())
        receipt = history.run("shop-send-receipt", [paid], at_ms + 910)
        receipt.step("render", at_ms + 912, at_ms + 961, {"pages": 1}).step(
            "mail", at_ms + 962, at_ms + 1_480, "250 OK"
        )
        receipt.complete(at_ms + 1_490, None)


def _process(run: RunHistory, chance: random.Random, data: dict[str, Any], at_ms: int) -> None:
    run.step("load", at_ms + 3, at_ms + 41, data)
    run.step("reserve-stock", at_ms + 42, at_ms + 160, {"reserved": True, "warehouse": "LJU-2"})
    if chance.random() < 0.15:
        run.fail_attempt("charge", 0, at_ms + 161, at_ms + 480, at_ms + 1_530)
        run.step("charge", at_ms + 1_531, at_ms + 1_870, {"receipt": "ch_3Qx"}, attempt=1)
        run.complete(at_ms + 1_900, {"ok": True})
    elif chance.random() < 0.06:
        for attempt in range(2):
            began_ms = at_ms + 161 + 900 * attempt
            run.fail_attempt("charge", attempt, began_ms, began_ms + 240, began_ms + 900)
        run.step("charge", at_ms + 1_961, at_ms + 2_200, **{"attempt": 2, **DECLINED})
        run.fail(at_ms + 2_203)
    else:
        run.step("charge", at_ms + 161, at_ms + 520, {"receipt": "ch_3Qx", "captured": True})
        run.step("notify", at_ms + 521, at_ms + 523, ["01KA"], op="send_event")
        run.complete(at_ms + 540, {"ok": True, "orderId": data["orderId"]})


def _now(history: History, chance: random.Random, now_ms: int) -> None:
    """Runs that live: each in another phase."""
    for number in range(3):
        begin_ms = now_ms - (number + 1) * 4_000
        data = _order_data(chance, 9_000 + number)
        event = history.event("order/created", data, begin_ms, key=b"u-001")
        run = history.run("shop-process-order", [event], begin_ms)
        run.step("load", begin_ms + 3, begin_ms + 30, data)
        if number == 1:
            run.fail_attempt("charge", 0, begin_ms + 31, begin_ms + 400, begin_ms + 1_450)
            run.fail_attempt("charge", 1, begin_ms + 1_451, begin_ms + 1_900, now_ms + 600_000)
        if number == 2:
            run.sleep("cool-off", begin_ms + 31, now_ms + 30 * _MINUTE_MS, over=False)
    cart = history.event("cart/abandoned", {"cartId": "c-77", "items": 2}, now_ms - 3 * 86_400_000 // 2)
    run = history.run("shop-remind-of-cart", [cart], now_ms - 3 * 86_400_000 // 2)
    began_ms = now_ms - 3 * 86_400_000 // 2
    run.step("load-cart", began_ms + 5, began_ms + 60, {"items": 2})
    run.sleep("a-day", began_ms + 61, began_ms + 86_400_061)
    run.step("remind", began_ms + 86_400_070, began_ms + 86_400_590, {"mail": "sent"})
    run.sleep("another", began_ms + 86_400_600, began_ms + 2 * 86_400_600, over=False)
    waiting = history.event("cart/updated", {"cartId": "c-78"}, now_ms - 50_000)
    queued = history.run("shop-remind-of-cart", [waiting], now_ms - 50_000, phase="queued", started_ms=0)
    assert queued.run_id
    uploaded = history.event("image/uploaded", {"url": "s3://photos/new.heic"}, now_ms - 90_000)
    lost = history.run("media-resize-image", [uploaded], now_ms - 90_000)
    lost.add(
        Kind.RunPhase,
        now_ms - 89_000,
        phase="no_code",
        code="function_not_loaded",
        explanation="the node that owns this run has no code for 'media-resize-image'",
        action="start the nodes with the app that declares it, or put the function back; the run then goes on",
    )
    gone = history.event("order/created", _order_data(chance, 9_100), now_ms - 70_000)
    history.run("shop-process-order", [gone], now_ms - 70_000).step(
        "load", now_ms - 69_990, now_ms - 69_950, {}
    ).cancel(now_ms - 60_000)


def _troubles(history: History, now_ms: int) -> None:
    event = history.event("order/created", {"orderId": "o-10007"}, now_ms - 30_000, id="o-10007")
    history.verdict(
        event,
        "shop-process-order",
        now_ms - 29_990,
        status="duplicate",
        code="event_id_repeated",
        explanation="an event with the id 'o-10007' has started this function within 24 hours",
    )
    error = BadRecord(
        "event_not_json",
        "the value is not an event: JSON is malformed: invalid character (byte 0)",
        why='an event is a JSON object {"name": string, "data": object, …}',
        do="look at the first bytes of the value: b'orderId=12'",
    )
    history.dead(error, b"orderId=12&total=9.90", now_ms - 400_000, key=b"u-009")
