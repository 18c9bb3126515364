"""Section 6.1: what people's harnesses read. Goal: status and output of a run are seen at the same instant."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from tests.cli.served import Served
from tests.sdk.programs import ask, open_url
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import done, scripted

UNKNOWN = "01JAAAAAAAAAAAAAAAAAAAAAAA"


def refused(url: str, method: str = "GET", body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Ask for something that is refused; status and decoded answer."""
    with pytest.raises(HTTPError) as caught:
        open_url(Request(url, body, {"content-type": "application/json"}, method=method), timeout=10)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())


@scripted(done({"out": "put"}))
def test_6_1_a_run_has_the_fields_of_the_protocol(played: Played) -> None:
    run_id = played.end()["run_id"]
    answer = ask(f"{played.url}/v1/runs/{run_id}")
    run = answer["data"]
    assert {"run_id", "run_started_at", "function_id", "event_id", "status", "ended_at", "output"} <= set(run)
    assert (run["status"], run["output"], run["event_id"]) == ("Completed", {"out": "put"}, played.ids[0])
    assert "fetched_at" in answer["metadata"]


@scripted(lambda call: done({"n": call.body["event"]["data"]["n"]}), each=True, events=[{"data": {"n": 0}}])
def test_6_1_status_and_output_become_visible_together(played: Played) -> None:
    played.output()
    for number in range(1, 20):
        event_id = played.send({"name": f"wire/{played.name}", "data": {"n": number}})[0]
        run = played.end_of(event_id)  # the first answer that has an end
        assert run["output"] == {"n": number}


def test_6_1_an_unknown_run_is_404(engine: Served) -> None:
    for method in ("GET", "DELETE"):
        status, answer = refused(f"{engine.url}/v1/runs/{UNKNOWN}", method)
        assert (status, answer["status"]) == (404, 404)
        assert answer["error"]


def test_4_4_a_signal_that_nobody_waits_for_is_404(engine: Served) -> None:
    status, answer = refused(f"{engine.url}/v1/signals", "POST", b'{"signal": "nobody", "data": 1}')
    assert (status, answer["status"]) == (404, 404)


def test_3_1_the_state_of_a_run_that_is_gone(engine: Served) -> None:
    for what in ("actions", "batch"):
        status, answer = refused(f"{engine.url}/v0/runs/{UNKNOWN}/{what}")
        assert (status, answer["status"]) == (410, 410)
        status, answer = refused(f"{engine.url}/v0/runs/nonsense/{what}")
        assert (status, answer["status"]) == (400, 400)


@scripted(done())
def test_6_1_the_functions_of_an_app_are_a_bare_list(played: Played) -> None:
    played.output()
    listed = ask(f"{played.url}/v1/apps/wire/functions")
    assert isinstance(listed, list)
    assert played.function in json.dumps(listed)


@scripted(done("result"))
def test_6_3_a_run_over_graphql(played: Played) -> None:
    run_id = played.end()["run_id"]
    query = "query R($id: String!) { run(runID: $id) { status output } runTrigger(runID: $id) { payloads } }"
    answer = ask(f"{played.url}/v0/gql", {"query": query, "variables": {"id": run_id}})
    assert (answer["data"]["run"]["status"], json.loads(answer["data"]["run"]["output"])) == ("COMPLETED", "result")
    (payload,) = answer["data"]["runTrigger"]["payloads"]
    assert json.loads(payload)["name"] == f"wire/{played.name}"


def test_6_3_an_unknown_run_over_graphql_is_an_error(engine: Served) -> None:
    query = "query R($id: String!) { run(runID: $id) { status } }"
    answer = ask(f"{engine.url}/v0/gql", {"query": query, "variables": {"id": UNKNOWN}})
    assert answer["errors"][0]["message"]
