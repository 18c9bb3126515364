"""Five orders of a shop in the style of Next.js and a post office on Express, with the unmodified TypeScript SDK of
Inngest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from examples.npm import installed, node
from examples.sdk_stage import Program, SdkStage

STAGE = SdkStage
SHORT: Mapping[str, str] = {"EXPRESS_WITHIN": "1s", "COOLING_OFF": "1s"}
FOLDER = Path(__file__).parent


def programs(free_port: Callable[[], int]) -> list[Program]:
    """Name the processes of the example. Their packages are fetched once, into the cache."""
    packages = installed(FOLDER)
    home = Path(tempfile.mkdtemp(prefix="headrace-example-"))
    for source in FOLDER.glob("*.*"):
        if source.suffix in (".ts", ".json"):
            shutil.copy(source, home)
    (home / "node_modules").symlink_to(packages, target_is_directory=True)
    ports = {"web": free_port(), "post": free_port()}
    others = f"http://127.0.0.1:{ports['post']}"
    variables = {"MODEL_URL": f"{others}/model/", "RATES_URL": f"{others}/rates"}
    return [
        Program([str(node()), f"{name}.ts"], home, port, {**variables, "PORT": str(port)})
        for name, port in ports.items()
    ]


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
    stage.check("the card that was slow paid in the end", completed["slow"]["paid"] == 80)
    stage.check("the quickest way won the race", completed["good"]["by"] == "courier")
    letter = "to the customer of good: Thank somebody for order good. Thank you!"
    stage.check("the other app sent the letter that a model wrote", completed["good"]["letter"] == letter)
    stage.check("the one without a parcel got its money back", completed["lost"] == {"order": "lost", "refunded": 40})
    stage.await_runs("shop-fulfil-order", 1, status="Failed")
    stage.await_runs("shop-fulfil-order", 1, status="Cancelled")
    told = stage.await_runs("shop-fulfil-order-failure", 1)
    stage.check("support was told of the stolen card", told[0]["output"] == "order stolen: the card is stolen")
    book = stage.await_runs("shop-count-confirmed", 1)
    stage.check("the book has four orders", book[0]["output"] == ["good", "lost", "slow", "withdrawn"])
