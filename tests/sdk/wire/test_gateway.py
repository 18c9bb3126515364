"""Section 4.6: requests that the engine makes itself. Goal: the app's time is not spent on waiting for others."""

from __future__ import annotations

import json

from tests.sdk.wire.fake_app import FakeApp
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import Call, Reply, done, hashed, op, ops, scripted

# Addresses are those of the scripted app itself, known once it runs: each event carries its own.


def _gateway(call: Call) -> Reply:
    steps = call.body["steps"]
    if steps:
        return done(steps[hashed("fetch: model")])
    host = call.headers["host"]
    data = call.body["event"]["data"]
    opts = json.loads(json.dumps(data["opts"]).replace("HOST", f"http://{host}"))
    return ops(op(data["op"], "fetch: model", opts=opts))


FETCH = {"url": "HOST/other/echo", "method": "PUT", "headers": {"x-a": "b"}, "body": "text"}


@scripted(_gateway, each=True, events=[{"data": {"op": "Gateway", "opts": FETCH}}])
def test_4_6_a_fetch_gives_any_status(played: Played, wire_app: FakeApp) -> None:
    data = played.output()["data"]
    assert (data["status_code"], data["body"], data["url"]) == (404, "{}", f"{wire_app.url}/other/echo")
    assert all(isinstance(value, str) for value in data["headers"].values())
    (call,) = wire_app.others("/other/echo")
    assert (call.method, call.headers["x-a"], call.raw) == ("PUT", "b", b"text")


INFER = {
    "type": "step.ai.infer",
    "url": "HOST/other/model?by=key",
    "headers": {"x-model": "m"},
    "auth_key": "secret-key",
    "format": "openai-chat",
    "body": {"messages": [{"role": "user", "content": "hi"}]},
}


@scripted(_gateway, each=True, retries=1, events=[{"data": {"op": "AIGateway", "opts": INFER}}])
def test_4_6_a_model_that_refuses_is_an_error_in_the_end(played: Played, wire_app: FakeApp) -> None:
    error = played.output()["error"]
    assert error["name"] == "AIGatewayError"
    assert "secret-key" not in json.dumps(played.run(played.end()["run_id"]))
    calls = wire_app.others("/other/model")
    assert len(calls) == 2
    assert calls[0].headers["authorization"] == "Bearer secret-key"
    assert (calls[0].headers["x-model"], calls[0].body) == ("m", INFER["body"])
