"""Outputs of durable endpoints. Goal: who has the run's token, and nobody else, gets the endpoint's own answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from headrace.console.endpoint_outputs import EndpointOutputs
from headrace.console.endpoints import ISSUER
from headrace.console.web_tokens import TokenKeys
from tests.console.archives import FixedClock, fill, open_archive, serve
from tests.console.asgi import Answer, ask, call
from tests.console.histories import NOW_MS, History

KEYS = TokenKeys([b"secret"])


def token(run_id: str, **more: Any) -> str:
    now_s = NOW_MS // 1_000
    claims = {"iss": ISSUER, "sub": "run-claim", "iat": now_s, "exp": now_s + 3_600, "RunID": run_id}
    return KEYS.sign({**claims, **more})


def app_of(path: Path, wait_s: float = 0.0) -> Starlette:
    outputs = EndpointOutputs(open_archive(path), KEYS, FixedClock(), wait_s=wait_s)
    return serve(path, routes=outputs.routes())


def get(app: Starlette, run_id: str, shown: str | None = None) -> Answer:
    return ask(app, "GET", f"/v1/http/runs/{run_id}/output?token={token(run_id) if shown is None else shown}")


@pytest.fixture
def history() -> History:
    return History()


def test_the_answer_is_the_endpoints_own(history: History, tmp_path: Path) -> None:
    body = "<p>" + "ü" * 50_000  # more than what a list of runs shows
    result = {
        "status": 418,
        "headers": {
            "Content-Type": "text/html; charset=utf-8",
            "x-a": "1",
            "Content-Length": "7",
            "Connection": "close",
        },
        "body": body,
        "version": 2,
    }
    run = history.run("shop-GET /tea", [], NOW_MS - 100).complete(NOW_MS, result)
    fill(tmp_path / "a.db", history.records)
    app = app_of(tmp_path / "a.db")
    answer = get(app, run.run_id)
    assert answer.status == 418
    assert answer.text == body
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-a"] == "1"
    assert answer.headers["content-length"] == str(len(body.encode()))
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("result", [{"ok": True}, None, [1], "text", {"status": 7}, {"status": "200"}])
def test_another_result_is_json(history: History, tmp_path: Path, result: Any) -> None:
    run = history.run("shop-GET /tea", [], NOW_MS - 100).complete(NOW_MS, result)
    fill(tmp_path / "a.db", history.records)
    answer = get(app_of(tmp_path / "a.db"), run.run_id)
    assert answer.status == 200
    assert answer.json() == result


def test_an_endpoint_that_failed_says_so(history: History, tmp_path: Path) -> None:
    failed = history.run("shop-GET /tea", [], NOW_MS - 100).fail(NOW_MS)
    cancelled = history.run("shop-GET /tea", [], NOW_MS - 100).cancel(NOW_MS)
    fill(tmp_path / "a.db", history.records)
    app = app_of(tmp_path / "a.db")
    answer = get(app, failed.run_id)
    assert answer.status == 500
    assert answer.json()["data"] == {"name": "CardError", "message": "the card was declined"}
    assert get(app, cancelled.run_id).status == 410


def test_a_run_that_goes_on_is_waited_for(history: History, tmp_path: Path) -> None:
    run = history.run("shop-GET /tea", [], NOW_MS - 100)
    projection = fill(tmp_path / "a.db", history.records)
    told = get(app_of(tmp_path / "a.db"), run.run_id)
    assert (told.status, told.json()["status"]) == (200, "running")
    already = len(history.records)
    run.complete(NOW_MS, {"status": 200, "body": "late"})

    async def play() -> Answer:
        asked = asyncio.create_task(
            call(app_of(tmp_path / "a.db", 60.0), "GET", f"/v1/http/runs/{run.run_id}/output?token={token(run.run_id)}")
        )
        await asyncio.sleep(0)
        projection.apply(history.records[already:])
        return await asyncio.wait_for(asked, 10)

    assert asyncio.run(play()).text == "late"


def test_a_token_is_for_one_run_and_one_purpose(history: History, tmp_path: Path) -> None:
    run = history.run("shop-GET /tea", [], NOW_MS - 100).complete(NOW_MS, {"status": 200, "body": "secret"})
    other = history.run("shop-GET /tea", [], NOW_MS - 100).complete(NOW_MS, {"status": 200, "body": "secret"})
    fill(tmp_path / "a.db", history.records)
    app = app_of(tmp_path / "a.db")
    past = NOW_MS // 1_000 - 1
    for shown in (
        "",
        "no.to.ken",
        token(other.run_id),
        token(run.run_id, exp=past),
        token(run.run_id, iss="rt.inngest.com"),
        TokenKeys([b"other"]).sign({"iss": ISSUER, "exp": past + 99, "RunID": run.run_id}),
    ):
        answer = get(app, run.run_id, shown)
        assert answer.status == 401
        assert b"secret" not in answer.body
    assert msgspec.json.decode(get(app, run.run_id, "").body)["status"] == 401
