"""Functions that are to be run after a run. Goal: each runs once when the run has ended, however it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from headrace.execution.sdk.answer import Op
from headrace.execution.sdk.names import hash_text
from headrace.records.definitions import Definition, EventTrigger
from headrace.testing.views import RunView
from tests.execution.sdk.cluster import Cluster, definition
from tests.execution.sdk.pretend_app import Body, NoRetry, PretendApp, StepTools

Event = dict[str, Any]
LATER = "inngest/deferred.schedule"


def later(function_id: str) -> Definition:
    expression = f"event.data._inngest.fn_slug == '{function_id}'"
    return msgspec.structs.replace(definition(function_id, LATER), triggers=[EventTrigger(LATER, expression)])


def told(event: Event, step: StepTools) -> Any:
    return {"data": event["data"], "meta": event.get("meta")}


@pytest.fixture
def clusters() -> Iterator[list[Cluster]]:
    made: list[Cluster] = []
    yield made
    for cluster in made:
        cluster.close()


def started(clusters: list[Cluster], body: Body, **more: Any) -> Cluster:
    app = PretendApp({"app-f": body, "app-later": told, "app-other": told})
    definitions = [definition("app-f", "go", **more), later("app-later"), later("app-other")]
    cluster = Cluster(app, definitions, checkpoints=True)
    clusters.append(cluster)
    cluster.start()
    cluster.send("go")
    return cluster


def runs_of(runs: list[RunView], function_id: str) -> list[RunView]:
    return [run for run in runs if run.function_id == function_id]


def test_each_runs_once_with_its_data_when_the_run_has_ended(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.defer("a", "app-later", {"n": 1}, meta={"propagated_sessions": {"org": "acme"}})
        step.run("between", lambda: 1)
        step.defer("b", "app-other", {"n": 2})
        step.sleep("pause", "1s")
        return "done"

    cluster = started(clusters, body)
    runs = cluster.wait_ended(3)
    (parent,), (a,), (b,) = (runs_of(runs, name) for name in ("app-f", "app-later", "app-other"))
    assert parent.output == "done"
    route = a.output["data"].pop("_inngest")
    assert (route["parent_run_id"], route["parent_fn_slug"]) == (parent.id, "app-f")
    assert a.output == {"data": {"n": 1}, "meta": {"sessions": {"org": "acme"}}}
    assert b.output["data"]["n"] == 2
    known = [set(body["defers"]) for body in cluster.app.bodies if body["event"]["name"] == "go"]
    assert known[0] == set()
    assert known[-1] == {hash_text("a"), hash_text("b")}
    assert all(list(body["steps"]) == body["ctx"]["stack"]["stack"] for body in cluster.app.bodies)
    cluster.world.advance(60)
    assert len(cluster.runs()) == 3


@pytest.mark.parametrize("retries", [0, 1])
def test_they_run_though_the_run_fails_which_is_told_as_it_is(clusters: list[Cluster], retries: int) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.defer("a", "app-later", {})
        raise ValueError("oh no")

    runs = started(clusters, body, retries=retries).wait_ended(2)
    (parent,) = runs_of(runs, "app-f")
    assert parent.status == "Failed"
    assert parent.error is not None
    assert (parent.error.name, parent.error.message) == ("ValueError", "oh no")
    assert len(runs_of(runs, "app-later")) == 1
    assert len(runs) == 2


def test_what_is_taken_back_does_not_run(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.defer("a", "app-later", {})
        step.defer("b", "app-other", {})
        step.run("between", lambda: 1)
        step.drop("a")
        step.drop("never there")
        raise NoRetry("over")

    cluster = started(clusters, body)
    runs = cluster.wait_ended(2)
    assert sorted(run.function_id for run in runs) == ["app-f", "app-other"]
    cluster.world.advance(60)
    assert len(cluster.runs()) == 2


def test_too_many_and_what_cannot_be_read_are_left_out_and_fail_nothing(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        for n in range(25):
            step.defer(str(n), "app-later", {"n": n} if n != 3 else [n])
        step.run("between", lambda: 1)
        return len(step.deferred)

    cluster = started(clusters, body)
    runs = cluster.wait_ended(20)
    assert runs_of(runs, "app-f")[0].output == 25
    assert sorted(run.output["data"]["n"] for run in runs_of(runs, "app-later")) == [*range(3), *range(4, 20)]


def test_one_that_is_told_in_the_middle_of_a_call_is_known_to_the_next_owner(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.sleep("pause", "10s")
        return "done"

    app = PretendApp({"app-f": body, "app-later": told}, takes_s=1.0)
    cluster = Cluster(app, [definition("app-f", "go"), later("app-later")], checkpoints=True)
    clusters.append(cluster)
    cluster.start()
    cluster.send("go")
    cluster.world.advance(0.5)
    noted: list[bool] = []

    async def report() -> None:
        context = app.bodies[0]["ctx"]
        opts = msgspec.Raw(msgspec.json.encode({"fn_slug": "app-later", "input": {"n": 1}}))
        op = Op("DeferAdd", hash_text("a"), opts=opts)
        noted.append(await cluster.sdk["a"].checkpoint(context["run_id"], context["request_id"], [op]))

    cluster.world.loop.create_task(report())
    cluster.world.advance(0.2)
    assert noted == [True]
    cluster.world.members["a"].crash()
    cluster.start("b")
    runs = cluster.wait_ended(2)
    assert runs_of(runs, "app-later")[0].output["data"]["n"] == 1
    assert app.bodies[1]["defers"] == {hash_text("a"): {"abortable": True}}
