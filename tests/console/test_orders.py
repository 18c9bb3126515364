"""Orders over HTTP. Goal: what is asked for stands on Kafka as one command, and nonsense is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.console.archive import prepare_archive
from headrace.console.orders import Orders
from headrace.errors import LogUnavailable
from headrace.records.commands import Travelling
from headrace.records.ids import is_ulid, partition_of
from headrace.records.rows import Start
from tests.console.archives import FixedClock, serve
from tests.console.asgi import Answer, ask
from tests.console.histories import NOW_MS


class Node:
    """Takes orders."""

    def __init__(self, path: Path) -> None:
        self.given: list[tuple[int | None, Travelling]] = []
        self.up = True
        prepare_archive(path)
        orders = Orders(self.give, lambda: {"shop-order", "shop-mail"}, 8, FixedClock())
        self.app = serve(path, routes=orders.routes())

    async def give(self, partition: int | None, command: Travelling) -> None:
        if not self.up:
            raise LogUnavailable("order_not_written", "Kafka did not take it")
        self.given.append((partition, command))

    def post(self, where: str, body: Any) -> Answer:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return ask(self.app, "POST", where, body=content)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "a.db")


def test_a_function_is_invoked_with_data(node: Node) -> None:
    answer = node.post("/v1/functions/shop-order/invoke", {"data": {"n": 1}})
    assert answer.status == 200
    told = answer.json()["data"]
    ((partition, start),) = node.given
    assert isinstance(start, Start)
    assert is_ulid(start.run_id)
    assert partition == partition_of(start.run_id.encode(), 8)
    event = start.events[0]
    assert told == {"run_id": start.run_id, "function_id": "shop-order", "event_id": event.id}
    assert (event.name, event.ts_ms, start.accepted_ms) == ("inngest/function.invoked", NOW_MS, NOW_MS)
    assert msgspec.json.decode(event.json)["data"] == {"n": 1, "_inngest": {"fn_id": "shop-order"}}
    node.post("/v1/functions/shop-order/invoke", {"data": {"n": 1}})
    assert node.given[1][1].run_id != start.run_id  # type: ignore[union-attr]


def test_without_data_it_is_empty(node: Node) -> None:
    for body in (b"", b"{}", b'{"data":null}'):
        assert node.post("/v1/functions/shop-order/invoke", body).status == 200
    for _, start in node.given:
        assert isinstance(start, Start)
        assert list(msgspec.json.decode(start.events[0].json)["data"]) == ["_inngest"]


@pytest.mark.parametrize(
    ("where", "body", "status", "code"),
    [
        ("/v1/functions/shop-ordre/invoke", {}, 404, "function_unknown"),
        ("/v1/functions/order/invoke", {}, 404, "function_unknown"),
        ("/v1/functions/shop-order/invoke", b"no json", 400, "body_invalid"),
        ("/v1/functions/shop-order/invoke", [1], 400, "body_invalid"),
        ("/v1/functions/shop-order/invoke", {"data": [1]}, 400, "invoke_data_invalid"),
        ("/v1/functions/shop-order/invoke", {"data": {"x": "y" * (3 << 20)}}, 413, "body_too_large"),
    ],
)
def test_nonsense_is_refused(node: Node, where: str, body: Any, status: int, code: str) -> None:
    answer = node.post(where, body)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["action"]
    assert node.given == []


def test_the_nearest_function_is_named(node: Node) -> None:
    for wrong in ("order", "shop-ordre"):
        assert "'shop-order'" in node.post(f"/v1/functions/{wrong}/invoke", {}).json()["action"]


def test_an_order_that_is_not_on_kafka_is_not_given(node: Node) -> None:
    node.up = False
    assert node.post("/v1/functions/shop-order/invoke", {}).status == 503
