"""Section 3.1: what the engine asks an app. Goal: every field that an SDK reads is there, of the type it insists on."""

from __future__ import annotations

import re

from tests.sdk.programs import ask
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import SDK, Reply, done, error, failed, hashed, op, ops, scripted

EVENT = {"data": {"n": 1}, "id": "evt-3-1", "ts": 1755850000000}


@scripted(ops(op("StepRun", "a", data={"ok": True})), ops(op("Sleep", "b", name="1s")), done(1), events=[EVENT])
def test_3_1_body_of_a_call(played: Played) -> None:
    assert played.output() == 1
    first, second, third = (call.body for call in played.calls)
    event = {"name": f"wire/{played.name}", "data": {"n": 1}, "user": {}, "id": "evt-3-1", "ts": 1755850000000}
    assert first["event"] == event
    assert first["events"] == [event]
    assert (first["steps"], second["steps"]) == ({}, {hashed("a"): {"data": {"ok": True}}})
    assert third["steps"] == {hashed("a"): {"data": {"ok": True}}, hashed("b"): None}
    assert first["ctx"]["stack"] == {"stack": [], "current": 0}
    assert third["ctx"]["stack"] == {"stack": [hashed("a"), hashed("b")], "current": 2}
    assert (first["use_api"], first["ctx"]["use_api"]) == (False, False)


@scripted(failed("once"), done())
def test_3_1_context_of_a_call(played: Played) -> None:
    run = played.end()
    first, second = (call.body["ctx"] for call in played.calls)
    assert first["run_id"] == second["run_id"] == run["run_id"]
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", run["run_id"])
    assert (first["attempt"], second["attempt"]) == (0, 1)
    assert (first["max_attempts"], second["max_attempts"]) == (2, 2)
    assert first["disable_immediate_execution"] is False
    assert (first["step_id"], first["env"]) == ("step", "")


@scripted(failed("once"), ops(op("StepRun", "a", data=1)), done())
def test_3_1_headers_of_a_call(played: Played) -> None:
    played.end()
    first, second, third = (call.headers for call in played.calls)
    assert first["content-type"].startswith("application/json")
    requests = {first["x-request-id"], second["x-request-id"], third["x-request-id"]}
    assert len(requests) == 3, "fresh for each attempt"
    assert first["x-inngest-job-id"] == second["x-inngest-job-id"] != third["x-inngest-job-id"]
    assert "gzip" in first["accept-encoding"]
    assert first["traceparent"] == third["traceparent"], "one trace for a run"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first["traceparent"])
    assert "inngest@fn=" in first["tracestate"]
    assert played.calls[0].query == {"fnId": played.function, "stepId": "step"}


@scripted(ops(op("StepRun", "a", data=1)), ops(op("StepRun", "b", data=2), x_inngest_req_version="1"), done())
def test_3_1_version_is_what_the_first_answer_chose(played: Played) -> None:
    played.end()
    assert [call.headers["x-inngest-req-version"] for call in played.calls] == ["-1", "2", "2"]
    assert [call.body["version"] for call in played.calls] == [-1, 2, 2]


BIG = "x" * (1 << 20)


@scripted(*[ops(op("StepRun", name, data=BIG)) for name in "abcde"], done("big"))
def test_3_1_a_request_over_4_mib_leaves_its_state_to_be_fetched(played: Played) -> None:
    assert played.output() == "big"
    last = played.calls[-1]
    assert len(last.raw) < 4 << 20
    assert last.body["use_api"] is last.body["ctx"]["use_api"] is True
    assert (last.body["steps"], last.body["events"]) == ({}, [])
    assert last.body["event"]["name"] == f"wire/{played.name}"
    assert last.body["ctx"]["stack"]["stack"] == [hashed(name) for name in "abcde"]


@scripted(
    ops(op("StepRun", "z", data=1)),
    ops(op("StepFailed", "a", error=error("no"), data="junk")),
    ops(op("WaitForEvent", "w", name="wire/never-3-1", opts={"timeout": "10m"})),
    events=[EVENT],
)
def test_3_1_state_and_events_of_a_run_can_be_fetched(played: Played) -> None:
    run = played.run_of(played.ids[0], phase="waiting")
    actions = ask(f"{played.url}/v0/runs/{run['run_id']}/actions")
    assert list(actions) == [hashed("z"), hashed("a")]
    assert actions[hashed("z")] == {"data": 1}
    assert actions[hashed("a")] == {"error": error("no")}
    (event,) = ask(f"{played.url}/v0/runs/{run['run_id']}/batch")
    assert (event["name"], event["data"], event["id"]) == (f"wire/{played.name}", {"n": 1}, "evt-3-1")


def _moved(call: object) -> Reply:
    query = "&".join(f"{name}={value}" for name, value in call.query.items())  # type: ignore[attr-defined]
    if "moved" in query:
        return done("found")
    return Reply(307, b"", {**SDK, "location": f"/api/inngest?{query}&moved=1"})


@scripted(_moved, each=True)
def test_3_1_redirects_are_followed_with_method_and_body(played: Played) -> None:
    assert played.output() == "found"
    first, second = played.calls
    assert (second.method, second.raw) == (first.method, first.raw) == ("POST", first.raw)
