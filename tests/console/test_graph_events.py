"""Events and lists over GraphQL. Goal: as `test_graph_runs.py`, for the other rows of the page's section 6.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.records.definitions import Batch, CancelOn, Concurrency, CronTrigger, Definition, EventTrigger
from headrace.records.sdk_apps import SdkApp
from tests.console.histories import NOW_MS, History
from tests.console.nodes import APP_URL, Node, as_json

ISO_FROM = "2025-11-20T08:00:00Z"


@pytest.fixture
def history() -> History:
    return History()


def test_event_function_runs(tmp_path: Path, history: History) -> None:
    event_id = history.event("order/created", {"n": 1}, NOW_MS - 60, id="o-1")
    runs = [history.run(function, [event_id], NOW_MS - 50).complete(NOW_MS) for function in ("shop-order", "shop-mail")]
    alone = history.event("order/other", {}, NOW_MS - 9)
    node = Node(tmp_path / "a.db", history)
    query = """
    query GetRunFromEventID($event_id: ID!) {
      event(query: {eventId: $event_id}) { id name status totalRuns pendingRuns functionRuns { id status } }
    }
    """
    found = node.data(query, event_id=event_id)["event"]
    assert found["functionRuns"] == [{"id": run.run_id, "status": "COMPLETED"} for run in runs]
    assert (found["status"], found["totalRuns"], found["pendingRuns"]) == ("COMPLETED", 2, 0)
    other = node.data(query, event_id=alone)["event"]
    assert (other["functionRuns"], other["status"]) == ([], "NO_FUNCTIONS")


@pytest.mark.parametrize(("given", "key"), [("o-1", "o-1"), (None, None)])
def test_event_v2_raw(tmp_path: Path, history: History, given: str | None, key: str | None) -> None:
    event_id = history.event("order/created", {"n": 1}, NOW_MS - 60, id=given)
    node = Node(tmp_path / "a.db", history)
    query = "query Event($id: ULID!) { eventV2(id: $id) { idempotencyKey name raw runs { id } } }"
    found = node.data(query, id=event_id)["eventV2"]
    assert (found["idempotencyKey"], found["name"], found["runs"]) == (key or event_id, "order/created", [])
    assert as_json(found["raw"]) == {
        "data": {"n": 1},
        "id": given or event_id,
        "name": "order/created",
        "ts": NOW_MS - 60,
        "v": None,
    }


def test_events(tmp_path: Path, history: History) -> None:
    ids = [history.event(f"order/{n}", {"n": n}, NOW_MS - 60 + n) for n in range(60)]
    history.event("inngest/function.failed", {}, NOW_MS, internal=True)
    node = Node(tmp_path / "a.db", history)
    query = "query Events($query: EventsQuery!) { events(query: $query) { id name payload } }"
    found = node.data(query, query={})["events"]
    assert [event["id"] for event in found] == ids[::-1][:51]
    assert found[0] == {"id": ids[-1], "name": "order/59", "payload": '{"n":59}'}


def test_stream(tmp_path: Path, history: History) -> None:
    first = history.event("order/created", {}, NOW_MS - 60)
    second = history.event("order/other", {}, NOW_MS - 50)
    internal = history.event("inngest/function.failed", {}, NOW_MS - 40, internal=True)
    run = history.run("shop-order", [first], NOW_MS - 50)
    gone = history.run("shop-gone", [first], NOW_MS - 50)
    node = Node(tmp_path / "a.db", history)
    query = """
    query GetEventStream {
      stream(query: {limit: 999, includeInternalEvents: false}) { id trigger type runs { id function { name } } }
    }
    """
    found = node.data(query)["stream"]
    assert [(item["id"], item["trigger"]) for item in found] == [(second, "order/other"), (first, "order/created")]
    runs = {one["id"]: one["function"]["name"] for one in found[1]["runs"]}
    assert runs == {run.run_id: "order", gone.run_id: "shop-gone"}
    everything = node.data("{ stream(query: {limit: 9, includeInternalEvents: true}) { id } }")["stream"]
    assert everything[0]["id"] == internal
    before = node.data("query($id: ID!) { stream(query: {before: $id}) { id } }", id=second)["stream"]
    assert [item["id"] for item in before] == [first]
    after = node.data("query($id: ID!) { stream(query: {after: $id}) { id } }", id=first)["stream"]
    assert [item["id"] for item in after] == [second]


RUNS = """
query GetRuns($first: Int!, $after: String, $filter: RunsFilterV2!, $direction: RunsOrderByDirection!) {
  runs(first: $first, after: $after, orderBy: [{field: QUEUED_AT, direction: $direction}], filter: $filter) {
    edges { node { id status eventName isBatch queuedAt app { name externalID } function { name slug } } cursor }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}
"""


@pytest.mark.parametrize("direction", ["DESC", "ASC"])
def test_runs_list_can_be_walked(tmp_path: Path, history: History, direction: str) -> None:
    event_id = history.event("order/created", {}, NOW_MS - 900)
    runs = [history.run("shop-order", [event_id], NOW_MS - 800 + n) for n in range(7)]
    node = Node(tmp_path / "a.db", history)
    seen: list[str] = []
    after = None
    while True:
        page = node.data(RUNS, first=3, after=after, filter={"from": ISO_FROM}, direction=direction)["runs"]
        assert page["totalCount"] == 7
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    expected = [run.run_id for run in runs]
    assert seen == (expected if direction == "ASC" else expected[::-1])
    node_shown = page["edges"][0]["node"]
    assert (node_shown["eventName"], node_shown["isBatch"]) == ("order/created", False)
    assert node_shown["app"] == {"name": "shop", "externalID": "shop"}
    assert node_shown["function"] == {"name": "order", "slug": "shop-order"}


def test_runs_list_filters(tmp_path: Path, history: History) -> None:
    one = history.run("shop-order", ["e"], NOW_MS - 800).complete(NOW_MS)
    two = history.run("shop-mail", ["e"], NOW_MS - 700).fail(NOW_MS)
    three = history.run("blog-post", ["e"], NOW_MS - 600, phase="queued", started_ms=0)
    old = history.run("shop-order", ["e"], NOW_MS - 3 * 86_400_000)
    node = Node(tmp_path / "a.db", history)
    functions = {f["slug"]: f for f in node.data("{ functions { id slug appID } }")["functions"]}

    def ids(**filter: object) -> list[str]:
        given = {"from": ISO_FROM, **filter}
        page = node.data(RUNS, first=9, filter=given, direction="DESC")["runs"]
        return [edge["node"]["id"] for edge in page["edges"]]

    assert ids() == [three.run_id, two.run_id, one.run_id]
    assert ids(**{"from": "2025-11-01T00:00:00Z"})[-1] == old.run_id
    assert ids(until="2025-11-21T07:59:59.250Z") == [one.run_id]
    assert ids(status=["FAILED", "QUEUED"]) == [three.run_id, two.run_id]
    assert ids(functionIDs=[functions["shop-mail"]["id"]]) == [two.run_id]
    assert ids(appIDs=[functions["shop-mail"]["appID"]]) == [two.run_id, one.run_id]
    refused = node.query(RUNS, first=9, filter={"from": ISO_FROM, "query": "event.data.n > 1"}, direction="DESC")
    assert "query" in refused["errors"][0]["message"]


def test_events_v2_list(tmp_path: Path, history: History) -> None:
    ids = [history.event(f"order/{n % 2}", {"n": n}, NOW_MS - 900 + n) for n in range(8)]
    history.event("inngest/function.failed", {}, NOW_MS - 1, internal=True)
    node = Node(tmp_path / "a.db", history)
    query = """
    query($first: Int!, $after: String, $filter: EventsFilter!) {
      eventsV2(first: $first, after: $after, filter: $filter) {
        edges { node { id name receivedAt occurredAt raw } cursor } pageInfo { hasNextPage endCursor } totalCount
      }
    }
    """
    seen: list[str] = []
    after = None
    while True:
        page = node.data(query, first=3, after=after, filter={"from": ISO_FROM})["eventsV2"]
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ids[::-1]
    for names in (["order/1"], ["order/1", "none"]):
        named = node.data(query, first=99, filter={"from": ISO_FROM, "eventNames": names})["eventsV2"]
        assert {edge["node"]["name"] for edge in named["edges"]} == {"order/1"}
        assert len(named["edges"]) == 4
    internal = node.data(query, first=1, filter={"from": ISO_FROM, "includeInternalEvents": True})["eventsV2"]
    assert internal["edges"][0]["node"]["name"] == "inngest/function.failed"


def test_apps_functions_and_function_by_slug(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    node.know(SdkApp("", "http://localhost:4000/api/inngest", error="unreachable"))
    node.know(SdkApp("old", "http://localhost:5000/", removed=True))
    node.declare(
        Definition(
            "blog-post",
            "blog",
            "Post",
            [EventTrigger("post/*", "event.data.n > 1")],
            crons=[CronTrigger("0 9 * * 1", "Europe/Paris")],
            concurrency=[Concurrency(5, "event.data.user", "account"), Concurrency(3)],
            batch=Batch(10, 5_000),
            cancel_on=[CancelOn("post/gone", "data.id", "", 60_000)],
        )
    )
    node.declare(Definition("shop-order-failure", "shop", "order (failure)", []))
    data = node.data(
        "{ apps { id name externalID url sdkLanguage sdkVersion framework error connected functionCount method"
        " functions { slug } } }"
    )
    apps = {app["name"]: app for app in data["apps"]}
    assert set(apps) == {"", "blog", "shop"}
    shop = apps["shop"]
    assert (shop["url"], shop["sdkLanguage"], shop["sdkVersion"], shop["framework"]) == (
        *(APP_URL, "js", "4.18.1", "express"),
    )
    assert (shop["connected"], shop["error"], shop["method"], shop["functionCount"]) == (True, None, "SERVE", 3)
    assert (apps[""]["connected"], apps[""]["error"], apps[""]["functionCount"]) == (False, "unreachable", 0)
    assert apps["blog"]["method"] == "API"
    assert node.data("query($id: UUID!) { app(id: $id) { name } }", id=shop["id"])["app"] == {"name": "shop"}
    serving = node.data("{ apps(filter: {method: API}) { name } }")["apps"]
    assert serving == [{"name": "blog"}]

    query = """
    query($slug: String!) {
      functionBySlug(query: {functionSlug: $slug}) {
        name slug url concurrency config appID app { name } failureHandler { slug }
        triggers { type value condition }
        configuration {
          retries { value isDefault } eventsBatch { maxSize timeout key }
          concurrency { scope limit { value } key } cancellations { event timeout condition }
          rateLimit { limit } debounce { period } throttle { limit } singleton { mode } priority
        }
      }
    }
    """
    post = node.data(query, slug="blog-post")["functionBySlug"]
    assert post["triggers"] == [
        {"type": "EVENT", "value": "post/*", "condition": "event.data.n > 1"},
        {"type": "CRON", "value": "TZ=Europe/Paris 0 9 * * 1", "condition": None},
    ]
    configured = post["configuration"]
    assert configured["eventsBatch"] == {"maxSize": 10, "timeout": "5s", "key": None}
    assert configured["concurrency"] == [
        {"scope": "ACCOUNT", "limit": {"value": 5}, "key": "event.data.user"},
        {"scope": "FUNCTION", "limit": {"value": 3}, "key": None},
    ]
    assert configured["cancellations"] == [
        {"event": "post/gone", "timeout": "1m", "condition": "event.data.id == async.data.id"}
    ]
    assert (post["concurrency"], post["failureHandler"], configured["throttle"]) == (3, None, None)
    order = node.data(query, slug="shop-order")["functionBySlug"]
    assert (order["url"], order["failureHandler"]) == (APP_URL, {"slug": "shop-order-failure"})
    assert node.query(query, slug="shop-none")["errors"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 400),
        (b"[]", 400),
        ({"query": "{ run("}, 422),
        ({"query": "{ nothing }"}, 422),
        ({"query": "{ apps { nothing } }"}, 422),
        ({"query": "query A { apps { id } } query B { apps { id } }"}, 422),
        ({"query": "subscription { apps }"}, 422),
        ({"query": "{ apps {" + " functions { app {" * 12 + "name" + "}}" * 12 + "} }"}, 422),
        ({"query": "{ " + "a: functions { id } " * 4_000 + "}"}, 422),
        ({"query": "query($id: String!) { run(runID: $id) { id } }", "variables": {}}, 200),
    ],
)
def test_a_document_that_is_no_query_of_this_schema_is_refused_with_errors(
    tmp_path: Path, body: object, status: int
) -> None:
    answer = Node(tmp_path / "a.db").ask("POST", "/v0/gql", body)
    assert answer.status == status
    told = answer.json()
    assert told["error"] if status == 400 else told["errors"][0]["message"]
    assert told.get("data") is None


def test_one_of_several_operations_is_asked_for_by_its_name(tmp_path: Path) -> None:
    body = {"query": "query A { apps { name } } query B { functions { slug } }", "operationName": "B"}
    answer = Node(tmp_path / "a.db").ask("POST", "/v0/gql", body).json()
    assert list(answer["data"]) == ["functions"]


def test_the_schema_can_be_asked_for(tmp_path: Path) -> None:
    from graphql import get_introspection_query

    found = Node(tmp_path / "a.db").data(get_introspection_query())
    names = {kind["name"] for kind in found["__schema"]["types"]}
    assert {"FunctionRunV2", "RunTraceSpan", "RunTraceSpanOutput", "RunTraceTrigger", "EventV2"} <= names
