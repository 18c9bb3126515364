"""The second version of the API. Goal: names and envelope of the SDK protocol page, 6.2, below both prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.console.apps_api import AppsApi
from headrace.console.catalog import Catalog
from headrace.console.telemetry import Telemetry
from headrace.functions.settings import pause_key
from headrace.records.rows import Start
from tests.console.archives import serve
from tests.console.asgi import ask
from tests.console.histories import NOW_MS, History
from tests.console.nodes import APP_URL, Node


@pytest.fixture
def history() -> History:
    return History()


def data(node: Node, where: str, method: str = "GET", body: Any = None) -> Any:
    answers = [node.ask(method, prefix + where, body) for prefix in ("/v2", "/api/v2")]
    for answer in answers:
        assert answer.status == 200, answer.text
        assert answer.json()["metadata"]["fetchedAt"] == "2025-11-21T08:00:00.000Z"
    return answers[0].json()["data"]


def test_runs(tmp_path: Path, history: History) -> None:
    event_id = history.event("order/created", {"n": 1}, NOW_MS - 60)
    runs = [history.run("shop-order", [event_id], NOW_MS - 50 + n) for n in range(3)]
    runs[0].complete(NOW_MS, {"ok": True})
    runs[1].fail(NOW_MS, "CardError", "declined")
    node = Node(tmp_path / "a.db", history)
    first = node.ask("GET", "/v2/runs?limit=2").json()
    assert [run["id"] for run in first["data"]] == [runs[2].run_id, runs[1].run_id]
    assert (first["page"]["hasMore"], first["page"]["limit"]) == (True, 2)
    assert "output" not in first["data"][0]
    rest = node.ask("GET", f"/v2/runs?limit=2&includeOutput=true&cursor={first['page']['cursor']}").json()
    assert (rest["page"]["hasMore"], rest["page"]["cursor"]) == (False, None)
    (last,) = rest["data"]
    assert last == {
        "id": runs[0].run_id,
        "function": {"id": "shop-order", "name": "order", "app": {"id": "shop"}},
        "app": {"id": "shop"},
        "status": "COMPLETED",
        "queuedAt": "2025-11-21T07:59:59.950Z",
        "startedAt": "2025-11-21T07:59:59.950Z",
        "endedAt": "2025-11-21T08:00:00.000Z",
        "durationMs": 50,
        "trigger": {"eventIds": [event_id], "eventName": "order/created", "isBatch": False, "cronSchedule": None},
        "output": {"ok": True},
    }
    assert data(node, f"/runs/{runs[1].run_id}")["output"]["message"] == "declined"
    assert [run["id"] for run in data(node, f"/events/{event_id}/runs")] == [run.run_id for run in runs[::-1]]
    assert [run["id"] for run in data(node, "/runs?status=RUNNING,FAILED")] == [runs[2].run_id, runs[1].run_id]
    assert [run["id"] for run in data(node, "/apps/shop/functions/order/runs?status=failed")] == [runs[1].run_id]
    assert data(node, "/runs?functionId=shop-mail") == []
    assert len(data(node, "/runs?appId=shop&from=2025-11-21T07:00:00Z&until=2025-11-21T08:00:00Z")) == 3


def test_runs_are_cancelled_and_run_again(tmp_path: Path, history: History) -> None:
    run = history.run("shop-order", [history.event("order/created", {}, NOW_MS - 60)], NOW_MS - 50)
    node = Node(tmp_path / "a.db", history)
    assert node.ask("POST", f"/v2/runs/{run.run_id}/cancel").json()["data"] == {"runId": run.run_id}
    assert len(node.cancelled) == 1
    again = node.ask("POST", f"/v2/runs/{run.run_id}/rerun", {}).json()["data"]["runId"]
    assert again != run.run_id
    refused = node.ask("POST", f"/v2/runs/{run.run_id}/rerun", {"fromStep": {"stepId": "load"}})
    assert (refused.status, refused.json()["errors"][0]["code"]) == (501, "rerun_from_step")


def test_apps_and_functions(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    node.broadcasts[pause_key("shop-mail")] = b'{"paused":true}'
    (shop,) = data(node, "/apps")
    assert (shop["id"], shop["method"], shop["functionCount"]) == ("shop", "SERVE", 2)
    assert shop["latestSync"]["url"] == APP_URL
    assert data(node, "/apps/shop") == shop
    paused = {one["slug"]: one["isPaused"] for one in data(node, "/apps/shop/functions")}
    assert paused == {"shop-mail": True, "shop-order": False}
    for name in ("shop-order", "order"):
        shown = data(node, f"/apps/shop/functions/{name}")
        assert shown["triggers"] == [{"type": "EVENT", "value": "order/created", "if": None}]
    synced = node.ask("POST", "/v2/apps/blog/syncs", {"url": "http://localhost:4000/api/inngest"})
    assert synced.json()["data"]["latestSync"]["status"] == "success"


def test_a_function_is_invoked(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    told = node.ask("POST", "/v2/apps/shop/functions/order/invoke", {"data": {"n": 1}}).json()["data"]
    ((_, start),) = node.given
    assert isinstance(start, Start)
    assert told == {"runId": start.run_id, "queuedAt": "2025-11-21T08:00:00.000Z"}
    keyed = node.ask("POST", "/v2/apps/shop/functions/order/invoke", {"data": {}, "idempotencyKey": "a"})
    assert keyed.status == 501


@pytest.mark.parametrize(
    ("method", "where", "status"),
    [
        ("GET", "/v2/runs/01K00000000000000000000000", 404),
        ("GET", "/v2/events/none/runs", 404),
        ("GET", "/v2/apps/none", 404),
        ("GET", "/v2/apps/shop/functions/none", 404),
        ("GET", "/v2/runs?status=odd", 400),
        ("GET", "/v2/runs?limit=101", 400),
        ("GET", "/v2/runs?cursor=x", 400),
        ("GET", "/v2/keys/events", 501),
        ("GET", "/api/v2/env/webhooks", 501),
        ("POST", "/v2/partner/accounts", 501),
        ("POST", "/v2/insights/query", 501),
        ("POST", "/v2/events", 501),
    ],
)
def test_errors_have_a_code_and_a_message(tmp_path: Path, method: str, where: str, status: int) -> None:
    answer = Node(tmp_path / "a.db").ask(method, where, {} if method == "POST" else None)
    assert answer.status == status
    (error,) = answer.json()["errors"]
    assert error["code"]
    assert error["message"]


def test_health(tmp_path: Path) -> None:
    assert data(Node(tmp_path / "a.db"), "/health") == {"status": "ok"}


def test_get_v1_apps_functions_is_a_bare_array(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    app = serve(node.path, routes=AppsApi(Catalog(node.known)).routes())
    found = ask(app, "GET", "/v1/apps/shop/functions").json()
    assert [one["id"] for one in found] == ["shop-mail", "shop-order"]
    assert {"internal_id", "app_id", "name", "config"} <= set(found[0])
    assert found[1]["config"]["triggers"] == [{"event": "order/created"}]
    assert ask(app, "GET", "/v1/apps/none/functions").json() == []


def test_post_v1_traces_userland(tmp_path: Path) -> None:
    app = serve(Node(tmp_path / "a.db").path, routes=Telemetry().routes())
    answer = ask(app, "POST", "/v1/traces/userland", body=[b"\x0a\x02", b"x"], headers={"content-encoding": "gzip"})
    assert answer.status == 200
