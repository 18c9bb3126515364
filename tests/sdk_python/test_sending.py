"""Sending events from a user's program, over real HTTP."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

import headrace.app
from headrace import App, Event
from headrace.errors import BadRequest, NotReady
from tests.sdk_python.sending_server import fake_node

Send = Callable[[App, Any], list[str]]


def by_async(app: App, events: Any) -> list[str]:
    return asyncio.run(app.send(events))


def by_sync(app: App, events: Any) -> list[str]:
    return app.send_sync(events)


@pytest.fixture(params=[by_async, by_sync])
def send(request: pytest.FixtureRequest) -> Send:
    """Every test runs for both ways."""
    way: Send = request.param
    return way


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headrace.app, "FIRST_PAUSE_S", 0.001)


def test_one_event_or_several(send: Send) -> None:
    with fake_node() as node:
        app = App("shop", base_url=node.url + "/")
        assert send(app, {"name": "order/created", "data": {"n": 1}}) == ["id-1"]
        assert send(app, [Event("a/b", {"n": 2}, id="mine"), {"name": "a/c", "data": {"n": 3}}]) == ["id-2", "id-3"]
        first, second = node.requests
        assert first.path == "/e/dev"
        assert first.events == [{"name": "order/created", "data": {"n": 1}}]
        assert first.key is None
        assert first.headers["content-type"] == "application/json"
        assert second.events[0] == {"name": "a/b", "data": {"n": 2}, "id": "mine"}
        assert re.fullmatch(r"\d{13},[A-Za-z0-9+/]{14}==", first.seed)
        assert first.seed != second.seed


def test_nothing_to_send(send: Send) -> None:
    assert send(App("shop"), []) == []


def test_one_request_for_each_key_and_the_ids_in_the_order_of_the_events(send: Send) -> None:
    events = [Event("x", {"n": n}, key=key) for n, key in enumerate(["a", None, "größe", "a", None])]
    with fake_node() as node:
        assert send(App("shop", base_url=node.url), events) == [f"id-{n}" for n in range(5)]
        assert [(request.key, [event["data"]["n"] for event in request.events]) for request in node.requests] == [
            ("a", [0, 3]),
            (None, [1, 4]),
            ("größe", [2]),
        ]
        assert len({request.seed for request in node.requests}) == 3
        assert all("key" not in event for request in node.requests for event in request.events)


def test_many_events_travel_in_several_requests(send: Send) -> None:
    with fake_node() as node:
        ids = send(App("shop", base_url=node.url), [Event("x", {"n": n}) for n in range(2_500)])
        assert ids == [f"id-{n}" for n in range(2_500)]
        assert [len(request.events) for request in node.requests] == [1_000, 1_000, 500]


@pytest.mark.parametrize("answer", [(500, None), (503, {"error": "kafka_unavailable"}), None])
def test_tried_again_with_the_same_seed(send: Send, answer: Any) -> None:
    with fake_node(answer, answer) as node:
        assert send(App("shop", base_url=node.url), Event("x", {"n": 1})) == ["id-1"]
        assert len(node.requests) == 3
        assert len({request.seed for request in node.requests}) == 1


def test_given_up_after_five_tries(send: Send) -> None:
    with fake_node(*[(500, None)] * 9) as node:
        with pytest.raises(NotReady) as caught:
            send(App("shop", base_url=node.url, event_key="secret"), Event("x"))
        assert len(node.requests) == 5
        assert caught.value.code == "node_out_of_reach"
        assert node.url in caught.value.what
        assert "secret" not in str(caught.value)
        assert caught.value.why
        assert caught.value.do


def test_nobody_listens(send: Send) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(NotReady, match="cannot be reached"):
            send(App("shop", base_url=f"http://127.0.0.1:{port}"), Event("x"))


def test_what_the_node_refuses_is_not_tried_again(send: Send) -> None:
    refusal = {
        "ids": [],
        "status": 401,
        "error": "Event key not found",
        "code": "event_key_unknown",
        "explanation": "because",
        "action": "check the key",
    }
    with fake_node((401, refusal)) as node:
        with pytest.raises(BadRequest) as caught:
            send(App("shop", base_url=node.url, event_key="a/b"), Event("x"))
        error = caught.value
        assert (error.code, error.status, error.why, error.do) == (
            "event_key_unknown",
            401,
            "because",
            "check the key",
        )
        assert "Event key not found" in error.what
        (request,) = node.requests
        assert request.path == "/e/a%2Fb"


def test_an_answer_that_is_none_is_refused(send: Send) -> None:
    with fake_node((200, None)) as node, pytest.raises(BadRequest):
        send(App("shop", base_url=node.url), Event("x"))
    with fake_node((200, {"ids": [], "status": 200})) as node, pytest.raises(BadRequest):
        send(App("shop", base_url=node.url), Event("x"))


@pytest.mark.parametrize(
    "event", [{"name": ""}, {"name": "inngest/x"}, Event("x", {"f": object()}), Event("x", key="a\nb"), 7]
)
def test_what_is_no_event_is_not_sent(send: Send, event: Any) -> None:
    with fake_node() as node:
        with pytest.raises(BadRequest):
            send(App("shop", base_url=node.url), [Event("fine", {"n": 1}), event])
        assert node.requests == []


def test_the_environment_names_the_node(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_node() as node:
        monkeypatch.setenv("HEADRACE_URL", node.url)
        assert send(App("shop"), Event("x", {"n": 1})) == ["id-1"]
