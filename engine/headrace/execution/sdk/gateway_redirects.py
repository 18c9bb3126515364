"""Follows redirects as fetch() does: some turn into GET, and secrets do not go to another site."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from headrace.execution.sdk.gateway_requests import GatewayRequest, is_secret_header
from headrace.execution.sdk.seams import Answer
from headrace.functions.targets import target_host

_REDIRECTS = (301, 302, 303, 307, 308)
_OF_BODIES = ("content-type", "content-encoding", "content-language", "content-location")


def next_request(request: GatewayRequest, answer: Answer) -> GatewayRequest | None:
    """Give the request that an answer redirects to; None if it does not. Errors: BadRequest for no URL of http(s)."""
    where = answer.headers.get("location", "")
    if answer.status not in _REDIRECTS or not where:
        return None
    url = urljoin(request.url, where)
    target_host(url)
    method, body, headers = request.method, request.body, dict(request.headers)
    if (answer.status == 303 and method != "HEAD") or (answer.status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        for name in _OF_BODIES:
            headers.pop(name, None)
    if _origin(url) != _origin(request.url):
        headers = {name: value for name, value in headers.items() if not is_secret_header(name)}
    return GatewayRequest(method, url, headers, body, request.secrets)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname or "", parts.port or (443 if scheme == "https" else 80)
