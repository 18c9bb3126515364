"""A node that answers as it is told, over real HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any] | None]


class Request:
    """One request that came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.events: list[dict[str, Any]] = json.loads(body)

    @property
    def key(self) -> str | None:
        text = self.headers.get("x-headrace-key")
        return None if text is None else text.encode("latin-1").decode()

    @property
    def seed(self) -> str:
        return self.headers["x-inngest-event-id-seed"]


class FakeNode:
    """Gives the answers in turn, then takes everything. None hangs up without an answer."""

    def __init__(self, answers: list[Answer | None]) -> None:
        self.answers = answers
        self.requests: list[Request] = []
        self.url = ""

    def answer(self, request: Request) -> Answer | None:
        self.requests.append(request)
        if self.answers:
            return self.answers.pop(0)
        return 200, {"ids": [f"id-{event['data']['n']}" for event in request.events], "status": 200}


@contextmanager
def fake_node(*answers: Answer | None) -> Iterator[FakeNode]:
    """Run a node until the block ends."""
    node = FakeNode(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            given = node.answer(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if given is None:
                self.close_connection = True
                return
            status, answer = given
            text = b"down" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        node.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield node
        finally:
            server.shutdown()
            thread.join()
