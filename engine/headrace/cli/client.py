"""Asks a running node over HTTP, for the commands that look from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import click

from headrace.cli.keys import Keys, is_loopback
from headrace.cli.options import DEFAULT_URL, file_settings
from headrace.errors import BadRequest, HeadraceError, LogUnavailable, NotReady
from headrace.version import __version__

_TIMEOUT_S = 30.0


class Client:
    """One node's HTTP API, as its address and its key."""

    def __init__(self, url: str, api_key: str = "", *, timeout_s: float = _TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._opener = _opener(self.url)

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """Ask for a path; query values that are None are left out. Returns the decoded answer."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(asked)}" if asked else path)

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Any:
        """Send JSON to a path; the decoded answer."""
        return self._ask("POST", path, json.dumps(body).encode(), headers)

    def delete(self, path: str) -> Any:
        """Delete what a path names; the decoded answer, None for an empty one."""
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        request = Request(self.url + path, body, method=method)
        request.add_header("accept", "application/json")
        request.add_header("user-agent", f"headrace-cli/{__version__}")
        if body is not None:
            request.add_header("content-type", "application/json")
        if self._api_key:
            request.add_header("authorization", f"Bearer {self._api_key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                content = answer.read()
        except HTTPError as answer:
            with answer:
                raise _refusal(answer.code, method, self.url + path, answer.read()) from None
        except (URLError, OSError, HTTPException) as problem:
            raise self._unreachable(problem) from None
        try:
            return json.loads(content) if content else None
        except ValueError:
            raise NotReady(
                "not_headrace",
                f"{self.url}{path} answers with something that is not JSON",
                why="another server seems to listen there",
                do="give the node's address with --url",
            ) from None

    def _unreachable(self, problem: Exception) -> HeadraceError:
        reason = problem.reason if isinstance(problem, URLError) else problem
        return LogUnavailable(
            "node_unreachable",
            f"no node answers at {self.url}",
            why=str(reason) or type(problem).__name__,
            do="start one (headrace dev app.py), or give its address with --url",
        )


def client_for(ctx: click.Context, url: str | None, api_key: str | None) -> Client:
    """Make the client of a command from its options, the environment and headrace.toml."""
    variables = file_settings(ctx).variables(ctx.info_name or "")
    if url is None:
        host, port = variables.get("HEADRACE_HOST", ""), variables.get("HEADRACE_PORT", "")
        # A node that listens everywhere is reached here.
        host = host if is_loopback(host) else "127.0.0.1"
        url = f"http://{host}:{port}" if port else DEFAULT_URL
    if "://" not in url:
        url = f"http://{url}"
    keys = Keys.load(variables).api
    return Client(url, api_key or (keys[0] if keys else ""))


def _opener(url: str) -> OpenerDirector:
    # A proxy of the environment is for the world outside, not for a node on this machine.
    host = urlsplit(url).hostname or ""
    return build_opener(ProxyHandler({})) if is_loopback(host) else build_opener()


def _refusal(status: int, method: str, url: str, content: bytes) -> HeadraceError:
    """Take the four parts out of an error's body, as far as they are there."""
    try:
        body = json.loads(content)
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    said = body.get("error") or body.get("message") or content.decode("utf-8", "replace").strip()[:200]
    do = body.get("action") or body.get("do") or ""
    if status in (401, 403) and not do:
        do = "give the key with --api-key or HEADRACE_API_KEYS"
    if status in (404, 405) and not do:
        do = f"see that --url is the address of a node, and nothing behind it: {url} was asked"
    return BadRequest(
        str(body.get("code") or f"http_{status}"),
        str(said) or f"{method} {url} was answered with status {status}",
        status=status,
        why=str(body.get("explanation") or body.get("why") or ""),
        do=str(do),
    )
