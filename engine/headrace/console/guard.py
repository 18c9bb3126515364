"""What every request has to pass: Host, Origin, keys; and what every answer carries.

The Host header is checked always, so that a page elsewhere cannot reach a node on loopback under a name of its own (DNS
rebinding). A request that changes something and comes from a browser must come from a page of this server. CORS is
open in dev only, and only on the paths where an app's own page sends events, asks whether this is a dev server, or
reads what it has a token for; nothing else is to be read there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.console.answers import refusal
from headrace.console.sessions import SESSION_COOKIE, Sessions
from headrace.errors import BadRequest
from headrace.intake.access import Access, host_name, is_loopback

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CORS_PATHS = ("/e/", "/invoke/", "/dev", "/v1/realtime/connect", "/v1/realtime/sse", "/v1/http/")
# Where apps of SDKs come: their keys are signing keys.
_SDK_PATHS = ("/fn/", "/dev", "/v0/", "/v1/checkpoint", "/v1/checkpoint/", "/v1/realtime/", "/v1/http/", "/v1/connect/")
# Of these, what an app asks in its own name.
_APP_PATHS = ("/fn/", "/v0/runs/", "/v0/connect/", "/v1/checkpoint", "/v1/checkpoint/")
# Answered without an API key: health for balancers, what has keys of its own, and what a login page is made of.
_KEYLESS_PATHS = ("/health", "/ready", "/e", "/e/", "/login", "/static/")

_SECURITY_HEADERS = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)


@dataclass(frozen=True)
class GuardSettings:
    """`hosts` are names under which the node is reached besides loopback's; "*" takes any (only behind a proxy that
    checks). `keyless_paths` are further beginnings of paths that check keys of their own, such as "/hooks/". `refused`
    is told of requests that are turned away for their key: a code and a sentence.
    """

    access: Access = field(default_factory=Access)
    hosts: Sequence[str] = ()
    dev: bool = False
    keyless_paths: Sequence[str] = ()
    refused: Callable[[str, str], None] | None = None


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, settings: GuardSettings, sessions: Sessions) -> None:
        self._app = app
        self._settings = settings
        self._sessions = sessions
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        self._keyless = (*_KEYLESS_PATHS, *settings.keyless_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] != "websocket" or self._host_allowed(Headers(scope=scope), scope):
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        open_to_all = self._settings.dev and _begins(_path(scope), _CORS_PATHS)
        answer = self._check(request, open_to_all)
        guarded = _Headers(send, self._settings.dev, open_to_all).send
        await (answer or self._app)(scope, receive, guarded)

    def _check(self, request: Request, open_to_all: bool) -> Response | None:
        if not self._host_allowed(request.headers, request.scope):
            host = request.headers.get("host", "")
            return refusal(
                BadRequest(
                    "host_not_allowed",
                    f"this server does not answer to the name {host[:100]!r}",
                    status=403,
                    why="a page elsewhere could reach it under a name of its own",
                    do="use localhost, or start the node with this name among its allowed hosts",
                )
            )
        if open_to_all and request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return Response(status_code=204)
        if request.method not in _SAFE_METHODS and not open_to_all and not self._same_origin(request):
            return refusal(
                BadRequest(
                    "origin_not_allowed",
                    f"a page of {request.headers.get('origin', 'another site')[:100]!r} may not change anything here",
                    status=403,
                    why="only pages of this server may",
                    do="send the request from a program, or from a page of this server",
                )
            )
        return self._check_key(request)

    def _host_allowed(self, headers: Headers, scope: Scope) -> bool:
        name = host_name(headers.get("host", ""))
        if is_loopback(name) or name in self._hosts or "*" in self._hosts:
            return True
        # An address is no name that somebody else could point here. (Where it listens on all of them, this is the one
        # that the request came to.)
        address = _address(name)
        return address is not None and address == _address((scope.get("server") or ("",))[0] or "")

    def _same_origin(self, request: Request) -> bool:
        # Browsers send Origin with everything that is not a plain read; programs send neither header.
        origin = request.headers.get("origin")
        if origin is not None:
            try:
                return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
            except ValueError:
                return False
        return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")

    def _check_key(self, request: Request) -> Response | None:
        access = self._settings.access
        path = _path(request.scope)
        if _begins(path, self._keyless):
            return None
        # A node that knows its apps' keys has every app show one, from wherever it calls.
        of_an_app = access.strict and bool(access.signing_keys) and _begins(path, _APP_PATHS)
        if not of_an_app and not access.bearer_needed(request.headers):
            return None
        if access.bearer_holds(request.headers.get("authorization", "")):
            return None
        if self._sessions.holds(request.cookies.get(SESSION_COOKIE, "")):
            return None
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(request.scope.get("root_path", "") + "/login", 303)
        if self._settings.refused is not None:
            shown = "a wrong key" if request.headers.get("authorization") else "no key"
            self._settings.refused("key_refused", f"{request.method} {path[:100]} came with {shown}")
        if _begins(path, _SDK_PATHS):
            return refusal(
                BadRequest(
                    "authentication_failed",
                    "Authentication failed",
                    status=401,
                    why="apps show their signing key, or its hash, as Authorization: Bearer",
                    do="set INNGEST_SIGNING_KEY for the app to HEADRACE_SIGNING_KEY, or to its fallback",
                )
            )
        return refusal(
            BadRequest(
                "api_key_required",
                "an API key is required" if access.api_keys else "this server has no API keys",
                status=401,
                why="beyond loopback nothing is shown or changed without one",
                do="send the header Authorization: Bearer KEY" if access.api_keys else "set HEADRACE_API_KEYS",
            )
        )


class _Headers:
    """Adds the headers that every answer carries."""

    def __init__(self, send: Send, dev: bool, open_to_all: bool) -> None:
        self._send = send
        self._dev = dev
        self._open_to_all = open_to_all

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY_HEADERS:
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
            headers["x-inngest-server-kind"] = "dev" if self._dev else "cloud"
            if self._open_to_all:
                headers["access-control-allow-origin"] = "*"
                headers["access-control-allow-methods"] = "GET, POST, PUT, OPTIONS"
                headers["access-control-allow-headers"] = "*"
                headers["access-control-max-age"] = "600"
                headers["cross-origin-resource-policy"] = "cross-origin"
        await self._send(message)


def _begins(path: str, beginnings: Sequence[str]) -> bool:
    """Tell whether a path is one of these, or below one that ends in a slash."""
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in beginnings)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address; one that IPv6 carries for IPv4 is that one."""
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _path(scope: Scope) -> str:
    """Give the path within this application, wherever it is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path
