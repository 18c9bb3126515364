"""An app of an SDK, pretended: it registers when it is asked to, and its functions answer at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

_open = build_opener(ProxyHandler({})).open
PATH = "/api/inngest"


class PretendedApp:
    """One app; `functions` may be changed while it runs. `asked` are the headers of the requests to register."""

    def __init__(self, port: int, server: str, name: str = "shop") -> None:
        self.port = port
        self.url = f"http://localhost:{port}{PATH}"
        self.server = server  # with which it registers
        self.name = name
        self.functions = {"charge": "cart/paid"}
        self.key = ""
        self.asked: list[dict[str, str]] = []
        self.answers: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def registration(self) -> dict[str, Any]:
        """Give what it registers."""
        return {
            "url": self.url,
            "deployType": "ping",
            "framework": "express",
            "appName": self.name,
            "sdk": "js:v4.18.1",
            "v": "0.1",
            "functions": [
                {
                    "id": f"{self.name}-{own}",
                    "name": own,
                    "triggers": [{"event": event}],
                    "steps": {"step": {"id": "step", "name": "step", "runtime": self._runtime(own)}},
                }
                for own, event in self.functions.items()
            ],
        }

    def _runtime(self, own: str) -> dict[str, str]:
        return {"type": "http", "url": f"{self.url}?fnId={self.name}-{own}&stepId=step"}

    def register(self) -> int:
        """Register; the status of the answer."""
        headers = {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        body = json.dumps(self.registration()).encode()
        try:
            with _open(Request(f"{self.server}/fn/register", body, headers, method="POST"), timeout=15) as answer:
                self.answers.append(json.loads(answer.read()))
                return int(answer.status)
        except HTTPError as refused:
            with refused:
                self.answers.append(json.loads(refused.read()))
            return refused.code


@contextmanager
def pretended_app(port: int, server: str, name: str = "shop") -> Iterator[PretendedApp]:
    """Serve an app on a port of loopback."""
    app = PretendedApp(port, server, name)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"mode": "dev"})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            app.asked.append({key.lower(): value for key, value in self.headers.items()})
            status = app.register()
            self._answer(status, {"message": app.answers[-1].get("error", "ok")})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            app.calls.append(self.path)
            self._answer(200, {"done": True})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.send_header("x-inngest-sdk", "inngest-js:v4.18.1")
            self.send_header("x-inngest-req-version", "2")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    served = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    try:
        yield app
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
