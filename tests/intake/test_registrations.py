"""`POST /fn/register`. Goal: what an app has counts once it is on Kafka, only news is written, refusals are found."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from starlette.applications import Starlette

from headrace.functions.sdk_config import app_uuid
from headrace.intake.registrations import RegistrationRules, Registrations
from headrace.records.definitions import Backoff, Definition, EventTrigger, decode_definition
from tests.console.asgi import Answer, ask
from tests.intake.topic import URL, Topic, function, payload


def register(door: Registrations, body: bytes, **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(Starlette(routes=door.routes()), "POST", "/fn/register", body=body, headers=given)


def remove(door: Registrations, url: str) -> Answer:
    return ask(Starlette(routes=door.routes()), "DELETE", f"/fn/remove?url={url}")


def test_a_registration_stands_on_the_topic_when_it_is_answered() -> None:
    topic = Topic()
    answer = register(topic.registrations(), payload(function()), x_inngest_platform="vercel")
    told = answer.json()
    assert answer.status == 200
    assert (told["ok"], told["modified"], told["app_id"]) == (True, True, app_uuid("shop"))
    assert uuid.UUID(told["sync_id"])
    assert topic.written == [["shop-charge", "~app/shop"]]
    definition = decode_definition(topic.known[b"shop-charge"])
    assert (definition.app, definition.kind, definition.backoff) == ("shop", "sdk", Backoff("sdk"))
    app = topic.app("shop")
    assert (app.url, app.sdk, app.framework, app.platform) == (URL, "js:v4.18.1", "express", "vercel")
    assert (app.functions, app.syncs, app.synced_ms, app.error) == (["shop-charge"], 1, topic.clock.now_ms, "")
    assert [code for code, _ in topic.told] == ["app_synced"]


def test_what_is_known_already_is_not_written_again() -> None:
    topic = Topic()
    door = topic.registrations()
    register(door, payload(function()))
    again = register(door, payload(function(), featureObservations={"seen": 2}))
    assert (again.status, again.json()["modified"]) == (200, False)
    assert len(topic.written) == 1
    other_node = register(topic.registrations(), payload(function()))
    assert other_node.json()["modified"] is False
    assert len(topic.written) == 1


def test_functions_that_are_missing_are_removed_and_others_changed() -> None:
    topic = Topic(Definition("py-f", "py", "f", [EventTrigger("a")]))
    door = topic.registrations()
    register(door, payload(function("shop-a"), function("shop-b"), function("shop-c")))
    changed = function("shop-b", triggers=[{"event": "other"}])
    assert register(door, payload(function("shop-a"), changed)).json()["modified"] is True
    assert topic.written[-1] == ["shop-c", "shop-b", "~app/shop"]
    assert set(topic.known) == {b"py-f", b"shop-a", b"shop-b", b"~app/shop"}
    assert topic.app("shop").syncs == 2
    assert register(door, payload()).json()["modified"] is True
    assert set(topic.known) == {b"py-f", b"~app/shop"}


def test_a_retry_interval_changes_what_was_registered_before() -> None:
    topic = Topic()
    register(topic.registrations(), payload(function()))
    quick = topic.registrations(RegistrationRules(dev=True, retry_interval_ms=1_000))
    assert register(quick, payload(function())).json()["modified"] is True
    assert decode_definition(topic.known[b"shop-charge"]).backoff == Backoff("fixed", 1_000, 1_000, 0.0)


def test_an_app_that_python_code_declares_is_refused() -> None:
    topic = Topic(Definition("shop-f", "shop", "f", [EventTrigger("a")]))
    answer = register(topic.registrations(), payload(function()))
    assert (answer.status, answer.json()["code"]) == (409, "app_declared_in_python")
    assert answer.json()["action"]
    assert topic.written == []


def test_a_function_of_another_app_is_refused() -> None:
    topic = Topic()
    door = topic.registrations()
    register(door, payload(function("a-b-c"), app="a-b"))
    answer = register(door, payload(function("a-b-c"), app="a"))
    assert (answer.status, answer.json()["code"]) == (409, "function_of_another_app")
    assert decode_definition(topic.known[b"a-b-c"]).app == "a-b"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 400, "Invalid request"),
        (payload(function(), app=""), 400, "App ID required"),
        (payload(function(name="")), 400, "A function name is required"),
        (b" " * ((8 << 20) + 1), 413, "the body is larger"),
    ],
)
def test_nonsense_is_answered_and_told(body: bytes, status: int, error: str) -> None:
    topic = Topic()
    answer = register(topic.registrations(), body)
    told = answer.json()
    assert (answer.status, told["status"]) == (status, status)
    assert told["error"].startswith(error)
    assert topic.written == []
    ((code, sentence),) = topic.told
    assert code == "registration_refused"
    assert error in sentence


def test_the_same_nonsense_again_and_again_is_told_once_in_a_while() -> None:
    topic = Topic()
    door = topic.registrations()
    for _ in range(5):
        register(door, payload(function(name="")))
    assert len(topic.told) == 1
    topic.clock.now_ms += 10_000
    register(door, payload(function(name="")))
    assert topic.told[-1][1].endswith("A function name is required (and 4 more like it since)")


def test_why_an_app_was_refused_stands_with_it_until_it_registers() -> None:
    topic = Topic()
    door = topic.registrations()
    register(door, payload(function()))
    for _ in range(2):
        assert register(door, payload(function(name=""))).status == 400
    assert len(topic.written) == 2
    assert topic.app("shop").error == "A function name is required"
    assert topic.app("shop").functions == ["shop-charge"]
    assert register(door, payload(function())).json()["modified"] is True
    assert topic.app("shop").error == ""


def test_the_kind_of_server_that_an_app_expects_is_checked() -> None:
    topic = Topic()
    door = topic.registrations(RegistrationRules(dev=True))
    answer = register(door, payload(function()), x_inngest_expected_server_kind="cloud")
    assert (answer.status, answer.json()["error"]) == (400, "Expected server kind cloud, got dev")
    assert register(door, payload(function()), x_inngest_expected_server_kind="dev").status == 200


@pytest.mark.parametrize("where", ["app", "function"])
def test_private_addresses_are_refused_in_production_unless_they_are_allowed(where: str) -> None:
    public, private = "https://shop.example/x", "http://10.0.0.7/x"
    body = payload(function(url=private if where == "function" else public), url=private if where == "app" else public)
    topic = Topic()
    answer = register(topic.registrations(RegistrationRules(allow_private=False)), body)
    assert (answer.status, answer.json()["code"]) == (400, "app_address_private")
    assert "HEADRACE_ALLOW_PRIVATE_APPS=1" in answer.json()["action"]
    assert topic.written == []
    assert register(topic.registrations(), body).status == 200


def test_without_kafka_nothing_counts() -> None:
    topic = Topic()
    topic.up = False
    answer = register(topic.registrations(), payload(function()))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    topic.up = True
    assert register(topic.registrations(), payload(function())).json()["modified"] is True


def test_a_node_that_has_read_nothing_yet_waits() -> None:
    topic = Topic()
    looks: list[bool] = [False, False, True]
    door = Registrations(lambda: dict(topic.known), topic.write, topic.clock, topic.tell, is_read=lambda: looks.pop(0))
    assert register(door, payload(function())).status == 200
    assert looks == []


def test_two_at_once_are_taken_one_after_the_other() -> None:
    topic = Topic()
    door = topic.registrations()

    async def play() -> list[bool]:
        both = await asyncio.gather(door.take(payload(function())), door.take(payload(function())))
        return [one.modified for one in both]

    assert asyncio.run(play()) == [True, False]


def test_an_app_is_removed_by_its_address_and_comes_back() -> None:
    topic = Topic()
    door = topic.registrations()
    body: Any = payload(function("shop-a"), function("shop-b"))
    register(door, body)
    assert remove(door, "http://127.0.0.1:3000/api/inngest").status == 200
    assert set(topic.known) == {b"~app/shop"}
    assert (topic.app("shop").removed, topic.app("shop").functions) == (True, [])
    again = remove(door, URL)
    assert (again.status, again.json()["error"]) == (404, f"App not found: {URL}")
    assert register(door, body).json()["modified"] is True
    assert not topic.app("shop").removed
