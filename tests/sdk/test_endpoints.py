"""Runs that begin in an app, requests that the engine makes, messages to whoever listens. Goal: the SDKs as they come.

Each test is named after the section of the protocol page that it is about.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from tests.cli.served import Served
from tests.sdk.play import Engine
from tests.sdk.programs import ROOM, Program, ask, await_that

TYPESCRIPT = ("typescript3", "typescript4")
EITHER = pytest.mark.parametrize("line", TYPESCRIPT)


@pytest.fixture(scope="module")
def apps(engine: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    folder = tmp_path_factory.mktemp("endpoints")
    made = {line: Program(line, f"endpoints-{line}", engine.url, folder, "endpoints") for line in TYPESCRIPT}
    try:
        for app in made.values():
            app.start()
        for app in made.values():
            app.register()
        yield made
    finally:
        for app in made.values():
            app.kill()


def at(app: Program, path: str) -> str:
    return f"http://127.0.0.1:{app.port}{path}"


def only_run_of(engine: Served, app: Program, endpoint: str) -> dict[str, Any]:
    """Wait until the run of an endpoint that was asked for once is to be seen."""

    def found() -> dict[str, Any] | None:
        runs = [
            run
            for run in engine.get("/v1/runs?limit=100")["data"]
            if run["function_id"] == f"127.0.0.1:{app.port}-{endpoint}" and run["status"] in ("Completed", "Failed")
        ]
        assert len(runs) <= 1
        return engine.get(f"/v1/runs/{runs[0]['run_id']}")["data"] if runs else None

    return await_that(found, f"a run of {endpoint}")


@EITHER
def test_3_9_an_endpoint_answers_by_itself_and_is_a_run(engine: Served, apps: dict[str, Program], line: str) -> None:
    app = apps[line]
    assert ask(at(app, "/quick?q=7")) == {"two": 2, "q": "7"}
    assert ask(at(app, "/plain")) == {"plain": True}
    plain = only_run_of(engine, app, "GET /plain")
    assert plain["output"]["body"] == '{"plain":true}'
    run = only_run_of(engine, app, "GET /quick")
    assert run["status"] == "Completed"
    assert [(step["name"], step["output"]) for step in run["steps"]] == [("one", 1), ("two", 2)]


@EITHER
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_3_9_an_endpoint_that_sleeps_is_entered_again(
    engine: Served, apps: dict[str, Program], line: str, method: str
) -> None:
    app = apps[line]
    before = len(app.lines("endpoints", what="read"))
    # The app answers with a redirect to the engine, which waits for the end of the run.
    told = ask(at(app, "/slow"), {"n": 1} if method == "POST" else None, method)
    assert told == {"after": "read after", "method": method}
    assert len(app.lines("endpoints", what="read")) == before + 1
    run = only_run_of(engine, app, f"{method} /slow")
    assert [step["name"] for step in run["steps"]] == ["read", "nap", "after"]


@EITHER
def test_3_9_a_step_that_fails_is_tried_again_without_its_caller(
    engine: Served, apps: dict[str, Program], line: str
) -> None:
    assert ask(at(apps[line], "/flaky")) == {"charged": "charged"}
    (step,) = only_run_of(engine, apps[line], "GET /flaky")["steps"]
    assert (step["name"], step["status"]) == ("charge", "Completed")


@EITHER
def test_3_9_steps_side_by_side(engine: Served, apps: dict[str, Program], line: str) -> None:
    assert ask(at(apps[line], "/both")) == {"sum": 3}
    assert {step["name"] for step in only_run_of(engine, apps[line], "GET /both")["steps"]} == {"a", "b"}


def test_3_9_an_endpoint_streams_on_after_it_slept(apps: dict[str, Program]) -> None:
    assert ask(at(apps["typescript4"], "/listen")) == {"heard": ["one", "two"], "last": {"done": True}}


@EITHER
def test_3_9_only_the_runs_token_shows_what_it_came_to(engine: Served, apps: dict[str, Program], line: str) -> None:
    run_id = only_run_of(engine, apps[line], "GET /plain")["run_id"]
    for token in ("", "a.b.c"):
        with pytest.raises(HTTPError) as refused:
            ask(f"{engine.url}/v1/http/runs/{run_id}/output?token={token}")
        assert refused.value.code == 401
        refused.value.close()


# --- requests that the engine makes ---------------------------------------------------------------------------------


@EITHER
def test_4_6_the_engine_fetches(engine: Served, apps: dict[str, Program], line: str) -> None:
    app, rest = apps[line], Engine(engine.url)
    (event_id,) = rest.send({"name": f"{app.name}/fetching", "data": {"url": at(app, "")}})
    output = rest.end_of(event_id)["output"]
    echoed = {"method": "PUT", "query": "?x=1", "a": "1", "body": "text"}
    assert output == {"one": [418, "2", echoed], "two": 204}


@EITHER
def test_4_6_the_engine_asks_a_model(engine: Served, apps: dict[str, Program], line: str) -> None:
    app, rest = apps[line], Engine(engine.url)
    (event_id,) = rest.send({"name": f"{app.name}/inferring", "data": {"url": at(app, "")}})
    run = rest.end_of(event_id)
    assert run["output"] == {"key": "Bearer key-of-the-tests", "body": {"messages": []}}
    assert len(app.lines("endpoints", what="asked")) == 1


# --- messages -------------------------------------------------------------------------------------------------------


async def in_python(engine: Served, *arguments: str) -> str:
    """Run the script that uses the Python SDK; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOM / "apps" / "python" / "messages.py"),
        *arguments,
        env={**os.environ, "INNGEST_DEV": engine.url},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode().strip()


@asynccontextmanager
async def listening(engine: Served) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Listen with a token that the SDK has got."""
    token = await in_python(engine, "token", "user:7", "chat")
    url = f"{engine.url}/v1/realtime/connect"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, params={"token": token}) as socket:
        await socket.send_json({"kind": "ping"})
        assert (await socket.receive_json(timeout=30))["kind"] == "pong"
        yield socket


def test_4_5_python_publishes(engine: Served) -> None:
    async def play() -> None:
        async with listening(engine) as socket:
            await in_python(engine, "publish", "user:7", "chat", '{"n": 1}')
            message = await socket.receive_json(timeout=30)
            assert (message["kind"], message["channel"], message["topic"]) == ("data", "user:7", "chat")
            assert message["data"] == {"n": 1}

    asyncio.run(play())


def test_4_5_typescript_publishes(engine: Served, apps: dict[str, Program]) -> None:
    app, rest = apps["typescript4"], Engine(engine.url)

    async def play() -> list[Any]:
        async with listening(engine) as socket:
            sent = rest.send({"name": f"{app.name}/telling", "data": {}})
            told = [await socket.receive_json(timeout=60) for _ in range(2)]
            assert {message["run_id"] for message in told[:1]} == {rest.run_of(sent[0])["run_id"]}
            return [message["data"] for message in told]

    assert asyncio.run(play()) == [{"by": "step"}, "by the client"]
