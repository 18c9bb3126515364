"""Mutations over GraphQL. Goal: each of the page's section 6.3 gives the order that it means, or says why not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headrace.admission.plan import StageNumber
from headrace.records.commands import NoteMetadata
from headrace.records.history import Kind
from headrace.records.rows import Start
from tests.console.histories import NOW_MS, History, RunHistory
from tests.console.nodes import Node

CANCEL = "mutation($id: ULID!) { cancelRun(runID: $id) { id status finishedAt function { name } } }"
RERUN = "mutation($id: ULID!, $from: RerunFromStepInput) { rerun(runID: $id, fromStep: $from) }"
INVOKE = "mutation($slug: String!, $data: Map) { invokeFunction(functionSlug: $slug, data: $data) }"
CREATE = "mutation($url: String!) { createApp(input: {url: $url}) { id name url functionCount } }"


@pytest.fixture
def history() -> History:
    return History()


def test_cancel_run(tmp_path: Path, history: History) -> None:
    run = history.run("shop-order", [history.event("order/created", {}, NOW_MS - 60)], NOW_MS - 50)
    node = Node(tmp_path / "a.db", history)
    found = node.data(CANCEL, id=run.run_id)["cancelRun"]
    assert (found["id"], found["status"], found["function"]["name"]) == (run.run_id, "CANCELLED", "order")
    assert node.cancelled == [(run.run_id, "cancelled through the API")]
    # Once more changes nothing, and what is needed of the archive is to be asked for by a query.
    again = node.query("mutation($id: ULID!) { cancelRun(runID: $id) { event { id } } }", id=run.run_id)
    assert "query" in again["errors"][0]["message"]
    assert len(node.cancelled) == 1


def test_cancel_run_that_has_ended_or_never_was(tmp_path: Path, history: History) -> None:
    run = history.run("shop-order", ["e"], NOW_MS - 50).complete(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    (ended,) = node.query(CANCEL, id=run.run_id)["errors"]
    assert ended["extensions"]["code"] == "run_ended"
    (unknown,) = node.query(CANCEL, id="01K00000000000000000000000")["errors"]
    assert unknown["extensions"]["code"] == "not_found"
    assert node.cancelled == []


def test_rerun_starts_a_run_with_the_same_events_behind_what_would_drop_it(tmp_path: Path, history: History) -> None:
    ids = [history.event("order/created", {"n": n}, NOW_MS - 60 + n, id=f"o-{n}") for n in range(2)]
    run = history.run("shop-order", ids, NOW_MS - 50).fail(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    new_id = node.data(RERUN, id=run.run_id)["rerun"]
    (_, note), (_, start) = node.given
    assert isinstance(start, Start)
    assert (start.run_id, start.function_id, start.stage) == (new_id, "shop-order", StageNumber.BATCH)
    assert [(event.id, event.given_id, event.name) for event in start.events] == [
        (ids[0], "o-0", "order/created"),
        (ids[1], "o-1", "order/created"),
    ]
    assert msgspec.json.decode(start.events[1].json)["data"] == {"n": 1}
    assert start.quiet is False
    assert isinstance(note, NoteMetadata)
    # Once the new run is there, it says which one it repeats.
    again = RunHistory(history, new_id, "shop-order", 0)
    again.add(Kind.RunScheduled, NOW_MS + 1, event_ids=ids, phase="executing", started_ms=NOW_MS + 1)
    node.catch_up()
    query = "query($id: String!) { run(runID: $id) { originalRunID trace { metadata { kind } } } }"
    shown = node.data(query, id=new_id)["run"]
    assert shown == {"originalRunID": run.run_id, "trace": {"metadata": []}}
    assert node.ask("GET", f"/v1/runs/{new_id}").json()["data"]["original_run_id"] == run.run_id


def test_rerun_of_a_handler_of_failures_stays_quiet(tmp_path: Path, history: History) -> None:
    event_id = history.event("inngest/function.failed", {}, NOW_MS - 60, internal=True)
    run = history.run("shop-order", [event_id], NOW_MS - 50).fail(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    node.data(RERUN, id=run.run_id)
    _, start = node.given[-1]
    assert isinstance(start, Start)
    assert start.quiet is True


def test_rerun_that_is_not_possible_is_refused(tmp_path: Path, history: History) -> None:
    run = history.run("shop-order", ["01K2ZZZZZZZZZZZZZZZZZZZZZZ"], NOW_MS - 50).fail(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    codes = [
        node.query(RERUN, id=run_id, **more)["errors"][0]["extensions"]["code"]
        for run_id, more in (
            (run.run_id, {}),
            ("01K00000000000000000000000", {}),
            (run.run_id, {"from": {"stepID": "load"}}),
        )
    ]
    assert codes == ["events_gone", "not_found", "rerun_from_step"]
    assert node.given == []


def test_invoke_function(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    assert node.data(INVOKE, slug="shop-order", data={"n": 1})["invokeFunction"] is True
    assert node.data(INVOKE, slug="shop-order")["invokeFunction"] is True
    starts = [start for _, start in node.given]
    data = [msgspec.json.decode(start.events[0].json)["data"] for start in starts if isinstance(start, Start)]
    assert data == [{"n": 1, "_inngest": {"fn_id": "shop-order"}}, {"_inngest": {"fn_id": "shop-order"}}]
    (error,) = node.query(INVOKE, slug="shop-none")["errors"]
    assert error["extensions"]["code"] == "function_unknown"


def test_create_app_and_update_app(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    created = node.data(CREATE, url="localhost:4000/api/inngest")["createApp"]
    assert (created["name"], created["url"]) == ("blog", "http://localhost:4000/api/inngest")
    assert node.synced == ["http://localhost:4000/api/inngest"]
    (error,) = node.query(CREATE, url="http://localhost:4000/down")["errors"]
    assert "does not answer" in error["message"]
    update = "mutation($id: String!, $url: String!) { updateApp(input: {id: $id, url: $url}) { name url } }"
    moved = node.data(update, id=created["id"], url="http://localhost:4001/api/inngest")["updateApp"]
    assert moved == {"name": "blog", "url": "http://localhost:4001/api/inngest"}
    assert node.query(update, id="none", url="http://localhost:1/")["errors"]


def test_delete_app(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    created = node.data(CREATE, url="http://localhost:4000/api/inngest")["createApp"]
    assert node.data("mutation($id: String!) { deleteApp(id: $id) }", id=created["id"])["deleteApp"] == created["id"]
    by_name = "mutation($name: String!) { deleteAppByName(name: $name) }"
    assert node.data(by_name, name="shop")["deleteAppByName"] is True
    assert node.data(by_name, name="shop")["deleteAppByName"] is False
    assert node.removed == ["blog", "shop"]


def test_what_kafka_does_not_take_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    node.up = False
    (error,) = node.query(INVOKE, slug="shop-order")["errors"]
    assert error["extensions"]["code"] == "order_not_written"
