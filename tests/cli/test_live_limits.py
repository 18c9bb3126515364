"""`headrace limits`, `pause` and `resume`. Goal: they ask a node for the right thing and show what it answers."""

from __future__ import annotations

import json

from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode

FOUND = {
    "function_id": "shop-order",
    "limits": [
        {"kind": "concurrency", "limit": 5, "key": "event.data.user", "scope": "function", "live": True},
        {"kind": "throttle", "limit": 10, "period_ms": 60_000, "burst": 0, "key": None, "live": False},
    ],
    "paused": True,
    "paused_keys": ["ann"],
}


def test_limits_are_listed_with_what_is_paused(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/limits", {"data": [FOUND]})
    shown = run("limits", "--url", node.url).output
    assert "concurrency" in shown
    assert "10 in 1m" in shown
    assert shown.count("paused") == 2
    assert json.loads(run("limits", "--json", "--url", node.url).output) == {"data": [FOUND]}
    node.answer("GET", "/v1/limits", {"data": []})
    assert "No function has a limit." in run("limits", "--url", node.url).output


def test_limits_are_set(run: Run, node: FakeNode) -> None:
    node.answer("POST", "/v1/functions/shop-order/limits", {"data": FOUND})
    limit = ("--concurrency", "5", "--key", "event.data.user")
    result = run("limits", "set", "shop-order", *limit, "--throttle", "10", "--period", "1m", "--url", node.url)
    row = result.output.splitlines()[3].split()
    assert row == ["shop-order", "concurrency", "5", "event.data.user", "function", "yes"]
    assert node.asked[0].body == {
        "concurrency": [{"limit": 5, "key": "event.data.user", "scope": "function"}],
        "throttle": {"limit": 10, "period": "1m"},
    }
    assert run("limits", "set", "shop-order", "--url", node.url).exit_code == 2
    assert run("limits", "set", "shop-order", "--concurrency", "0", "--url", node.url).exit_code == 2
    assert len(node.asked) == 1


def test_limits_are_reset(run: Run, node: FakeNode) -> None:
    node.answer("DELETE", "/v1/functions/shop-order/limits", {"data": FOUND})
    assert "shop-order" in run("limits", "reset", "shop-order", "--url", node.url).output


def test_a_function_or_a_key_is_paused_and_resumed(run: Run, node: FakeNode) -> None:
    for word in ("pause", "resume"):
        node.answer("POST", f"/v1/functions/shop-order/{word}", {"data": {"function_id": "shop-order", "key": None}})
        assert f"shop-order is {word}d" in run(word, "shop-order", "--url", node.url).output
        assert node.asked[-1].body == {}
        node.answer("POST", f"/v1/functions/shop-order/{word}", {"data": {"function_id": "shop-order", "key": "ann"}})
        assert "'ann'" in run(word, "shop-order", "--key", "ann", "--url", node.url).output
        assert node.asked[-1].body == {"key": "ann"}


def test_a_parked_run_is_resumed_by_its_id(run: Run, node: FakeNode) -> None:
    run_id = "01KDVDNA003V0Z9CSCP3WNF47K"
    node.answer("POST", f"/v1/runs/{run_id}/resume", {"data": {"run_id": run_id}})
    assert run_id in run("resume", run_id, "--url", node.url).output
