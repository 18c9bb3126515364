"""Sections 6.1 and 6.3: what tools around the dev server ask of a real one. Goal: they find what the app has done.

How each field is made stands in `tests/console/test_graph_*.py`; here it is what an app's answers become.
"""

from __future__ import annotations

import json
from typing import Any

from tests.cli.served import Served
from tests.sdk.programs import ask, await_that
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import done, error, failed, op, ops, scripted

TRACE = """
query($id: String!) {
  run(runID: $id) {
    status output
    trace(preview: true) {
      name status outputID stepType
      metadata { scope kind values updatedAt }
      childrenSpans {
        name status outputID stepOp stepType attempts stepID
        metadata { scope kind values }
        childrenSpans { name status outputID }
      }
    }
  }
}
"""
OUTPUT = "query($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { name message stack cause } } }"


def asked(played: Played, query: str, **variables: Any) -> dict[str, Any]:
    answer: dict[str, Any] = ask(f"{played.url}/v0/gql", {"query": query, "variables": variables})
    return answer


def graph(played: Played, query: str, **variables: Any) -> dict[str, Any]:
    answer = asked(played, query, **variables)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]
    return found


def trace(played: Played, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = graph(played, TRACE, id=run_id)["run"]["trace"]
    return found


def output(played: Played, output_id: str) -> dict[str, Any]:
    found: dict[str, Any] = graph(played, OUTPUT, id=output_id)["runTraceSpanOutputByID"]
    return found


@scripted(
    ops(op("StepRun", "load", data={"n": 1})),
    ops(op("StepError", "odd / Ünïcode", error=error("first"))),
    ops(op("StepFailed", "odd / Ünïcode", error=error("second", cause={"name": "Error", "message": "deep"}))),
    ops(op("Sleep", "nap", name="100ms")),
    ops(op("StepRun", "load", 1)),
    done("over"),
)
def test_6_3_trace_has_a_child_for_each_step(played: Played) -> None:
    root = trace(played, played.end()["run_id"])
    assert (root["name"], root["status"]) == ("Run", "COMPLETED")
    assert json.loads(output(played, root["outputID"])["data"]) == "over"
    *steps, last = root["childrenSpans"]
    assert [(step["name"], step["status"], step["stepOp"], step["attempts"]) for step in steps] == [
        ("load", "COMPLETED", "RUN", 0),
        ("odd / Ünïcode", "FAILED", "RUN", 1),
        ("nap", "COMPLETED", "SLEEP", 0),
        ("load", "COMPLETED", "RUN", 0),
    ]
    assert [len(step["childrenSpans"]) for step in steps] == [0, 2, 0, 0]
    assert (last["stepType"], last["status"]) == ("FINALIZATION", "COMPLETED")
    assert [json.loads(output(played, steps[n]["outputID"])["data"]) for n in (0, 3)] == [{"n": 1}, None]
    shown = output(played, steps[1]["outputID"])
    assert shown["data"] is None
    assert (shown["error"]["name"], shown["error"]["message"]) == ("Error", "second")
    assert shown["error"]["cause"] == {"name": "Error", "message": "deep"}


@scripted(done({"text": "é" * 500_000}))
def test_6_3_output_of_a_run_is_whole_however_long_it_is(played: Played) -> None:
    run_id = played.end()["run_id"]
    run = graph(played, TRACE, id=run_id)["run"]
    assert json.loads(run["output"]) == {"text": "é" * 500_000}
    assert json.loads(output(played, run["trace"]["outputID"])["data"]) == {"text": "é" * 500_000}
    assert ask(f"{played.url}/v1/runs/{run_id}")["data"]["output"] == {"text": "é" * 500_000}


@scripted(failed("no", name="CardError"), retries=0)
def test_6_3_output_of_a_failed_run_is_its_error(played: Played) -> None:
    run = graph(played, TRACE, id=played.end()["run_id"])["run"]
    expected = {"name": "CardError", "message": "no", "stack": "CardError: no\n    at fake"}
    assert (run["status"], json.loads(run["output"])) == ("FAILED", expected)
    assert output(played, run["trace"]["outputID"])["error"] == {**expected, "cause": None}


@scripted(done(), events=[{"id": "graph-event", "data": {"n": 1}}])
def test_6_3_event_and_stream_name_the_runs_of_an_event(played: Played) -> None:
    run_id, event_id = played.end()["run_id"], played.ids[0]
    query = """
    query($id: ID!, $ulid: ULID!) {
      event(query: {eventId: $id}) { functionRuns { id } }
      eventV2(id: $ulid) { name idempotencyKey raw }
      stream(query: {limit: 999, includeInternalEvents: false}) { id trigger runs { id function { name } } }
    }
    """
    # Topics are read side by side: the event may be seen a moment after its run, and is an error until then.
    found = await_that(lambda: asked(played, query, id=event_id, ulid=event_id).get("data"), "the event")
    assert found["event"]["functionRuns"] == [{"id": run_id}]
    assert (found["eventV2"]["name"], found["eventV2"]["idempotencyKey"]) == (f"wire/{played.name}", "graph-event")
    assert json.loads(found["eventV2"]["raw"])["data"] == {"n": 1}
    (item,) = (one for one in found["stream"] if one["id"] == event_id)
    assert [run["id"] for run in item["runs"]] == [run_id]


@scripted(done({"n": 1}), done({"n": 2}))
def test_6_3_rerun_starts_a_run_with_the_same_event(played: Played) -> None:
    first = played.end()
    again = graph(played, "mutation($id: ULID!) { rerun(runID: $id) }", id=first["run_id"])["rerun"]
    assert again != first["run_id"]
    second = await_that(lambda: _ended(played, again), "the end of the rerun")
    assert (second["status"], second["output"], second["original_run_id"]) == (
        *("Completed", {"n": 2}, first["run_id"]),
    )
    assert played.calls[0].body["event"] == played.calls[1].body["event"]


@scripted(done("invoked"), done("invoked"))
def test_6_3_invoke_function_shows_the_data_it_was_given(played: Played) -> None:
    played.output()
    mutation = "mutation($slug: String!, $data: Map) { invokeFunction(functionSlug: $slug, data: $data) }"
    assert graph(played, mutation, slug=played.function, data={"x": 1})["invokeFunction"] is True
    played.await_calls(2)
    run_id = played.calls[1].body["ctx"]["run_id"]
    await_that(lambda: _ended(played, run_id), "the end of the invoked run")
    (payload,) = graph(played, "query($id: String!) { runTrigger(runID: $id) { payloads } }", id=run_id)["runTrigger"][
        "payloads"
    ]
    assert json.loads(payload)["name"] == "inngest/function.invoked"
    assert json.loads(payload)["data"]["x"] == 1


@scripted(ops(op("Sleep", "nap", name="1h")))
def test_6_3_cancel_run_and_6_1_jobs_of_one_that_sleeps(played: Played) -> None:
    run_id = await_that(lambda: _run_of(played), "the run")
    (job,) = await_that(lambda: ask(f"{played.url}/v1/runs/{run_id}/jobs")["data"], "its job")
    await_that(lambda: ask(f"{played.url}/v1/runs/{run_id}/jobs")["data"][0]["kind"] == "sleep", "its sleep")
    assert {"at", "position", "kind", "attempt"} <= set(job)
    cancelled = graph(played, "mutation($id: ULID!) { cancelRun(runID: $id) { id status } }", id=run_id)["cancelRun"]
    assert cancelled == {"id": run_id, "status": "CANCELLED"}
    assert ask(f"{played.url}/v1/runs/{run_id}/jobs")["data"] == []


@scripted(ops(op("StepRun", "load", data=1)), done())
def test_6_1_metadata_and_scores_can_be_seen_at_once(played: Played) -> None:
    run_id = played.end()["run_id"]
    where = f"{played.url}/v1/runs/{run_id}/metadata"
    score = [{"kind": "inngest.score", "op": "merge", "values": {"good": {"value": True}}}]
    ask(where, {"target": {"run_id": run_id}, "metadata": score})
    ask(where, {"target": {"run_id": run_id, "step_id": "load"}, "metadata": score})
    root = trace(played, run_id)
    assert [(one["scope"], one["kind"], one["values"]) for one in root["metadata"]] == [
        ("run", "inngest.score", {"good": {"value": True}})
    ]
    assert root["childrenSpans"][0]["metadata"] == [
        {"scope": "step", "kind": "inngest.score", "values": {"good": {"value": True}}}
    ]


def test_6_1_cancellations_are_listed_until_they_are_removed(engine: Served) -> None:
    where = f"{engine.url}/v1/cancellations"
    (function, *_) = ask(f"{engine.url}/v1/functions")["data"]
    given = ask(where, {"function_id": function["id"], "started_before": "2020-01-01T00:00:00Z"})["data"]
    await_that(lambda: given in ask(where)["data"], "the cancellation")
    ask(f"{where}/{given['id']}", method="DELETE")
    await_that(lambda: given not in ask(where)["data"], "its removal")


def _run_of(played: Played) -> str | None:
    runs = ask(f"{played.url}/v1/events/{played.ids[0]}/runs")["data"]
    return runs[0]["run_id"] if runs else None


def _ended(played: Played, run_id: str) -> dict[str, Any] | None:
    rows = ask(f"{played.url}/v1/runs?function={played.function}")["data"]
    if not any(row["run_id"] == run_id and row["ended_at"] for row in rows):
        return None
    found: dict[str, Any] = ask(f"{played.url}/v1/runs/{run_id}")["data"]
    return found
