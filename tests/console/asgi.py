"""Calls an ASGI application without a server: one request, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message


@dataclass
class Answer:
    """What the application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        """Decode the body as text."""
        return self.body.decode()


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] = b"",
    root_path: str = "",
    server: str = "127.0.0.1",
) -> Answer:
    """Send a request to the address `server`; `body` may come in chunks. The Host header is localhost by itself."""
    path, _, query = path.partition("?")
    given = {"host": "localhost:8288", **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root_path + path,
        "raw_path": (root_path + path).encode(),
        "root_path": root_path,
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 50_000),
        "server": (server, 8288),
        "state": {},
    }
    chunks = [body] if isinstance(body, bytes) else list(body)
    incoming: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]
    outgoing: list[Message] = []

    async def receive() -> Message:
        if incoming:
            return incoming.pop(0)
        await asyncio.Event().wait()  # the client stays and says nothing
        raise AssertionError("never set")

    async def send(message: Message) -> None:
        outgoing.append(message)

    await app(scope, receive, send)
    start = next(message for message in outgoing if message["type"] == "http.response.start")
    return Answer(
        start["status"],
        {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in outgoing if message["type"] == "http.response.body"),
    )


def ask(app: ASGIApp, method: str, path: str, **more: Any) -> Answer:
    """Send a request from a test that is not asynchronous."""
    return asyncio.run(call(app, method, path, **more))
