"""Five orders of a shop on FastAPI, with the unmodified Python SDK of Inngest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from examples.sdk_stage import Program, SdkStage

STAGE = SdkStage
SHORT: Mapping[str, str] = {"EXPRESS_WITHIN_S": "1", "COOLING_OFF_S": "1"}
FOLDER = Path(__file__).parent


def programs(free_port: Callable[[], int]) -> list[Program]:
    """Name the processes of the example."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(port)]
    return [Program(command, FOLDER, port, {"MODEL_URL": f"http://127.0.0.1:{port}/model"})]


def play(stage: SdkStage) -> None:
    """Place five orders: a good one, a slow card, a stolen card, one that is withdrawn, one without a parcel."""
    cards = {"good": "", "slow": "slow", "stolen": "stolen", "withdrawn": ""}
    for order, card in cards.items():
        stage.send("shop/order.placed", {"order": order, "card": card, "customer": order, "pieces": 2})
    stage.send("shop/order.placed", {"order": "good", "customer": "good"})  # a double click
    stage.await_runs("shop-fulfil-order", 3, phase="waiting")
    stage.send("shop/order.withdrawn", {"order": "withdrawn"})
    for order in ("good", "slow"):
        stage.send("shop/parcel.scanned", {"order": order})
    stage.send("shop/order.placed", {"order": "lost", "customer": "lost", "pieces": 2, "express": True})
    completed = {run["output"]["order"]: run["output"] for run in stage.await_runs("shop-fulfil-order", 3)}
    stage.check("the card that was slow paid in the end", completed["slow"]["paid"] == 40)
    stage.check("a model said thanks", completed["good"]["thanks"] == "Thank somebody for order good. Thank you!")
    stage.check("the one without a parcel got its money back", completed["lost"] == {"order": "lost", "refunded": 40})
    stage.await_runs("shop-fulfil-order", 1, status="Failed")
    stage.await_runs("shop-fulfil-order", 1, status="Cancelled")
    told = stage.await_runs("shop-fulfil-order-failure", 1)
    stage.check("support was told of the stolen card", told[0]["output"] == "order stolen: the card is stolen")
    book = stage.await_runs("shop-count-confirmed", 1)
    stage.check("the book has four orders", book[0]["output"] == ["good", "lost", "slow", "withdrawn"])
