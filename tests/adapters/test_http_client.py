"""The HTTP client on real sockets. Goal: limits hold, and it is known whether anything was sent."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

from headrace.adapters.http_client import HttpAnswer, HttpClient, NoAnswer, NotReached
from headrace.errors import BadRequest
from headrace.functions.targets import check_target

Use = Callable[[HttpClient, str], Awaitable[Any]]


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(
        body=request.method.encode() + b" " + body, headers={"X-Seen": request.headers.get("X-Own", "")}
    )


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]), headers={"Location": "/echo"})


async def in_circles(request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": "/circle"})


async def packed(request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"})


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def cut_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def run(use: Use, check: Any = None) -> Any:
    async def main() -> Any:
        app = web.Application()
        app.router.add_route("*", "/echo", echo)
        app.router.add_route("*", "/to/{status}", redirect)
        app.router.add_route("*", "/circle", in_circles)
        app.router.add_route("*", "/packed", packed)
        app.router.add_route("*", "/slow", slow)
        app.router.add_route("*", "/cut", cut_off)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        port = server.sockets[0].getsockname()[1]
        client = HttpClient(check)
        try:
            return await use(client, f"http://127.0.0.1:{port}")
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(main())


async def post(client: HttpClient, url: str, *, timeout_s: float = 5, bytes_max: int = 1_000_000) -> HttpAnswer:
    return await client.request("POST", url, {"x-own": "1"}, b"body", timeout_s=timeout_s, bytes_max=bytes_max)


def test_a_request_is_answered_with_status_headers_and_body() -> None:
    answer = run(lambda client, url: post(client, f"{url}/echo"))
    assert (answer.status, answer.headers["x-seen"], answer.body) == (200, "1", b"POST body")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_method_and_body(status: int) -> None:
    assert run(lambda client, url: post(client, f"{url}/to/{status}")).body == b"POST body"


def test_redirects_without_end_are_no_answer() -> None:
    with pytest.raises(NoAnswer) as told:
        run(lambda client, url: post(client, f"{url}/circle"))
    assert told.value.name == "TooManyRedirects"


def test_redirects_may_be_left_to_the_caller() -> None:
    async def use(client: HttpClient, url: str) -> HttpAnswer:
        return await client.request("GET", f"{url}/to/302", {}, None, timeout_s=5, bytes_max=100, follow=False)

    assert run(use).status == 302


def test_a_packed_body_is_unpacked_and_bounded_as_unpacked() -> None:
    assert len(run(lambda client, url: post(client, f"{url}/packed")).body) == 100_000
    assert len(run(lambda client, url: post(client, f"{url}/packed", bytes_max=50_000)).body) == 50_001


def test_who_does_not_answer_in_time_may_have_got_the_request() -> None:
    with pytest.raises(NoAnswer) as told:
        run(lambda client, url: post(client, f"{url}/slow", timeout_s=0.2))
    assert told.value.name == "Timeout"


def test_a_connection_that_ends_may_have_carried_the_request() -> None:
    with pytest.raises(NoAnswer) as told:
        run(lambda client, url: post(client, f"{url}/cut"))
    assert told.value.name == "ConnectionLost"


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(NotReached, match=r"127\.0\.0\.1"):
            run(lambda client, url: post(client, f"http://127.0.0.1:{port}/?key=secret"))


def test_what_is_secret_in_an_address_is_not_told() -> None:
    with pytest.raises(NotReached) as told:
        run(lambda client, url: post(client, "http://127.0.0.1:1/hook?key=secret"))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_target_that_is_refused_is_never_connected_to(host: str) -> None:
    def check(name: str, addresses: Sequence[str]) -> None:
        written = f"[{name}]" if ":" in name else name
        check_target(f"http://{written}", addresses, allow_private=False)

    async def use(client: HttpClient, url: str) -> HttpAnswer:
        return await post(client, f"http://{host}:{url.rpartition(':')[2]}/echo")

    with pytest.raises(BadRequest) as told:
        run(use, check)
    assert told.value.code == "target_private"
