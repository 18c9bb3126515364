"""An app that speaks the protocol and nothing else: it answers as scripts say, and keeps every call."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from tests.sdk.wire.scripts import Answer, Call, Reply, Script


class FakeApp:
    """One app on a port; functions are known by their full ids."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.scripts: dict[str, Script] = {}
        self.paths: dict[str, Answer] = {}  # what other paths answer: other people's servers
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def calls(self, function: str) -> list[Call]:
        """List the calls of a function so far, in the order in which they came."""
        with self._lock:
            return [call for call in self._calls if call.query.get("fnId") == function]

    def others(self, path: str) -> list[Call]:
        """List what came on another path than that of the functions."""
        with self._lock:
            return [call for call in self._calls if call.path == path and "fnId" not in call.query]

    def answer(self, call: Call) -> Reply:
        """Answer a call as its script says."""
        function = call.query.get("fnId", "")
        with self._lock:
            number = sum(1 for earlier in self._calls if earlier.query.get("fnId", "") == function)
            self._calls.append(call)
        if not function:
            given: Answer = self.paths.get(call.path, Reply(404, b"{}"))
        else:
            script = self.scripts[function]
            if script.each:
                given = script.answers[0]
            elif number < len(script.answers):
                given = script.answers[number]
            else:
                gone = {"name": "Error", "message": f"call {number + 1} was not expected"}
                given = Reply(400, json.dumps(gone).encode(), {"x-inngest-sdk": "js", "x-inngest-no-retry": "true"})
        return given if isinstance(given, Reply) else given(call)

    def config(self, name: str, script: Script) -> dict[str, Any]:
        """Write the registration of a function."""
        slug = f"{self.name}-{name}"
        runtime = {"type": "http", "url": f"{self.url}/api/inngest?fnId={quote(slug, safe='')}&stepId=step"}
        step = {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": script.retries}}
        plain = {"id": slug, "name": name, "triggers": [{"event": f"{self.name}/{name}"}], "steps": {"step": step}}
        return {**plain, **script.config}

    def registration(self, scripts: dict[str, Script]) -> dict[str, Any]:
        """Write the registration of the app with all its functions."""
        self.scripts.update({f"{self.name}-{name}": script for name, script in scripts.items()})
        return {
            "url": f"{self.url}/api/inngest",
            "deployType": "ping",
            "framework": "express",
            "appName": self.name,
            "sdk": "js:v4.18.1",
            "v": "0.1",
            "capabilities": {"trust_probe": "v1"},
            "functions": [self.config(name, script) for name, script in scripts.items()],
        }


@contextmanager
def fake_app(name: str, port: int = 0) -> Iterator[FakeApp]:
    """Start an app; its calls are answered by threads of their own."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.command, parts.path, dict(parse_qsl(parts.query)), headers, raw, time.time())
            reply = app.answer(call)
            if reply.after_s:
                over.wait(reply.after_s)
            if reply.break_off:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for header, value in reply.headers.items():
                self.send_header(header, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = _serve

        def log_message(self, format: str, *arguments: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            return  # the engine has gone away: the test says so by itself

    over = threading.Event()
    with Server(("127.0.0.1", port), Door) as server:
        app = FakeApp(name, f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield app
        finally:
            over.set()
            server.shutdown()
            thread.join()
