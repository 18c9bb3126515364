"""What an operator changes over HTTP. Goal: it stands on the functions topic as one record, and nonsense is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.console.archive import prepare_archive
from headrace.console.switches import Switches
from headrace.functions.settings import limits_key, pause_key
from headrace.records.commands import ResumeRun, Travelling
from headrace.records.definitions import Concurrency, Definition, EventTrigger, Throttle, encode_definition
from headrace.records.history import Kind
from tests.console.archives import FixedClock, fill, open_archive, serve
from tests.console.asgi import Answer, ask
from tests.console.histories import NOW_MS, History

ORDER = Definition(
    "shop-order",
    "shop",
    "order",
    [EventTrigger("order/created")],
    concurrency=[Concurrency(1, "event.data.user"), Concurrency(10)],
    throttle=Throttle(5, 1_000),
)
MAIL = Definition("shop-mail", "shop", "mail", [EventTrigger("order/done")])
LIVE = "/v1/functions/shop-order/limits"


class Node:
    """Takes what is to be written, and has read it at once."""

    def __init__(self, path: Path) -> None:
        prepare_archive(path)
        self.path = path
        self.known = {b"shop-order": encode_definition(ORDER), b"shop-mail": encode_definition(MAIL)}
        self.given: list[tuple[int | None, Travelling]] = []
        switches = Switches(self.broadcast, self.give, lambda: self.known, open_archive(path), FixedClock())
        self.app = serve(path, routes=switches.routes())

    async def broadcast(self, key: bytes, value: bytes) -> None:
        self.known[key] = value

    async def give(self, partition: int | None, command: Travelling) -> None:
        self.given.append((partition, command))

    def post(self, where: str, body: Any = b"") -> Answer:
        return ask(self.app, "POST", where, body=body if isinstance(body, bytes) else msgspec.json.encode(body))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "a.db")


def test_a_function_is_paused_and_resumed(node: Node) -> None:
    answer = node.post("/v1/functions/shop-mail/pause")
    assert answer.json()["data"] == {"function_id": "shop-mail", "key": None, "paused": True}
    assert node.known[pause_key("shop-mail")] == b'{"paused":true}'
    assert node.post("/v1/functions/shop-mail/resume").status == 200
    assert node.known[pause_key("shop-mail")] == b'{"paused":false}'


def test_a_key_is_paused_where_there_is_one(node: Node) -> None:
    assert node.post("/v1/functions/shop-order/pause", {"key": "ann"}).status == 200
    assert node.known[b"~pause/shop-order/ann"] == b'{"paused":true}'
    refused = node.post("/v1/functions/shop-mail/pause", {"key": "ann"})
    assert (refused.status, refused.json()["code"]) == (400, "function_has_no_key")


def test_limits_are_set_one_by_one_and_reset(node: Node) -> None:
    node.post(LIVE, {"concurrency": [{"limit": 3, "key": "event.data.user"}]})
    node.post(LIVE, {"concurrency": [{"limit": 7}], "throttle": {"limit": 50, "period": "1m"}})
    assert msgspec.json.decode(node.known[limits_key("shop-order")]) == {
        "concurrency": [{"limit": 3, "key": "event.data.user"}, {"limit": 7}],
        "throttle": {"limit": 50, "period_ms": 60_000},
    }
    ((shown),) = ask(node.app, "GET", "/v1/limits").json()["data"]
    told = [(limit["kind"], limit["limit"], limit["key"], limit["live"]) for limit in shown["limits"]]
    assert told == [
        ("concurrency", 3, "event.data.user", True),
        ("concurrency", 7, None, True),
        ("throttle", 50, None, True),
    ]
    assert ask(node.app, "DELETE", LIVE).status == 200
    ((shown),) = ask(node.app, "GET", "/v1/limits").json()["data"]
    assert [(limit["limit"], limit["live"]) for limit in shown["limits"]] == [(1, False), (10, False), (5, False)]


def test_what_is_paused_is_listed_with_the_limits(node: Node) -> None:
    node.post("/v1/functions/shop-mail/pause")
    node.post("/v1/functions/shop-order/pause", {"key": "ann"})
    mail, order = ask(node.app, "GET", "/v1/limits").json()["data"]
    assert (mail["function_id"], mail["paused"], mail["limits"]) == ("shop-mail", True, [])
    assert (order["paused"], order["paused_keys"]) == (False, ["ann"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "limits_missing"),
        ({"concurrency": [{"limit": 0}]}, "limit_invalid"),
        ({"concurrency": [{"limit": 1, "scope": "world"}]}, "scope_unknown"),
        ({"concurrency": [{"limit": 1, "key": "event..x"}]}, None),
        ({"concurrency": 5}, "body_invalid"),
        ({"rate_limit": {"limit": 5}}, "limit_not_declared"),
        ({"throttle": {"limit": 5, "period": "soon"}}, None),
        ({"trottle": {"limit": 5}}, "body_invalid"),
        (b"[", "body_invalid"),
    ],
)
def test_nonsense_is_refused(node: Node, body: Any, code: str | None) -> None:
    refused = node.post(LIVE, body)
    assert refused.status == 400
    assert code is None or refused.json()["code"] == code
    assert limits_key("shop-order") not in node.known


def test_a_function_that_is_not_there_is_named_with_the_one_that_may_be_meant(node: Node) -> None:
    refused = node.post("/v1/functions/order/pause")
    assert refused.status == 404
    assert "shop-order" in refused.json()["action"]


def test_a_run_that_is_not_there_cannot_be_resumed(node: Node) -> None:
    assert node.post("/v1/runs/01KDVDNA003V0Z9CSCP3WNF47K/resume").status == 404
    assert node.given == []


@pytest.mark.parametrize("phase", ["parked", "executing"])
def test_only_a_parked_run_is_resumed(tmp_path: Path, phase: str) -> None:
    path = tmp_path / "a.db"
    prepare_archive(path)
    history = History()
    run = history.run("shop-order", [history.event("order/created", {}, NOW_MS - 9)], NOW_MS - 8)
    run.add(Kind.RunPhase, NOW_MS - 5, phase=phase)
    fill(path, history.records)
    node = Node(path)
    answer = node.post(f"/v1/runs/{run.run_id}/resume")
    if phase == "parked":
        assert answer.status == 200
        assert node.given == [(run.partition, ResumeRun(run.run_id))]
    else:
        assert (answer.status, answer.json()["code"]) == (409, "run_not_parked")
