"""Runs over GraphQL. Goal: what harnesses around Inngest's dev server ask is answered by the names that they use.

Each test is named after the row of the SDK protocol page, section 6.3, that it shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.records.history import Kind
from headrace.records.invoked import step_hash
from tests.console.histories import NOW_MS, History, RunHistory
from tests.console.nodes import Node, as_json

STATUS = """
query GetRun($run_id: String!) {
  run(runID: $run_id) { output status }
  runTrigger(runID: $run_id) { payloads }
}
"""
TIMELINE = """
query GetRunTimeline($runId: String!) {
  run(runID: $runId) {
    status
    trace(preview: true) {
      name stepType attempts outputID status spanID stepID isRoot duration startedAt endedAt queuedAt stepOp
      metadata { scope kind values updatedAt }
      childrenSpans {
        name stepType attempts outputID status spanID stepID stepOp parentSpanID
        metadata { scope kind values }
        childrenSpans { name stepType attempts outputID status }
      }
    }
  }
}
"""
OUTPUT = """
query GetRunTimelineOutput($outputId: String!) {
  runTraceSpanOutputByID(outputID: $outputId) { data error { name message stack cause } }
}
"""


@pytest.fixture
def history() -> History:
    return History()


def begun(history: History, **more: Any) -> RunHistory:
    event_id = history.event("order/created", {"n": 1}, NOW_MS - 60, id="o-1")
    return history.run("shop-order", [event_id], NOW_MS - 50, **more)


def output_of(node: Node, output_id: str) -> dict[str, Any]:
    found: dict[str, Any] = node.data(OUTPUT, outputId=output_id)["runTraceSpanOutputByID"]
    return found


def trace_of(node: Node, run: RunHistory) -> dict[str, Any]:
    found: dict[str, Any] = node.data(TIMELINE, runId=run.run_id)["run"]["trace"]
    return found


def test_run_status_and_output_and_run_trigger_payloads(tmp_path: Path, history: History) -> None:
    run = begun(history).complete(NOW_MS, {"ok": True})
    data = Node(tmp_path / "a.db", history).data(STATUS, run_id=run.run_id)
    assert data["run"] == {"output": '{"ok":true}', "status": "COMPLETED"}
    (payload,) = data["runTrigger"]["payloads"]
    assert as_json(payload) == {"name": "order/created", "data": {"n": 1}, "id": "o-1", "ts": NOW_MS - 60}


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda run: run, "RUNNING"),
        (lambda run: run.complete(NOW_MS), "COMPLETED"),
        (lambda run: run.fail(NOW_MS), "FAILED"),
        (lambda run: run.cancel(NOW_MS), "CANCELLED"),
    ],
)
def test_run_status_enum(tmp_path: Path, history: History, end: Any, status: str) -> None:
    run = end(begun(history))
    node = Node(tmp_path / "a.db", history)
    data = node.data("query($id: String!) { run(runID: $id) { status trace { status } } }", id=run.run_id)
    assert data["run"] == {"status": status, "trace": {"status": status}}


def test_run_status_enum_has_queued_for_scheduled(tmp_path: Path, history: History) -> None:
    run = begun(history, phase="queued", started_ms=0)
    node = Node(tmp_path / "a.db", history)
    data = node.data("query($id: String!) { run(runID: $id) { status startedAt output } }", id=run.run_id)
    assert data["run"] == {"status": "QUEUED", "startedAt": None, "output": None}


@pytest.mark.parametrize(
    "query",
    [
        '{ run(runID: "01K00000000000000000000000") { status } }',
        '{ runTrigger(runID: "01K00000000000000000000000") { payloads } }',
        '{ runTrace(runID: "01K00000000000000000000000") { name } }',
        '{ event(query: {eventId: "01K00000000000000000000000"}) { functionRuns { id } } }',
        '{ eventV2(id: "01K00000000000000000000000") { name raw } }',
        '{ functionRun(query: {functionRunId: "01K00000000000000000000000"}) { id } }',
        '{ runTraceSpanOutputByID(outputID: "nonsense") { data } }',
    ],
)
def test_what_is_not_visible_yet_is_an_error_and_never_null_alone(tmp_path: Path, query: str) -> None:
    answer = Node(tmp_path / "a.db").query(query)
    assert answer["errors"][0]["message"]
    assert not any((answer["data"] or {}).values())


def test_run_output_is_the_error_as_the_sdk_wrote_it(tmp_path: Path, history: History) -> None:
    more = '{"error":{"code":"step_errored","stack":null,"cause":{"name":"Error","message":"deep"}}}'
    run = begun(history).add(
        Kind.RunEnded, NOW_MS, status="Failed", error_name="MyError", error_message="oh no", more=more
    )
    node = Node(tmp_path / "a.db", history)
    output = node.data(STATUS, run_id=run.run_id)["run"]["output"]
    cause = {"name": "Error", "message": "deep"}
    assert as_json(output) == {
        "code": "step_errored",
        "name": "MyError",
        "message": "oh no",
        "stack": None,
        "cause": cause,
    }
    shown = output_of(node, trace_of(node, run)["outputID"])
    assert shown == {"data": None, "error": {"name": "MyError", "message": "oh no", "stack": None, "cause": cause}}
    assert node.ask("GET", f"/v1/runs/{run.run_id}").json()["data"]["output"] == as_json(output)


def test_an_error_without_a_stack_has_none(tmp_path: Path, history: History) -> None:
    run = begun(history).add(Kind.RunEnded, NOW_MS, status="Failed", error_name="E", error_message="m")
    output = Node(tmp_path / "a.db", history).data(STATUS, run_id=run.run_id)["run"]["output"]
    assert as_json(output) == {"name": "E", "message": "m"}


def test_trace_has_a_root_run_and_one_child_for_each_step(tmp_path: Path, history: History) -> None:
    run = begun(history)
    run.step("load", NOW_MS - 47, NOW_MS - 40, {"n": 1})
    run.step("load", NOW_MS - 40, NOW_MS - 39, None, occurrence=1)
    run.sleep("nap", NOW_MS - 39, NOW_MS - 30)
    run.complete(NOW_MS, [1])
    node = Node(tmp_path / "a.db", history)
    root = trace_of(node, run)
    assert (root["name"], root["isRoot"], root["status"], root["stepOp"]) == ("Run", True, "COMPLETED", None)
    assert root["duration"] == 50
    *steps, last = root["childrenSpans"]
    assert [(step["name"], step["stepOp"], step["stepType"], step["status"]) for step in steps] == [
        ("load", "RUN", "RUN", "COMPLETED"),
        ("load", "RUN", "RUN", "COMPLETED"),
        ("nap", "SLEEP", "SLEEP", "COMPLETED"),
    ]
    assert (last["name"], last["stepType"], last["status"]) == ("Finalization", "FINALIZATION", "COMPLETED")
    assert [step["stepID"] for step in steps[:2]] == [step_hash(b"load"), step_hash(b"load\x001")]
    assert {step["parentSpanID"] for step in steps} == {root["spanID"]}
    assert all(step["childrenSpans"] == [] for step in steps)
    assert len({step["spanID"] for step in [root, *root["childrenSpans"]]}) == 5
    outputs = [output_of(node, step["outputID"])["data"] for step in [*steps, root]]
    assert outputs == ['{"n":1}', "null", "null", "[1]"]


def test_trace_of_failed_attempts_are_nested_children_and_attempts_is_the_last_number(
    tmp_path: Path, history: History
) -> None:
    run = begun(history).fail_attempt("charge", 0, NOW_MS - 39, NOW_MS - 38, NOW_MS - 30)
    more = '{"error":{"cause":"the bank is closed"}}'
    fields = {"error_name": "Error", "error_message": "Oh no!", "error_stack": "at x", "more": more}
    run.step("charge", NOW_MS - 30, NOW_MS - 20, attempt=1, status="Failed", output="", **fields)
    run.fail(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    step, last = trace_of(node, run)["childrenSpans"]
    assert (step["name"], step["attempts"], step["status"]) == ("charge", 1, "FAILED")
    assert [(one["name"], one["attempts"], one["status"]) for one in step["childrenSpans"]] == [
        ("Attempt 0", 0, "FAILED"),
        ("Attempt 1", 1, "FAILED"),
    ]
    assert (last["stepType"], last["status"]) == ("FINALIZATION", "FAILED")
    error = {"name": "Error", "message": "Oh no!", "stack": "at x", "cause": "the bank is closed"}
    assert output_of(node, step["outputID"]) == {"data": None, "error": error}
    first = output_of(node, step["childrenSpans"][0]["outputID"])
    assert (first["data"], first["error"]["name"], first["error"]["cause"]) == (None, "ConnectionError", None)


def test_trace_of_a_live_run_has_no_outputs_yet(tmp_path: Path, history: History) -> None:
    run = begun(history).sleep("nap", NOW_MS - 7, NOW_MS + 60_000, over=False)
    run.fail_attempt("charge", 0, NOW_MS - 6, NOW_MS - 5, NOW_MS + 500)
    run.add(
        Kind.StepPlanned,
        NOW_MS - 4,
        step_id="call",
        op="invoke",
        started_ms=NOW_MS - 4,
        explanation=f"run {'0' * 26} of f",
    )
    root = trace_of(Node(tmp_path / "a.db", history), run)
    assert (root["status"], root["outputID"], root["endedAt"]) == ("RUNNING", None, None)
    told = [(step["name"], step["status"], step["outputID"]) for step in root["childrenSpans"]]
    assert told == [("nap", "WAITING", None), ("charge", "WAITING", None), ("call", "RUNNING", None)]


STEP_INFO = """
query($id: String!) {
  runTrace(runID: $id) {
    childrenSpans {
      name stepOp
      stepInfo {
        __typename
        ... on SleepStepInfo { sleepUntil }
        ... on WaitForEventStepInfo { eventName expression timeout timedOut foundEventID }
        ... on WaitForSignalStepInfo { signal timeout timedOut }
        ... on InvokeStepInfo { functionID runID timedOut triggeringEventID timeout }
        ... on RunStepInfo { type }
      }
    }
  }
}
"""


def test_trace_says_what_steps_are_about(tmp_path: Path, history: History) -> None:
    run = begun(history)
    child = "01K2ZZZZZZZZZZZZZZZZZZZZZZ"
    planned: dict[str, dict[str, Any]] = {
        "nap": {"op": "sleep", "due_ms": NOW_MS + 5},
        "paid": {"op": "wait", "due_ms": NOW_MS + 5, "explanation": "waits for order/paid where async.data.n > 1"},
        "sent": {"op": "wait", "explanation": "waits for order/sent with the same data.id"},
        "go": {"op": "signal", "due_ms": NOW_MS + 5, "explanation": "waits for the signal 'go on'"},
        "call": {"op": "invoke", "explanation": f"run {child} of shop-mail"},
    }
    for number, (step, more) in enumerate(planned.items()):
        run.add(Kind.StepPlanned, NOW_MS - 40 + number, step_id=step, started_ms=NOW_MS - 40 + number, **more)
    run.step("paid", NOW_MS - 39, NOW_MS - 10, None, op="wait")
    run.step("mail", NOW_MS - 10, NOW_MS - 9, ["01"], op="send_event")
    spans = Node(tmp_path / "a.db", history).data(STEP_INFO, id=run.run_id)["runTrace"]["childrenSpans"]
    told = {span["name"]: span["stepInfo"] for span in spans}
    assert told["nap"] == {"__typename": "SleepStepInfo", "sleepUntil": "2025-11-21T08:00:00.005Z"}
    assert told["paid"] == {
        "__typename": "WaitForEventStepInfo",
        "eventName": "order/paid",
        "expression": "async.data.n > 1",
        "timeout": "2025-11-21T08:00:00.005Z",
        "timedOut": True,
        "foundEventID": None,
    }
    assert told["sent"]["expression"] == "event.data.id == async.data.id"
    assert told["sent"]["timedOut"] is None
    assert (told["go"]["signal"], told["go"]["__typename"]) == ("go on", "WaitForSignalStepInfo")
    assert (told["call"]["runID"], told["call"]["functionID"], told["call"]["timedOut"]) == (child, "shop-mail", False)
    assert told["mail"] == {"__typename": "RunStepInfo", "type": "step.sendEvent"}
    assert [span["stepOp"] for span in spans] == [
        *("SLEEP", "WAIT_FOR_EVENT", "WAIT_FOR_EVENT", "WAIT_FOR_SIGNAL", "INVOKE", "RUN")
    ]


def test_output_of_a_wait_is_the_event_itself(tmp_path: Path, history: History) -> None:
    event = {"name": "order/paid", "data": {"n": 2}, "id": "p-1", "ts": 5}
    found = {"index": 0, "event": {**event, "of_the_engine": 1}}
    run = begun(history).step("paid", NOW_MS - 9, NOW_MS - 8, found, op="wait")
    node = Node(tmp_path / "a.db", history)
    (step,) = trace_of(node, run)["childrenSpans"]
    assert as_json(output_of(node, step["outputID"])["data"]) == event


def test_run_trigger_of_a_batch(tmp_path: Path, history: History) -> None:
    ids = [history.event("order/created", {"n": n}, NOW_MS - 60 + n) for n in range(3)]
    run = history.run("shop-order", ids, NOW_MS - 50)
    trigger = Node(tmp_path / "a.db", history).data(
        "query($id: String!) { runTrigger(runID: $id) { eventName IDs payloads isBatch batchID cron timestamp } }",
        id=run.run_id,
    )["runTrigger"]
    assert trigger["IDs"] == ids
    assert [as_json(payload)["data"]["n"] for payload in trigger["payloads"]] == [0, 1, 2]
    assert (trigger["eventName"], trigger["isBatch"], trigger["cron"]) == ("order/created", True, None)
    assert len(trigger["batchID"]) == 26


def test_run_trigger_of_events_that_stand_on_no_topic(tmp_path: Path, history: History) -> None:
    body = {"name": "inngest/scheduled.timer", "data": {"cron": "*/5 * * * *"}}
    event_id = "01K2ZZZZZZZZZZZZZZZZZZZZZZ"
    told = {"events": [{"internal_id": event_id, "ts": 7, "at": NOW_MS, "event": body}]}
    run = history.run("shop-order", [event_id], NOW_MS - 50, more=msgspec.json.encode(told).decode())
    node = Node(tmp_path / "a.db", history)
    data = node.data(
        "query($id: String!) { runTrigger(runID: $id) { payloads cron eventName }"
        " run(runID: $id) { cronSchedule eventName } }",
        id=run.run_id,
    )
    (payload,) = data["runTrigger"]["payloads"]
    assert as_json(payload) == {**body, "id": event_id, "ts": 7}
    assert (data["runTrigger"]["cron"], data["runTrigger"]["eventName"]) == ("*/5 * * * *", None)
    assert data["run"]["cronSchedule"] == "*/5 * * * *"
    assert node.ask("GET", f"/v1/runs/{run.run_id}").json()["data"]["cron"] == "*/5 * * * *"


def test_a_run_s_status_and_its_output_become_visible_at_the_same_instant(tmp_path: Path, history: History) -> None:
    run = begun(history).step("load", NOW_MS - 47, NOW_MS - 40, {"n": 1})
    node = Node(tmp_path / "a.db", history)
    query = "query($id: String!) { run(runID: $id) { status output trace { status outputID } } }"
    before = node.data(query, id=run.run_id)["run"]
    assert before == {"status": "RUNNING", "output": None, "trace": {"status": "RUNNING", "outputID": None}}
    run.complete(NOW_MS, "done")
    node.catch_up()
    after = node.data(query, id=run.run_id)["run"]
    assert (after["status"], after["output"], after["trace"]["status"]) == ("COMPLETED", '"done"', "COMPLETED")
    assert output_of(node, after["trace"]["outputID"]) == {"data": '"done"', "error": None}
