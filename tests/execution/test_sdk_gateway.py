"""Requests that the engine makes for SDKs' functions. Goal: what is sent and recorded is what the protocol says.

Real servers on this machine answer. Keys are looked for in everything that is shown or kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
from aiohttp import web

from headrace.adapters.http_client import HttpClient
from headrace.adapters.system_clock import SystemClock
from headrace.execution.sdk.gateway import ANSWER_BYTES_MAX, GatewayOutcome, perform_gateway
from headrace.execution.sdk.http_caller import HttpCaller
from headrace.execution.sdk.seams import Answer
from headrace.functions.targets import check_target

KEY = "sk-very-secret-0123456789"
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen:
    """What arrived at a server."""

    def __init__(self) -> None:
        self.method = ""
        self.path = ""
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.count = 0

    async def note(self, request: web.Request) -> None:
        """Note a request."""
        self.count += 1
        self.method = request.method
        self.path = request.path_qs
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body = await request.read()


async def serving(handle: Handle) -> tuple[web.AppRunner, str]:
    app = web.Application(client_max_size=16 << 20)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def perform(op: str, opts: Mapping[str, Any], handle: Handle, *, allow_private: bool = True) -> GatewayOutcome:
    """Perform an operation; "{url}" in its URL is the server."""

    async def run() -> GatewayOutcome:
        runner, url = await serving(handle)
        check = (
            None if allow_private else lambda host, found: check_target(f"http://{host}", found, allow_private=False)
        )
        client = HttpClient(check)
        try:
            given = {**opts, "url": opts["url"].replace("{url}", url)} if "url" in opts else opts
            return await perform_gateway(op, given, HttpCaller(client, SystemClock()).ask)
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(run())


def answering(seen: Seen, status: int = 200, body: str | bytes = b'{"ok":true}', **headers: str) -> Handle:
    async def handle(request: web.Request) -> web.StreamResponse:
        await seen.note(request)
        content = body.encode() if isinstance(body, str) else body
        return web.Response(
            status=status, body=content, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return handle


def infer(**more: Any) -> dict[str, Any]:
    return {
        "type": "step.ai.infer",
        "url": "{url}/v1/chat?a=1",
        "headers": {"x-team": "blue"},
        "auth_key": KEY,
        "format": "openai-chat",
        "body": {"model": "m", "messages": [{"role": "user", "content": "é"}]},
        **more,
    }


# --- AI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "name", "value", "path"),
    [
        ("openai-chat", "authorization", f"Bearer {KEY}", "/v1/chat?a=1"),
        ("azure-openai", "authorization", f"Bearer {KEY}", "/v1/chat?a=1"),
        ("", "authorization", f"Bearer {KEY}", "/v1/chat?a=1"),
        ("anthropic", "x-api-key", KEY, "/v1/chat?a=1"),
        ("bedrock", "authorization", KEY, "/v1/chat?a=1"),
        ("gemini", "", "", f"/v1/chat?a=1&key={KEY}"),
    ],
)
def test_the_key_is_where_the_provider_looks_for_it(style: str, name: str, value: str, path: str) -> None:
    seen = Seen()
    output, failure = perform("AIGateway", infer(format=style), answering(seen, body='{"id":"x","n":1.50}'))
    assert failure is None
    assert output == b'{"id":"x","n":1.50}'
    assert (seen.method, seen.path) == ("POST", path)
    assert msgspec.json.decode(seen.body) == infer()["body"]
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-team"] == "blue"
    carried = {header: text for header, text in seen.headers.items() if KEY in text}
    assert carried == ({name: value} if name else {})


def test_the_key_of_the_python_sdk_is_in_the_url_once() -> None:
    seen = Seen()
    perform("aigateway", infer(format="gemini", url="{url}/v1?key=" + KEY), answering(seen))
    assert seen.path == f"/v1?key={KEY}"


def test_headers_of_the_step_come_before_ours() -> None:
    seen = Seen()
    headers = {"Authorization": "Custom 1", "Content-Type": "application/x-ndjson", "Host": "elsewhere", "x-none": None}
    perform("AIGateway", infer(headers=headers), answering(seen))
    assert seen.headers["authorization"] == "Custom 1"
    assert seen.headers["content-type"] == "application/x-ndjson"
    assert seen.headers["host"].startswith("127.0.0.1")
    assert "x-none" not in seen.headers


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, f'{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}'),
        (429, '{"error":"slow down"}'),
        (500, f"<html>no JSON {KEY}</html>"),
        (503, ""),
        (200, "<html>no JSON</html>"),
        (200, '{"a":1'),
        (204, ""),
    ],
)
def test_what_did_not_go_well_is_a_failed_attempt(status: int, body: str) -> None:
    output, failure = perform("AIGateway", infer(), answering(Seen(), status, body))
    assert output is None
    assert failure is not None
    assert (failure.name, failure.retriable) == ("AIGatewayError", True)
    if status > 299:
        assert failure.message == f"Error making AI request: unsuccessful status code: {status}"
    assert KEY not in repr(failure)
    data = msgspec.json.decode(failure.more)["data"]
    if status == 429:
        assert data == {"error": "slow down"}
        assert failure.stack == body
    if status == 500:
        assert data == "<html>no JSON [hidden]</html>"


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"retry_after": "7"}, 7_000),
        ({"retry_after": "0"}, 1_000),
        ({"retry_after": "9999999"}, 86_400_000),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 30_000),
        ({"retry_after": "soon"}, -1),
        ({}, -1),
    ],
)
def test_the_provider_may_say_when_to_try_again(headers: dict[str, str], wait_ms: int) -> None:
    _, failure = perform("AIGateway", infer(), answering(Seen(), 429, "{}", **headers))
    assert failure is not None
    assert failure.retry_after_ms == wait_ms


# --- fetch --------------------------------------------------------------------------------------------------------


def fetched(outcome: GatewayOutcome) -> dict[str, Any]:
    assert outcome.failure is None
    assert outcome.output is not None
    told = msgspec.json.decode(outcome.output)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize("status", [200, 201, 404, 500])
def test_any_answer_is_the_result_of_a_fetch(status: int) -> None:
    seen = Seen()
    opts = {"url": "{url}/a?b=c", "method": "put", "headers": {"X-A": "1"}, "body": "héllo"}
    told = fetched(perform("Gateway", opts, answering(seen, status, "wörld", x_b="2")))
    assert (seen.method, seen.path, seen.body) == ("PUT", "/a?b=c", "héllo".encode())
    assert seen.headers["x-a"] == "1"
    assert seen.headers["content-type"] == "text/plain;charset=UTF-8"
    assert told["status_code"] == status
    assert told["body"] == "wörld"
    assert told["url"].endswith("/a?b=c")
    assert told["headers"]["x-b"] == "2"
    assert set(told) == {"url", "headers", "body", "status_code"}


def test_a_fetch_is_a_post_unless_it_says_otherwise() -> None:
    seen = Seen()
    fetched(perform("GATEWAY", {"url": "{url}/"}, answering(seen)))
    assert (seen.method, seen.body) == ("POST", b"")
    fetched(perform("Gateway", {"url": "{url}/", "method": "GET", "body": None}, answering(seen)))
    assert (seen.method, seen.body) == ("GET", b"")
    fetched(perform("Gateway", {"url": "{url}/", "body": {"a": [1]}}, answering(seen)))
    assert msgspec.json.decode(seen.body) == {"a": [1]}


def test_an_answer_without_a_body_has_none() -> None:
    # JavaScript's Response refuses a text for these, even an empty one.
    assert fetched(perform("Gateway", {"url": "{url}/"}, answering(Seen(), 204, b"")))["body"] is None
    assert fetched(perform("Gateway", {"url": "{url}/"}, answering(Seen(), 200, b"")))["body"] == ""


def test_text_is_read_as_its_server_says() -> None:
    handle = answering(Seen(), 200, "schön".encode("latin-1"), content_type="text/plain; charset=ISO-8859-1")
    assert fetched(perform("Gateway", {"url": "{url}/"}, handle))["body"] == "schön"
    handle = answering(Seen(), 200, b"\xff", content_type="text/plain; charset=nonsense")
    assert fetched(perform("Gateway", {"url": "{url}/"}, handle))["body"] == "�"


@pytest.mark.parametrize(
    ("status", "method", "then", "with_body"),
    [(302, "POST", "GET", False), (303, "PUT", "GET", False), (307, "POST", "POST", True), (301, "PUT", "PUT", True)],
)
def test_redirects_are_followed_as_fetch_does(status: int, method: str, then: str, with_body: bool) -> None:
    seen = Seen()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/first":
            return web.Response(status=status, headers={"location": "/second"})
        await seen.note(request)
        return web.Response(text="there")

    opts = {"url": "{url}/first", "method": method, "body": "b", "headers": {"authorization": "Bearer abcdef"}}
    assert fetched(perform("Gateway", opts, handle))["body"] == "there"
    assert (seen.method, seen.path, seen.body) == (then, "/second", b"b" if with_body else b"")
    assert seen.headers["authorization"] == "Bearer abcdef"  # the same site


@pytest.mark.parametrize(("op", "opts"), [("AIGateway", infer()), ("Gateway", {"headers": {"X-Api-Key": KEY}})])
def test_secrets_do_not_follow_to_another_site(op: str, opts: dict[str, Any]) -> None:
    seen = Seen()

    async def run() -> GatewayOutcome:
        there, other = await serving(answering(seen))

        async def redirect(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"location": f"{other}/stolen"})

        here, url = await serving(redirect)
        client = HttpClient()
        try:
            return await perform_gateway(op, {**opts, "url": url}, HttpCaller(client, SystemClock()).ask)
        finally:
            await client.close()
            await here.cleanup()
            await there.cleanup()

    assert asyncio.run(run()).failure is None
    assert seen.path == "/stolen"
    assert not [name for name, value in seen.headers.items() if KEY in value]


def test_redirects_end() -> None:
    seen = Seen()

    async def handle(request: web.Request) -> web.StreamResponse:
        await seen.note(request)
        return web.Response(status=302, headers={"location": "/again"})

    _, failure = perform("Gateway", {"url": "{url}/", "method": "GET"}, handle)
    assert failure is not None
    assert "redirected" in failure.message
    assert failure.retriable
    assert seen.count == 21


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opts",
    [
        {},
        {"url": ""},
        {"url": 7},
        {"url": "file:///etc/passwd"},
        {"url": "{url}/", "method": "CONNECT"},
        {"url": "{url}/", "headers": ["a"]},
        {"url": "{url}/", "headers": {"a b": "1"}},
        {"url": "{url}/", "headers": {"a": "1\r\nx-injected: 2"}},
    ],
)
def test_options_without_sense_fail_at_once(opts: dict[str, Any]) -> None:
    seen = Seen()
    given = dict(opts)
    if not isinstance(given.get("url", ""), str):
        outcome = asyncio.run(perform_gateway("Gateway", given, HttpCaller(HttpClient(), SystemClock()).ask))
    else:
        outcome = perform("Gateway", given, answering(seen))
    assert outcome.failure is not None
    assert (outcome.failure.name, outcome.failure.retriable) == ("GatewayError", False)
    assert seen.count == 0


@pytest.mark.parametrize("op", ["Gateway", "AIGateway"])
def test_who_is_not_there_is_a_failed_attempt(op: str) -> None:
    async def run() -> GatewayOutcome:
        runner, url = await serving(answering(Seen()))
        await runner.cleanup()
        client = HttpClient()
        try:
            opts = {"url": f"{url}/?api_key={KEY}", "auth_key": KEY}
            return await perform_gateway(op, opts, HttpCaller(client, SystemClock()).ask)
        finally:
            await client.close()

    failure = asyncio.run(run()).failure
    assert failure is not None
    assert (failure.name, failure.retriable) == (f"{op}Error", True)
    assert "127.0.0.1" in failure.message
    assert KEY not in repr(failure)


def test_an_answer_that_breaks_off_is_a_failed_attempt() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    _, failure = perform("Gateway", {"url": "{url}/"}, handle)
    assert failure is not None
    assert (failure.name, failure.retriable) == ("GatewayError", True)


def test_an_answer_has_a_limit() -> None:
    _, failure = perform("Gateway", {"url": "{url}/"}, answering(Seen(), 200, b"x" * (ANSWER_BYTES_MAX + 1)))
    assert failure is not None
    assert str(ANSWER_BYTES_MAX) in failure.message
    assert fetched(perform("Gateway", {"url": "{url}/"}, answering(Seen(), 200, b"x" * 1_000)))["body"] == "x" * 1_000


@pytest.mark.parametrize("op", ["Gateway", "AIGateway"])
def test_private_targets_are_refused_where_they_must_be(op: str) -> None:
    seen = Seen()
    outcome = perform(op, {"url": "{url}/", "body": "{}"}, answering(seen), allow_private=False)
    assert outcome.failure is not None
    assert not outcome.failure.retriable
    assert "this very machine" in outcome.failure.message
    assert seen.count == 0


def test_a_redirect_to_a_private_target_is_refused() -> None:
    asked: list[str] = []

    async def ask(method: str, url: str, headers: Any, body: bytes, *, timeout_s: float, bytes_max: int) -> Answer:
        asked.append(url)
        check_target(url, [], allow_private=False)
        return Answer(302, {"location": "http://169.254.169.254/latest/meta-data/"}, b"")

    outcome = asyncio.run(perform_gateway("Gateway", {"url": "https://shop.example.com/"}, ask))
    assert outcome.failure is not None
    assert not outcome.failure.retriable
    assert "credentials" in outcome.failure.message
    assert asked == ["https://shop.example.com/", "http://169.254.169.254/latest/meta-data/"]
