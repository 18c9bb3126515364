"""Orders about one run over HTTP. Goal: each does what it says once, and what it notes can be seen when it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.records.commands import NoteMetadata
from headrace.records.history import Kind
from headrace.records.ids import partition_of
from headrace.records.invoked import step_hash
from headrace.records.rows import Start
from tests.console.histories import NOW_MS, History, RunHistory
from tests.console.nodes import PARTITIONS, Node

UNKNOWN = "01K00000000000000000000000"
METADATA = """
query($id: String!) {
  run(runID: $id) {
    trace {
      metadata { scope kind values updatedAt }
      childrenSpans { name metadata { scope kind values } childrenSpans { name } }
    }
  }
}
"""


@pytest.fixture
def history() -> History:
    return History()


def begun(history: History) -> RunHistory:
    return history.run("shop-order", [history.event("order/created", {"n": 1}, NOW_MS - 60)], NOW_MS - 50)


def note(node: Node, run_id: str, target: dict[str, Any], *updates: dict[str, Any]) -> int:
    body = {"target": {"run_id": run_id, **target}, "metadata": list(updates)}
    answer = node.ask("POST", f"/v1/runs/{run_id}/metadata", body)
    assert answer.status != 200 or answer.body == b""
    return answer.status


def merge(kind: str, op: str = "merge", **values: Any) -> dict[str, Any]:
    return {"kind": kind, "op": op, "values": values}


def kept(spans: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one["values"] for one in spans["metadata"]}


def test_post_v1_runs_metadata_of_a_run_and_of_its_steps(tmp_path: Path, history: History) -> None:
    run = begun(history).step("load", NOW_MS - 9, NOW_MS - 8, 1).step("load", NOW_MS - 8, NOW_MS - 7, 2, occurrence=1)
    run.complete(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    assert note(node, run.run_id, {}, merge("inngest.score", run_score={"value": True})) == 200
    assert note(node, run.run_id, {"step_id": "load"}, merge("userland.cost", cents=3)) == 200
    assert note(node, run.run_id, {"step_id": "load", "step_index": 1, "step_attempt": 0}, merge("userland.x")) == 200
    assert note(node, run.run_id, {"step_id": "none"}, merge("userland.orphan", n=1)) == 200
    assert {partition for partition, _ in node.given} == {run.partition}
    trace = node.data(METADATA, id=run.run_id)["run"]["trace"]
    assert kept(trace) == {"inngest.score": {"run_score": {"value": True}}}
    assert (trace["metadata"][0]["scope"], trace["metadata"][0]["updatedAt"][:10]) == ("run", "2025-11-21")
    first, second, _ = trace["childrenSpans"]
    assert first["metadata"] == [{"scope": "step", "kind": "userland.cost", "values": {"cents": 3}}]
    assert kept(second) == {"userland.x": {}}
    shown = node.ask("GET", f"/v1/runs/{run.run_id}").json()["data"]["metadata"]
    assert [(one["kind"], one["values"]) for one in shown] == [("inngest.score", {"run_score": {"value": True}})]


def test_metadata_of_one_kind_is_put_together_as_its_updates_say(tmp_path: Path, history: History) -> None:
    run = begun(history)
    node = Node(tmp_path / "a.db", history)
    note(node, run.run_id, {}, merge("userland.a", x=1, y="z"), merge("userland.b", n=1))
    note(node, run.run_id, {}, merge("userland.a", x=2), merge("userland.b", "add", n=2.5, m=1))
    note(node, run.run_id, {}, merge("userland.c", n=1), merge("userland.c", "set", only=True))
    note(node, run.run_id, {}, merge("userland.a", "delete", y=None), merge("userland.b", "add", m="no number"))
    assert kept(node.data(METADATA, id=run.run_id)["run"]["trace"]) == {
        "userland.a": {"x": 2},
        "userland.b": {"n": 3.5, "m": "no number"},
        "userland.c": {"only": True},
    }


def test_metadata_of_a_run_that_is_not_known_yet(tmp_path: Path, history: History) -> None:
    node = Node(tmp_path / "a.db", history)
    run_id = "01K2ZZZZZZZZZZZZZZZZZZZZZZ"
    assert note(node, run_id, {}, merge("userland.a", x=1)) == 200
    ((partition, command),) = node.given
    assert partition == partition_of(run_id.encode(), PARTITIONS)
    assert isinstance(command, NoteMetadata)
    # It makes no run; and it is there once the run is.
    assert node.ask("GET", "/v1/runs").json()["data"] == []
    run = RunHistory(history, run_id, "shop-order", 0)
    run.add(Kind.RunScheduled, NOW_MS, event_ids=["e"], phase="executing", started_ms=NOW_MS)
    node.catch_up()
    assert kept(node.data(METADATA, id=run_id)["run"]["trace"]) == {"userland.a": {"x": 1}}


def test_metadata_may_name_a_step_by_its_hash(tmp_path: Path, history: History) -> None:
    run = begun(history).step("load", NOW_MS - 9, NOW_MS - 8, 1)
    node = Node(tmp_path / "a.db", history)
    note(node, run.run_id, {"step_id": step_hash(b"load"), "step_attempt": 0}, merge("userland.a", x=1))
    (step,) = node.data(METADATA, id=run.run_id)["run"]["trace"]["childrenSpans"]
    assert kept(step) == {"userland.a": {"x": 1}}


@pytest.mark.parametrize(
    ("run_id", "body", "status"),
    [
        ("nonsense", {"metadata": []}, 400),
        (UNKNOWN, b"no json", 400),
        (UNKNOWN, [], 400),
        (UNKNOWN, {"target": {"step_index": 1}, "metadata": []}, 400),
        (UNKNOWN, {"target": {"step_attempt": 1}, "metadata": []}, 400),
        (UNKNOWN, {"target": {"span_id": "a"}, "metadata": []}, 400),
        (UNKNOWN, {"metadata": [merge("inngest.secret")]}, 400),
        (UNKNOWN, {"metadata": [merge("headrace.origin", run_id="x")]}, 400),
        (UNKNOWN, {"metadata": [merge("x" * 129)]}, 400),
        (UNKNOWN, {"metadata": [merge("")]}, 400),
        (UNKNOWN, {"metadata": [merge("userland.a", "replace")]}, 400),
        (UNKNOWN, {"metadata": [merge("inngest.score", s={"value": "good"})]}, 400),
        (UNKNOWN, {"metadata": [merge("inngest.score", s={"value": 1, "more": 2})]}, 400),
        (UNKNOWN, {"metadata": [merge("inngest.score", s=1)]}, 400),
        (UNKNOWN, {"metadata": [merge("inngest.score", **{"it's": {"value": 1}})]}, 400),
        (UNKNOWN, {"metadata": [merge("userland.a", x="y" * (64 << 10))]}, 413),
        (UNKNOWN, {"metadata": [merge("userland.a")] * 101}, 400),
    ],
)
def test_metadata_that_the_protocol_does_not_allow_is_refused(
    tmp_path: Path, run_id: str, body: Any, status: int
) -> None:
    node = Node(tmp_path / "a.db")
    answer = node.ask("POST", f"/v1/runs/{run_id}/metadata", body)
    assert answer.status == status
    refused = answer.json()
    assert (refused["status"], bool(refused["error"]), bool(refused["code"])) == (status, True, True)
    assert node.given == []


def test_post_v1_runs_rerun(tmp_path: Path, history: History) -> None:
    run = begun(history).fail(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    answer = node.ask("POST", f"/v1/runs/{run.run_id}/rerun")
    told = answer.json()["data"]
    (_, start) = node.given[-1]
    assert isinstance(start, Start)
    assert told == {"run_id": start.run_id, "original_run_id": run.run_id}
    refused = node.ask("POST", f"/v1/runs/{run.run_id}/rerun", {"from_step": "load"})
    assert (refused.status, refused.json()["code"]) == (501, "rerun_from_step")
    assert node.ask("POST", f"/v1/runs/{UNKNOWN}/rerun").status == 404
    assert len(node.given) == 2


def test_delete_v0_runs_204_404_409(tmp_path: Path, history: History) -> None:
    live = begun(history)
    ended = begun(history).complete(NOW_MS)
    node = Node(tmp_path / "a.db", history)
    answer = node.ask("DELETE", f"/v0/runs/{live.run_id}")
    assert (answer.status, answer.body) == (204, b"")
    assert node.cancelled == [(live.run_id, "cancelled through the API")]
    for run_id, status in ((live.run_id, 409), (ended.run_id, 409), (UNKNOWN, 404)):
        refused = node.ask("DELETE", f"/v0/runs/{run_id}")
        assert (refused.status, refused.json()["status"]) == (status, status)
    assert len(node.cancelled) == 1
