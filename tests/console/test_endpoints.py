"""Durable endpoints. Goal: what an app reports of a run that it began becomes that run, and it goes on when the app
cannot; on a cluster in memory, with the app's side played as the TypeScript SDK plays it (protocol page, section 3.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from headrace.console import endpoint_reports as reports
from headrace.console.endpoints import Endpoints
from headrace.console.realtime_tokens import RealtimeTokens
from headrace.console.web_tokens import TokenKeys
from headrace.errors import LogUnavailable
from headrace.execution.by_kind import ByKind
from headrace.execution.sdk.endpoint_caller import EndpointCaller
from headrace.execution.sdk.names import hash_text
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.execution.sdk.seams import Answer
from headrace.records.commands import Travelling
from headrace.records.definitions import Backoff, Definition, decode_definition
from headrace.records.trace_ids import traceparent
from headrace.testing.ledger import Ledger
from headrace.testing.member import Member
from headrace.testing.views import RunView
from headrace.testing.world import World
from headrace.worker.node import Means
from headrace.worker.surroundings import Surroundings
from tests.console import asgi

RUN_ID = "01J5ZP8XK3M9QWERTYASDFGHJK"
COMPLETE = hash_text("complete")
RESULT = {"status": 201, "headers": {"x-a": "1"}, "body": '{"done":true}'}
SILENCE_S = 600.0


def ran(step_id: str, data: Any) -> dict[str, Any]:
    return {"op": "StepRun", "id": hash_text(step_id), "data": data, "userland": {"id": step_id}}


def returned(result: Any = None) -> dict[str, Any]:
    return {"op": "RunComplete", "id": COMPLETE, "data": RESULT if result is None else result}


def slept(step_id: str, duration: str) -> dict[str, Any]:
    return {"op": "Sleep", "id": hash_text(step_id), "name": duration, "userland": {"id": step_id}}


def failed(step_id: str, op: str = "StepError") -> dict[str, Any]:
    error = {"name": "CardError", "message": "declined"}
    found = COMPLETE if step_id == "complete" else hash_text(step_id)
    return {"op": op, "id": found, "error": error, "userland": {"id": step_id}}


class EndpointWorld:
    """One node, the endpoints of its console, and an app whose answers to calls of ours are given."""

    def __init__(self) -> None:
        self.world = World(partitions=2)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[Callable[[Mapping[str, str]], Answer]] = []
        self.up = True
        self.sdk: SdkExecution
        self.caller: EndpointCaller
        self.member = self.start("a")

    def start(self, name: str) -> Member:
        def adjust(member: Member, around: Surroundings, means: Means) -> tuple[Surroundings, Means]:
            self.caller = EndpointCaller(self.ask, member.clock, silence_s=SILENCE_S)
            self.sdk = SdkExecution(
                self.world.loop,
                member.clock,
                lambda function_id: known(member, function_id),
                {"endpoint+http": self.caller, "endpoint+https": self.caller},
                no_requests,
                lambda code, sentence: member.told.append((code, sentence)),
                lambda: member.node.definitions.of_sdks,
            )
            return replace(around, execution=ByKind(member.execution, self.sdk)), means

        self.member = member = self.world.start(name, {}, adjust=adjust)
        self.world.wait_ready()
        keys = TokenKeys([b"secret"])
        endpoints = Endpoints(
            self.caller,
            self.sdk,
            self.give,
            self.broadcast,
            lambda: list(member.node.owned),
            RealtimeTokens(keys, member.clock),
            keys,
            member.clock,
            Backoff("fixed", 1_000, 1_000, 0.0),
        )
        self.app = Starlette(routes=endpoints.routes())
        return member

    async def give(self, partition: int | None, command: Travelling) -> None:
        await self.written(lambda done: self.member.node.order(partition, command, done))

    async def broadcast(self, key: bytes, value: bytes) -> None:
        await self.written(lambda done: self.member.node.broadcast(key, value, done))

    async def written(self, write: Callable[[Callable[[bool], None]], None]) -> None:
        if not self.up:
            raise LogUnavailable("order_not_written", "Kafka did not take it")
        future = self.world.loop.create_future()
        write(lambda taken: future.set_result(taken))
        assert await future

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, bytes_max: int
    ) -> Answer:
        self.asked.append((method, url, dict(headers), body))
        return self.answers.pop(0)(headers)

    def post(self, path: str, body: Any) -> asgi.Answer:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        task = self.world.loop.create_task(asgi.call(self.app, "POST", path, body=content))
        self.world.wait(task.done, 60, f"the answer to {path}")
        return task.result()

    def begin(self, *steps: Any, run_id: str = RUN_ID, retries: int = 3, **data: Any) -> asgi.Answer:
        request = {
            "domain": "http://localhost:3000",
            "method": "GET",
            "path": "/api/order/7",
            "query_params": "a=1&b=2",
            "content_type": "",
            "ip": "127.0.0.1",
            "body": "null",
            "fn": "",
            **data,
        }
        event = {"name": "inngest/http.request", "data": request}
        body = {"run_id": run_id, "event": event, "steps": list(steps), "ts": 1, "request_version": 2}
        return self.post("/v1/checkpoint", {**body, "retries": retries})

    def report(self, *steps: Any) -> asgi.Answer:
        body = {"fn_id": "f", "app_id": "a", "run_id": RUN_ID, "steps": list(steps), "ts": 1}
        return self.post(f"/v1/checkpoint/{RUN_ID}/steps", body)

    def run(self) -> RunView:
        (run,) = Ledger(self.world.cluster, self.world.topics.history).runs()
        return run

    def ended(self, seconds_max: float = 60.0) -> RunView:
        """Wait for the end of the only run."""

        def is_over() -> bool:
            runs = Ledger(self.world.cluster, self.world.topics.history).runs()
            return bool(runs) and runs[0].status in ("Completed", "Failed", "Cancelled")

        self.world.wait(is_over, seconds_max, "the end of the run")
        return self.run()


def known(member: Member, function_id: str) -> Definition | None:
    found = member.node.definitions.known.get(function_id.encode())
    return None if found is None or found[1] is None else decode_definition(found[1])


async def no_requests(op: str, opts: Mapping[str, Any]) -> Any:
    raise AssertionError(f"nobody asked for {op}")


def answering(status: int, body: Any, **headers: str) -> Callable[[Mapping[str, str]], Answer]:
    told = {"x-inngest-sdk": "inngest-js:v4.18.1", "x-inngest-req-version": "2"}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Answer(status, {**told, **more}, msgspec.json.encode(body))


@pytest.fixture
def node() -> Iterator[EndpointWorld]:
    made = EndpointWorld()
    yield made
    made.world.close()


def test_an_endpoint_that_ends_by_itself_is_one_run(node: EndpointWorld) -> None:
    answer = node.begin(ran("a", 1))
    assert answer.status == 200
    told = answer.json()["data"]
    assert set(told) == {"fn_id", "app_id", "run_id", "token", "realtime_token"}
    assert all(told.values())
    assert told["run_id"] == RUN_ID
    assert node.report(ran("b", {"n": 2})).status == 200
    assert node.report(returned()).status == 200
    run = node.ended()
    assert (run.id, run.status, run.function_id) == (RUN_ID, "Completed", "localhost:3000-GET /api/order/7")
    assert run.output == RESULT
    assert [(step.id, step.output) for step in run.steps.values()] == [("a", 1), ("b", {"n": 2})]
    assert node.asked == []  # nobody called the app
    assert node.caller.under_way(RUN_ID) is None


def test_all_of_a_run_may_come_at_once(node: EndpointWorld) -> None:
    assert node.begin(ran("a", 1), returned()).status == 200
    run = node.ended()
    assert run.status == "Completed"
    assert [step.id for step in run.steps.values()] == ["a"]
    assert node.begin(ran("a", 1), returned()).status == 200  # the SDK asks again where an answer is lost
    assert node.report(returned()).status == 200
    node.world.advance(5)
    assert node.run().status == "Completed"


def test_a_run_goes_on_when_its_app_cannot(node: EndpointWorld) -> None:
    data: dict[str, Any] = {
        "method": "POST",
        "body": '{"b": 1, "a": 2}',
        "content_type": "application/json; charset=utf-8",
    }
    node.begin(ran("a", 1), **data)
    node.answers = [answering(206, returned())]
    assert node.report(slept("nap", "10s")).status == 200
    node.world.advance(5)
    assert node.asked == []
    run = node.ended()
    assert run.status == "Completed"
    ((method, url, headers, body),) = node.asked
    assert (method, url) == ("POST", "http://localhost:3000/api/order/7?a=1&b=2")
    assert body == b'{"b": 1, "a": 2}'
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-run-id"] == RUN_ID
    assert headers["traceparent"] == traceparent(RUN_ID)
    assert headers["x-inngest-signature"] == ""  # there, though there is no key
    assert headers["x-inngest-req-version"] == "2"
    assert headers["x-request-id"]
    assert "x-inngest-step-id" not in headers
    assert "x-inngest-force-step-plan" not in headers


def test_steps_side_by_side_are_made_one_by_one(node: EndpointWorld) -> None:
    planned = [
        {"op": "StepPlanned", "id": hash_text(name), "userland": {"id": name}, "opts": {"type": "step.run"}}
        for name in ("a", "b")
    ]

    def one(headers: Mapping[str, str]) -> Answer:
        name = next(name for name in ("a", "b") if hash_text(name) == headers["x-inngest-step-id"])
        return answering(206, [ran(name, name)])(headers)

    node.answers = [one, one, answering(206, returned())]
    assert node.begin(*planned).status == 200
    run = node.ended()
    assert run.status == "Completed"
    assert sorted(step.id for step in run.steps.values()) == ["a", "b"]
    asked = [headers.get("x-inngest-step-id") for _, _, headers, _ in node.asked]
    assert sorted(asked[:2]) == sorted([hash_text("a"), hash_text("b")])  # type: ignore[type-var]
    assert asked[2] is None
    assert [headers.get("x-inngest-force-step-plan") for _, _, headers, _ in node.asked] == ["true", "true", None]
    assert {method for method, _, _, _ in node.asked} == {"GET"}
    assert {body for _, _, _, body in node.asked} == {b""}


@pytest.mark.parametrize("step_id", ["charge", "complete"])
def test_what_has_failed_is_tried_again(node: EndpointWorld, step_id: str) -> None:
    node.answers = [answering(206, returned())]
    assert node.begin(ran("a", 1), failed(step_id)).status == 200
    run = node.ended()
    assert run.status == "Completed"
    assert len(node.asked) == 1
    assert "a" in [step.id for step in run.steps.values()]


def test_an_endpoint_may_fail(node: EndpointWorld) -> None:
    assert node.begin(ran("a", 1), failed("complete", "StepFailed")).status == 200
    run = node.ended()
    assert (run.status, node.asked) == ("Failed", [])
    node.world.advance(30)
    assert node.asked == []


def test_an_endpoint_has_the_retries_that_it_says(node: EndpointWorld) -> None:
    error = {"name": "CardError", "message": "declined"}
    node.answers = [answering(500, error, x_inngest_no_retry="false")] * 5
    assert node.begin(failed("complete"), retries=2).status == 200
    assert node.ended().status == "Failed"
    assert len(node.asked) == 2


def test_a_run_whose_app_falls_silent_is_entered_again(node: EndpointWorld) -> None:
    node.begin(ran("a", 1))
    node.world.advance(SILENCE_S - 10)
    node.report(ran("b", 1))
    node.world.advance(SILENCE_S - 10)
    assert node.asked == []
    node.answers = [answering(206, returned())]
    run = node.ended()
    assert run.status == "Completed"
    assert len(node.asked) == 1
    late = node.report(ran("c", 1))
    assert (late.status, late.json()["code"]) == (409, "call_superseded")


def test_a_run_survives_its_node(node: EndpointWorld) -> None:
    node.begin(ran("a", 1))
    node.world.members["a"].crash()
    node.answers = [answering(206, returned())]
    node.start("b")
    run = node.ended(120)
    assert run.status == "Completed"
    assert [step.id for step in run.steps.values()] == ["a"]
    assert len(node.asked) == 1
    assert node.report(ran("b", 1)).status == 409


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        {"run_id": RUN_ID},
        {"run_id": "7", "event": {"data": {"domain": "http://a"}}},
        {"run_id": RUN_ID, "event": {"data": {}}},
        {"run_id": RUN_ID, "event": {"data": {"domain": "localhost"}}},
        {"run_id": RUN_ID, "event": {"data": {"domain": "file:///etc"}}},
        {"run_id": RUN_ID, "event": {"data": {"domain": "http://a"}}, "steps": [7]},
        {"run_id": RUN_ID, "event": {"data": {"domain": "http://a"}}, "steps": {}},
    ],
)
def test_nonsense_is_refused(node: EndpointWorld, body: Any) -> None:
    answer = node.post("/v1/checkpoint", body)
    assert answer.status == 400
    assert answer.json()["error"]
    assert node.caller.under_way(RUN_ID) is None


def test_too_much_is_refused(node: EndpointWorld) -> None:
    assert node.begin(*([ran("a", 1)] * 1_001)).status == 413
    assert node.begin(body="x" * (4 << 20)).status == 413
    assert node.caller.under_way(RUN_ID) is None
    assert node.post(f"/v1/checkpoint/{RUN_ID}/steps", b"{").status == 400


def test_a_run_that_cannot_be_written_is_not_begun(node: EndpointWorld) -> None:
    node.up = False
    answer = node.begin(ran("a", 1))
    assert answer.status == 503
    assert node.caller.under_way(RUN_ID) is None
    node.up = True
    assert node.begin(ran("a", 1)).status == 200  # as the SDK does


def test_an_app_has_only_so_many_functions() -> None:
    told = msgspec.convert({"run_id": RUN_ID, "event": {"data": {"domain": "http://a", "path": "/x"}}}, reports.NewRun)
    few, many = (reports.definition_of(told, known, Backoff()) for known in (0, reports.FUNCTIONS_MAX))
    assert (few.id, many.id) == ("a-POST /x", "a-POST *")
    assert (few.url, few.kind, few.retries) == ("endpoint+http://a", "sdk", 4)
