"""`headrace invoke` and `cancel --function`. Goal: they ask a node for the right thing and show what it answers."""

from __future__ import annotations

import json

from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode

ANSWER = {"data": {"run_id": "01RUN", "function_id": "shop-order", "event_id": "01EVENT"}}


def test_invoke_prints_the_run(run: Run, node: FakeNode) -> None:
    node.answer("POST", "/v1/functions/shop-order/invoke", ANSWER)
    result = run("invoke", "shop-order", '{"n": 1}', "--url", node.url)
    assert result.output == "01RUN\n"
    assert node.asked[0].body == {"data": {"n": 1}}
    result = run("invoke", "shop-order", "-", "--json", "--url", node.url, stdin='{"n": 2}')
    assert json.loads(result.output) == ANSWER
    assert node.asked[1].body == {"data": {"n": 2}}


def test_invoke_shows_a_refusal_and_refuses_nonsense_itself(run: Run, node: FakeNode) -> None:
    node.answer(
        "POST", "/v1/functions/x/invoke", {"error": "there is no function 'x'", "code": "function_unknown"}, status=404
    )
    result = run("invoke", "x", "--url", node.url)
    assert result.exit_code == 1
    assert "function_unknown" in result.output
    assert run("invoke", "x", "[1]", "--url", node.url).exit_code == 2
    assert len(node.asked) == 1


def test_runs_are_cancelled_in_bulk(run: Run, node: FakeNode) -> None:
    node.answer("POST", "/v1/cancellations", {"data": {"id": "01BULK", "function_id": "shop-order"}})
    result = run("cancel", "--function", "shop-order", "--after", "2h", "--if", "event.data.n > 1", "--url", node.url)
    assert "01BULK" in result.output
    assert node.asked[0].body == {"function_id": "shop-order", "started_after": "2h", "if": "event.data.n > 1"}
    node.answer("DELETE", "/v1/runs/01RUN", b"")
    assert run("cancel", "01RUN", "--url", node.url).exit_code == 0


def test_cancel_wants_a_run_or_a_function(run: Run, node: FakeNode) -> None:
    for arguments in ((), ("01RUN", "--function", "f"), ("01RUN", "--after", "1h")):
        assert run("cancel", *arguments, "--url", node.url).exit_code == 2
    assert node.asked == []
