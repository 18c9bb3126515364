"""Section 2: apps make themselves known. Goal: lenient in what is read, strict in what is refused, in force at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest

from tests.cli.served import Served
from tests.sdk.conftest import dev
from tests.sdk.play import Engine
from tests.sdk.programs import ask, await_that, open_url
from tests.sdk.wire.fake_app import FakeApp, fake_app
from tests.sdk.wire.scripts import SDK, Call, Reply, Script, done
from tests.sdk.wire.test_events import post


def register(engine: Served, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """Send a registration."""
    return post(engine, body, "/fn/register", **headers)


def functions(engine: Served, app: str) -> list[str]:
    """List the functions of an app, by the page that the SDKs' tools read."""
    known = ask(f"{engine.url}/dev")["functions"]
    return sorted(row["id"] if "slug" not in row else row["slug"] for row in known if app in json.dumps(row))


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Any:
    """Give an app of the test's own, with one function."""
    with fake_app(f"sync-{abs(hash(request.node.name)) % 10**8}") as running:
        yield running


def one(app: FakeApp, *names: str, **config: Any) -> dict[str, Any]:
    """Write the registration of an app whose functions return at once."""
    script = Script((lambda call: done("ran"),), each=True, config=config)
    return app.registration(dict.fromkeys(names or ("only",), script))


def test_2_3_a_registration_is_in_force_when_it_is_answered(engine: Served, app: FakeApp) -> None:
    status, answer = register(engine, one(app))
    assert (status, answer["ok"], answer["modified"]) == (200, True, True)
    assert answer["app_id"]
    rest = Engine(engine.url)
    assert rest.end_of(rest.send({"name": f"{app.name}/only", "data": {}})[0])["output"] == "ran"


def test_2_3_the_same_registration_again_modifies_nothing(engine: Served, app: FakeApp) -> None:
    register(engine, one(app))
    status, answer = register(engine, one(app))
    assert (status, answer["ok"], answer["modified"]) == (200, True, False)


def test_2_3_keys_are_read_in_any_case_and_unknown_ones_ignored(engine: Served, app: FakeApp) -> None:
    body = one(app)
    body["appname"], body["deploy_type"] = body.pop("appName"), body.pop("deployType")
    body["functions"][0] |= {"checkpoint": {"x": 1}, "modelName": None, "rateLimit": None, "NAME": "Only"}
    assert register(engine, {**body, "featureObservations": {}, "headers": {}})[0] == 200
    rest = Engine(engine.url)
    assert rest.end_of(rest.send({"name": f"{app.name}/only", "data": {}})[0])["output"] == "ran"


def test_2_3_functions_that_are_missing_start_no_more(engine: Served, app: FakeApp) -> None:
    register(engine, one(app, "stays", "goes"))
    register(engine, one(app, "stays"))
    rest = Engine(engine.url)
    gone, stays = rest.send({"name": f"{app.name}/goes", "data": {}}, {"name": f"{app.name}/stays", "data": {}})
    assert rest.end_of(stays)["output"] == "ran"
    rest.end_of(rest.send({"name": f"{app.name}/stays", "data": {}})[0])
    assert rest.runs_of(gone) == []


def test_2_3_an_app_without_functions_is_no_error(engine: Served, app: FakeApp) -> None:
    assert register(engine, {**one(app), "functions": []})[0] == 200


NONSENSE: dict[str, dict[str, Any]] = {
    "no name": {"name": ""},
    "two steps": {"steps": {"a": {}, "b": {}}},
    "eleven triggers": {"triggers": [{"event": f"x/{number}"} for number in range(11)]},
    "a trigger of both kinds": {"triggers": [{"event": "x", "cron": "* * * * *"}]},
    "a cron line that is none": {"triggers": [{"cron": "every day"}]},
    "a condition that is none": {"triggers": [{"event": "x", "expression": "event.data.("}]},
    "the same trigger twice": {"triggers": [{"event": "x"}, {"event": "x"}]},
    "three limits": {"concurrency": [{"limit": 1}, {"limit": 2}, {"limit": 3}]},
    "env without key": {"concurrency": [{"limit": 1, "scope": "env"}]},
    "a throttle of milliseconds": {"throttle": {"limit": 1, "period": "10ms"}},
    "a rate of two days": {"rateLimit": {"limit": 1, "period": "48h"}},
    "a rate of nothing": {"rateLimit": {"limit": 0, "period": "1h"}},
    "a debounce of eight days": {"debounce": {"period": "8d"}},
    "a batch of one": {"batchEvents": {"maxSize": 1, "timeout": "5s"}},
    "a batch in days": {"batchEvents": {"maxSize": 5, "timeout": "1d"}},
    "a mode that is none": {"singleton": {"mode": "wait"}},
    "six cancellations": {"cancel": [{"event": f"x/{number}"} for number in range(6)]},
    "macros in a cancellation": {"cancel": [{"event": "x", "if": "event.data.all(x, x)"}]},
}


@pytest.mark.parametrize("what", NONSENSE)
def test_2_3_nonsense_is_refused_and_says_why(engine: Served, app: FakeApp, what: str) -> None:
    status, answer = register(engine, one(app, **NONSENSE[what]))
    assert (status, answer["status"]) == (400, 400)
    assert isinstance(answer["error"], str)
    assert answer["error"]


BATCH = {"batchEvents": {"maxSize": 5, "timeout": "5s"}}


@pytest.mark.parametrize(
    "more", [{"cancel": [{"event": "x"}]}, {"debounce": {"period": "5s"}}, {"priority": {"run": "1"}}], ids=str
)
def test_2_3_combinations_that_others_refuse_are_legal(engine: Served, app: FakeApp, more: dict[str, Any]) -> None:
    assert register(engine, one(app, **BATCH, **more))[0] == 200


def test_2_3_an_app_must_have_a_name(engine: Served, app: FakeApp) -> None:
    status, answer = register(engine, {**one(app), "appName": ""})
    assert status == 400
    assert "App ID required" in answer["error"] or "app" in answer["error"].lower()


def test_2_3_what_is_no_json_is_refused_in_json(engine: Served) -> None:
    for body in (b"", b"{", b"[]", b'"text"'):
        status, answer = register(engine, body)
        assert (status, bool(answer["error"])) == (400, True)


def test_2_3_the_kind_of_server_that_the_app_expects(engine: Served, app: FakeApp) -> None:
    status, answer = register(engine, one(app), **{"x-inngest-expected-server-kind": "cloud"})
    assert status == 400
    assert answer["error"].startswith("Expected server kind")
    assert register(engine, one(app), **{"x-inngest-expected-server-kind": "dev"})[0] == 200


def test_0_every_answer_names_the_kind_of_server(engine: Served) -> None:
    for path in ("/dev", "/health"):
        with open_url(f"{engine.url}{path}", timeout=10) as answer:
            assert answer.headers["x-inngest-server-kind"] == "dev"


def test_2_6_health_and_dev_pages(engine: Served, app: FakeApp) -> None:
    register(engine, one(app))
    assert {"status": 200, "message": "OK"}.items() <= ask(f"{engine.url}/health").items()
    assert functions(engine, app.name)


def test_2_3_an_app_can_be_removed(engine: Served, app: FakeApp) -> None:
    register(engine, one(app))
    with open_url(_delete(f"{engine.url}/fn/remove?url={app.url}/api/inngest"), timeout=10) as answer:
        assert answer.status < 300
    await_that(lambda: not functions(engine, app.name), "its functions to be gone")


def _delete(url: str) -> Request:
    return Request(url, method="DELETE")


def test_2_2_the_engine_pokes_the_apps_that_it_is_told_of(kafka_bootstrap: str, tmp_path: Path) -> None:
    with fake_app("poked") as app:
        body = one(app)
        arguments = [*dev(kafka_bootstrap), "-u", f"{app.url}/api/inngest", "--poll-interval", "1"]
        with Served(tmp_path, *arguments) as engine:

            def poke(call: Call) -> Reply:
                assert call.method == "PUT"
                answer = ask(f"{engine.url}/fn/register", body)
                return Reply(200, json.dumps({"message": "ok", "modified": answer["modified"]}).encode(), SDK)

            app.paths["/api/inngest"] = poke
            pokes = await_that(lambda: app.others("/api/inngest")[2:], "three pokes")
            assert pokes[0].headers["x-inngest-server-kind"] == "dev"
            assert pokes[0].headers["content-type"] == "application/json"
            assert pokes[0].body["url"].rsplit(":")[-1] == f"{app.url}/api/inngest".rsplit(":")[-1]
            rest = Engine(engine.url)
            assert rest.end_of(rest.send({"name": "poked/only", "data": {}})[0])["output"] == "ran"
