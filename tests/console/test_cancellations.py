"""Bulk cancellation over HTTP. Goal: what is asked for stands on Kafka, and is listed until it is removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.records.commands import CancelRuns
from tests.console.histories import NOW_MS
from tests.console.nodes import Node

HOUR_MS = 3_600_000


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "a.db")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "body_invalid"),
        ({"function_id": "shop-ordre"}, 404, "function_unknown"),
        ({"function_id": "shop-order", "if": "event.data.("}, 400, "bad_expression"),
        ({"function_id": "shop-order", "started_after": "soon"}, 400, "parameter_invalid"),
        (
            {"function_id": "shop-order", "started_before": NOW_MS + HOUR_MS},
            400,
            "cancellation_window_invalid",
        ),
        (
            {"function_id": "shop-order", "started_after": "1h", "started_before": "2h"},
            400,
            "cancellation_window_invalid",
        ),
    ],
)
def test_nonsense_is_refused(node: Node, body: Any, status: int, code: str) -> None:
    answer = node.ask("POST", "/v1/cancellations", body)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["action"]
    assert node.given == []


def test_runs_are_cancelled_in_bulk_on_every_partition(node: Node) -> None:
    body = {"function_id": "shop-order", "started_after": "2h", "started_before": "1h", "if": "event.data.n > 1"}
    answer = node.ask("POST", "/v1/cancellations", body)
    assert answer.status == 200
    ((partition, command),) = node.given
    assert partition is None
    assert command == CancelRuns(
        answer.json()["data"]["id"], "shop-order", NOW_MS - 2 * HOUR_MS, NOW_MS - HOUR_MS + 1, "event.data.n > 1"
    )
    assert answer.json()["data"]["started_after"] == "2025-11-21T06:00:00.000Z"


def test_the_names_of_the_protocol_are_taken(node: Node) -> None:
    assert node.ask("POST", "/v1/cancellations", {"app_id": "shop", "function_id": "order"}).status == 200
    ((_, command),) = node.given
    assert isinstance(command, CancelRuns)
    assert (command.function_id, command.after_ms, command.before_ms) == ("shop-order", 0, NOW_MS + 1)


def test_those_that_were_given_are_listed_until_they_are_removed(node: Node) -> None:
    first = node.ask("POST", "/v1/cancellations", {"function_id": "shop-order"}).json()["data"]
    node.clock.now_ms += 10
    second = node.ask("POST", "/v1/cancellations", {"function_id": "shop-mail", "if": "event.data.n > 1"}).json()[
        "data"
    ]
    assert node.ask("GET", "/v1/cancellations").json()["data"] == [second, first]
    assert second["if"] == "event.data.n > 1"
    assert {"id", "created_at", "function_id", "environment_id", "started_after", "started_before"} <= set(first)
    assert node.ask("GET", f"/v1/cancellations/{first['id']}").json()["data"] == first
    removed = node.ask("DELETE", f"/v1/cancellations/{first['id']}")
    assert (removed.status, removed.json()["data"]) == (200, {"ok": True})
    assert node.ask("GET", "/v1/cancellations").json()["data"] == [second]
    for method in ("GET", "DELETE"):
        gone = node.ask(method, f"/v1/cancellations/{first['id']}")
        assert (gone.status, gone.json()["status"], gone.json()["code"]) == (404, 404, "not_found")


def test_a_moment_that_lies_a_little_ahead_is_now(node: Node) -> None:
    body = {"function_id": "shop-order", "started_before": NOW_MS + 4_000}
    assert node.ask("POST", "/v1/cancellations", body).status == 200
    ((_, command),) = node.given
    assert isinstance(command, CancelRuns)
    assert command.before_ms == NOW_MS + 1


def test_an_order_that_is_not_on_kafka_is_not_listed(node: Node) -> None:
    node.up = False
    assert node.ask("POST", "/v1/cancellations", {"function_id": "shop-order"}).status == 503
    assert node.ask("GET", "/v1/cancellations").json()["data"] == []
