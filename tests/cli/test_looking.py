"""The commands that ask a running node. Goal: they ask for the right thing and show what they are told, whole."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_node import FakeNode

RUN = {
    "run_id": "01JD0000000000000000000001",
    "function_id": "orders-process-order",
    "status": "Running",
    "phase": "sleeping",
    "event_ids": ["01JD0000000000000000000000"],
    "run_started_at": "2026-11-20T10:00:00.250Z",
    "ended_at": None,
    "output": None,
    "error": None,
}
FAILED = {
    **RUN,
    "run_id": "01JD0000000000000000000002",
    "status": "Failed",
    "phase": None,
    "ended_at": "2026-11-20T10:01:05.250Z",
    "error": {"name": "ValueError", "message": "[red]no[/red] card", "stack": "Traceback: app.py line 3"},
    "code": "retries_spent",
    "explanation": "4 attempts failed",
    "action": "look at the card",
}
STEP = {
    "id": "charge",
    "name": "charge",
    "op": "run",
    "status": "Completed",
    "attempts": 2,
    "output": {"paid": True},
    "error": None,
    "started_at": "2026-11-20T10:00:00.300Z",
    "ended_at": "2026-11-20T10:00:00.345Z",
}
EVENT = {
    "internal_id": "01JD0000000000000000000000",
    "id": "order-7",
    "name": "order/created",
    "data": {"orderId": "7"},
    "received_at": "2026-11-20T10:00:00.000Z",
    "ts": 1795168800000,
}


def test_runs_are_listed_whole(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/runs", {"data": [FAILED, RUN], "cursor": "abc"})
    result = run("runs", "--url", node.url)
    assert result.exit_code == 0, result.output
    head, failed, running, *rest = result.output.splitlines()
    assert head.split() == ["RUN", "FUNCTION", "STATUS", "PHASE", "STARTED", "TOOK", "RESULT"]
    # What a run says is never taken for markup.
    assert failed.startswith(FAILED["run_id"])
    assert failed.endswith("1 min 05 s  ValueError: [red]no[/red] card")
    assert running.split()[:4] == [RUN["run_id"], RUN["function_id"], "Running", "sleeping"]
    assert rest == ["", "There are more: --cursor abc"]


def test_filters_travel_as_the_api_names_them(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/runs", {"data": [RUN], "cursor": None})
    arguments = ["--function", "a-b", "--status", "failed", "--event", "E", "--since", "1h", "--limit", "3"]
    result = run("runs", *arguments, "--cursor", "c", "--url", node.url)
    assert result.exit_code == 0, result.output
    expected = {"function": "a-b", "status": "Failed", "event_id": "E", "since": "1h", "limit": "3", "cursor": "c"}
    assert node.asked[0].query == expected


FUNCTIONS = [
    {"id": "orders-process-order", "app": "orders", "triggers": [{"event": "order/created", "expression": None}]},
    {"id": "orders-refund", "app": "orders", "triggers": []},
    {"id": "shop-refund", "app": "shop", "triggers": []},
    {"id": "gone-long-ago", "app": None, "triggers": []},
]


@pytest.fixture
def empty(node: FakeNode) -> FakeNode:
    """Give a node with functions, without a run or an event."""
    node.answer("GET", "/v1/runs", {"data": [], "cursor": None})
    node.answer("GET", "/v1/events", {"data": [], "cursor": None})
    node.answer("GET", "/v1/functions", {"data": FUNCTIONS, "cursor": None})
    return node


def test_without_filters_an_empty_list_says_how_to_begin(run: Run, empty: FakeNode) -> None:
    assert run("runs", "--url", empty.url).output == "No runs. Send an event: headrace send NAME JSON\n"
    assert run("events", "--url", empty.url).output == "No events. Send one: headrace send NAME JSON\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--function", "orders-process-order"], "No runs match --function orders-process-order."),
        (["--function", "orders-proces-ordr"], "There is no such function. Did you mean 'orders-process-order'?"),
        (["--function", "proces-ordr"], "There is no such function. Did you mean 'orders-process-order'?"),
        (["--function", "refnd"], "There is no such function. Did you mean 'shop-refund'?"),
        (["--function", "refund"], "Several functions have that id of their own: orders-refund, shop-refund"),
        (["--function", "xyzzy"], "There is no such function."),
        (["--status", "failed", "--since", "1h"], "No runs match --status Failed --since 1h."),
        (["--event", "nope"], "There is no event 'nope': it never was"),
        (["--event", "mine"], "No runs match --event mine."),
    ],
)
def test_filters_that_nothing_fits_are_named_with_what_was_meant(
    run: Run, empty: FakeNode, arguments: list[str], said: str
) -> None:
    gone = {"error": "there is no event 'nope'", "status": 404, "code": "not_found", "explanation": "it never was"}
    empty.answer("GET", "/v1/events/nope", gone, status=404)
    empty.answer("GET", "/v1/events/mine", {"data": EVENT})
    result = run("runs", *arguments, "--url", empty.url)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("No runs match --")
    assert result.output.rstrip("\n").endswith(said)


def test_a_name_of_events_that_nothing_fits_is_named_with_what_was_meant(run: Run, empty: FakeNode) -> None:
    result = run("events", "--name", "order/craeted", "--url", empty.url)
    assert result.output == "No events match --name order/craeted. Did you mean 'order/created'?\n"
    assert run("events", "--since", "1h", "--url", empty.url).output == "No events match --since 1h.\n"


def test_a_functions_own_id_is_enough_where_only_one_has_it(run: Run, empty: FakeNode) -> None:
    asked_for_json = run("runs", "--function", "process-order", "--json", "--url", empty.url)
    assert json.loads(asked_for_json.stdout)["data"] == []
    asked = [asked.query["function"] for asked in empty.asked if asked.path == "/v1/runs"]
    assert asked == ["process-order", "orders-process-order"]
    told = run("runs", "--function", "process-order", "--status", "Failed", "--url", empty.url)
    assert told.output == "No runs match --function orders-process-order --status Failed.\n"


def test_an_address_that_is_no_nodes_is_told_what_to_look_at(run: Run, node: FakeNode) -> None:
    node.answer("POST", "/x/e/cli", b"nothing here", status=404)
    result = run("send", "order/created", "--url", f"{node.url}/x")
    assert result.exit_code == 1
    assert f"--url is the address of a node, and nothing behind it: {node.url}/x/e/cli" in result.output


def test_other_events_of_the_same_id_are_named(run: Run, node: FakeNode) -> None:
    node.answer(
        "GET", "/v1/events/order-7", {"data": {**EVENT, "same_id": [{"internal_id": "01A"}, {"internal_id": "01B"}]}}
    )
    node.answer("GET", f"/v1/events/{EVENT['internal_id']}/runs", {"data": [RUN], "cursor": None})
    assert "same id   01A, 01B" in run("event", "order-7", "--url", node.url).output


@pytest.mark.parametrize("since", ["yesterday", "-5m", "5 parsecs", "2026-13-01", ""])
@pytest.mark.parametrize("command", ["runs", "events"])
def test_a_moment_that_is_none_is_refused_in_the_words_of_the_command_line(
    run: Run, node: FakeNode, command: str, since: str
) -> None:
    result = run(command, "--since", since, "--url", node.url)
    assert result.exit_code == 2
    assert f"{since!r} is no moment. Write how long ago (15m, 2h, 7d)" in result.output
    assert "since=" not in result.output
    assert node.asked == []


@pytest.mark.parametrize("since", ["15m", "7d", "2026-01-31", "2026-01-31T12:00", "2026-01-31T12:00:00+01:00", "17"])
def test_a_moment_travels_as_it_was_written(run: Run, node: FakeNode, since: str) -> None:
    node.answer("GET", "/v1/runs", {"data": [], "cursor": None})
    assert run("runs", "--since", since, "--url", node.url).exit_code == 0
    assert node.asked[0].query["since"] == since


@pytest.mark.parametrize("limit", ["x", "0", "1001", "1.5", "9" * 5000])
def test_a_limit_that_is_none_is_told_what_it_may_be(run: Run, node: FakeNode, limit: str) -> None:
    result = run("runs", "--limit", limit, "--url", node.url)
    assert result.exit_code == 2
    assert "is no whole number from 1 to 1000." in result.output
    assert node.asked == []


def test_json_is_the_answer_as_it_is(run: Run, node: FakeNode) -> None:
    answer = {"data": [RUN], "cursor": None, "metadata": {"fetched_at": "2026-11-20T10:00:00Z"}}
    node.answer("GET", "/v1/runs", answer)
    assert json.loads(run("runs", "--json", "--url", node.url).stdout) == answer


def test_a_run_is_shown_with_its_steps(run: Run, node: FakeNode) -> None:
    node.answer("GET", f"/v1/runs/{FAILED['run_id']}", {"data": {**FAILED, "steps": [STEP]}})
    result = run("run", FAILED["run_id"], "--url", node.url)
    assert result.exit_code == 0, result.output
    for part in ("ValueError: [red]no[/red] card", "retries_spent", "4 attempts failed", "look at the card"):
        assert part in result.output
    assert "Traceback: app.py line 3" in result.output
    *_, step = result.output.splitlines()
    assert step.split()[:4] == ["charge", "run", "Completed", "2"]
    assert step.endswith('45 ms  {"paid": true}')


def test_events_and_one_event_with_its_runs(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/events", {"data": [EVENT], "cursor": None})
    node.answer("GET", "/v1/events/order-7", {"data": EVENT})
    node.answer("GET", f"/v1/events/{EVENT['internal_id']}/runs", {"data": [RUN], "cursor": None})
    listed = run("events", "--name", "order/created", "--url", node.url)
    assert node.asked[0].query == {"name": "order/created", "limit": "50"}
    assert listed.output.splitlines()[1].startswith(f"{EVENT['internal_id']}  order/created")
    assert '{"orderId": "7"}' in listed.output
    shown = run("event", "order-7", "--url", node.url)
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[-1].startswith(RUN["run_id"])
    as_json = json.loads(run("event", "order-7", "--json", "--url", node.url).stdout)
    assert as_json["data"] == {**EVENT, "runs": [RUN]}


def test_why_tells_for_each_function_what_became_of_an_event(run: Run, node: FakeNode) -> None:
    reasons = [
        {
            "function_id": "orders-process-order",
            "outcome": "dropped",
            "code": "rate_limited",
            "explanation": "10 have started within 1m",
            "action": "raise the limit",
            "run_id": None,
        },
        {
            "function_id": "orders-send-receipt",
            "outcome": "started",
            "code": "run_started",
            "explanation": "it started a run",
            "action": None,
            "run_id": "01JD0000000000000000000001",
        },
    ]
    node.answer("GET", "/v1/events/order 7/why".replace(" ", "%20"), {"data": reasons, "cursor": None})
    shown = run("why", "order 7", "--url", node.url).output
    assert "dropped" in shown
    assert "10 have started within 1m; raise the limit" in shown
    assert "01JD0000000000000000000001" in shown
    assert json.loads(run("why", "order 7", "--json", "--url", node.url).output)["data"] == reasons


def test_an_event_is_sent_with_everything_that_was_given(run: Run, node: FakeNode) -> None:
    node.answer("POST", "/e/door%2F1", {"ids": ["01X"], "status": 200})
    arguments = ["--id", "order-7", "--ts", "1795168800000", "--key", "ada", "--event-key", "door/1"]
    result = run("send", "order/created", '{"orderId": "7"}', *arguments, "--url", node.url)
    assert (result.exit_code, result.output) == (0, "01X\n")
    (asked,) = node.asked
    assert asked.body == {"name": "order/created", "data": {"orderId": "7"}, "id": "order-7", "ts": 1795168800000}
    assert asked.headers["x-headrace-key"] == "ada"


def test_data_may_come_from_standard_input_or_be_left_out(run: Run, node: FakeNode) -> None:
    node.answer("POST", "/e/first", {"ids": ["01X"], "status": 200})
    run("send", "a", "-", "--url", node.url, stdin='{"n": 1}', HEADRACE_EVENT_KEYS="first,second")
    run("send", "a", "--url", node.url, HEADRACE_EVENT_KEYS="first,second")
    assert [asked.body for asked in node.asked] == [{"name": "a", "data": {"n": 1}}, {"name": "a", "data": {}}]
    assert "x-headrace-key" not in node.asked[0].headers


def test_data_that_is_no_object_is_refused_before_anything_is_sent(run: Run, node: FakeNode) -> None:
    for text, reason in (("{orderId: 7}", "is not JSON"), ("[1]", "is not an object")):
        result = run("send", "order/created", text, "--url", node.url)
        assert result.exit_code == 2
        assert reason in result.output
    assert node.asked == []


def test_cancel(run: Run, node: FakeNode) -> None:
    node.answer("DELETE", "/v1/runs/01R", b"")
    result = run("cancel", "01R", "--url", node.url)
    assert (result.exit_code, result.output) == (0, "01R is told to stop\n")


def test_keys_come_from_the_flag_or_the_environment(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/runs", {"data": [], "cursor": None})
    run("runs", "--url", node.url, HEADRACE_API_KEYS="one,two")
    run("runs", "--url", node.url, "--api-key", "three", HEADRACE_API_KEYS="one,two")
    run("runs", "--url", node.url)
    assert [asked.headers.get("authorization") for asked in node.asked] == ["Bearer one", "Bearer three", None]


def test_what_the_node_refuses_is_told_with_its_reason(run: Run, node: FakeNode) -> None:
    body = {"error": "no run 01R", "status": 404, "code": "run_unknown", "explanation": "gone", "action": "look again"}
    node.answer("GET", "/v1/runs/01R", body, status=404)
    result = run("run", "01R", "--url", node.url)
    assert result.exit_code == 1
    lines = ["[run_unknown] no run 01R", "  why:   gone", "  do:    look again"]
    assert result.stderr.splitlines() == lines
    node.answer("GET", "/v1/runs", b"Authentication failed", status=401)
    refused = run("runs", "--url", node.url)
    assert "[http_401] Authentication failed" in refused.stderr
    assert "--api-key" in refused.stderr


def test_another_server_is_recognised(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/runs", b"<html>hello</html>")
    result = run("runs", "--url", node.url)
    assert result.exit_code == 1
    assert "[not_headrace]" in result.stderr


def test_the_port_of_the_settings_is_asked_where_no_url_is_given(run: Run, node: FakeNode) -> None:
    node.answer("GET", "/v1/runs", {"data": [], "cursor": None})
    port = node.url.rpartition(":")[2]
    assert run("runs", HEADRACE_PORT=port).exit_code == 0
    # A node that listens on every address is asked on this machine.
    assert run("runs", HEADRACE_PORT=port, HEADRACE_HOST="0.0.0.0").exit_code == 0
