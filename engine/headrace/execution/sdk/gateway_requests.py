"""Requests that SDKs have the engine make: what is sent, and what of it must be shown to nobody.

Two operations come with options of their own (SDK protocol page, section 4.6): a call of an AI model, whose key is put
where its provider looks for one, and a plain request such as `fetch` makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from headrace.errors import BadRequest
from headrace.functions.targets import target_host, without_secrets
from headrace.version import __version__

AI_OP = "aigateway"  # operations are compared without their case
FETCH_OP = "gateway"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Of the connection, not of the request: they are its own affair.
_OF_CONNECTIONS = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
_SECRET_HEADER = re.compile(r"auth|cookie|secret|token|(^|-)key$|password|signature")
_SECRET_CHARS_MIN = 4  # a shorter one would hide words that mean nothing
HIDDEN = "[hidden]"


class Secrets:
    """Texts that must not be shown: keys, tokens, what is in a URL's query."""

    def __init__(self, texts: Iterable[str]) -> None:
        forms = {form for text in texts for form in (text, quote(text, safe=""), text.rpartition(" ")[2])}
        # The longest first: one may be a part of another.
        self._texts = sorted((form for form in forms if len(form) >= _SECRET_CHARS_MIN), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Secrets({len(self._texts)})"

    def hide(self, text: str) -> str:
        """Give a text with each of them hidden."""
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        return text


class GatewayRequest(NamedTuple):
    """One request, ready to be sent. Names of headers are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    secrets: Secrets

    def __repr__(self) -> str:
        return f"GatewayRequest({self.method} {without_secrets(self.url)})"


def read_request(op: str, opts: Mapping[str, Any]) -> GatewayRequest:
    """Make the request that an operation asks for. Errors: BadRequest for options that make no request."""
    url = opts.get("url")
    if not isinstance(url, str) or not url:
        raise _unfit("the step names no URL", "url", "https://api.example.com/orders")
    target_host(url)
    return _read_ai(url, opts) if op == AI_OP else _read_fetch(url, opts)


def is_secret_header(name: str) -> bool:
    """Tell whether a header's value is likely a secret, by its name."""
    return _SECRET_HEADER.search(name.lower()) is not None


def _read_ai(url: str, opts: Mapping[str, Any]) -> GatewayRequest:
    key = opts.get("auth_key") or ""
    if not isinstance(key, str):
        raise _unfit("the step's auth_key is no text", "auth_key", "the provider's key")
    headers = {"content-type": "application/json", "accept": "application/json"}
    style = opts.get("format")
    if not key:
        pass
    elif style == "gemini":
        url = _with_key(url, key)
    elif style == "anthropic":
        headers["x-api-key"] = key
    elif style == "bedrock":
        headers["authorization"] = key
    else:
        headers["authorization"] = f"Bearer {key}"
    headers.update(_read_headers(opts))
    _check_values(headers)
    body = msgspec.json.encode(opts["body"]) if opts.get("body") is not None else b"{}"
    return GatewayRequest("POST", url, _with_agent(headers), body, _secrets(url, headers, key))


def _read_fetch(url: str, opts: Mapping[str, Any]) -> GatewayRequest:
    method = opts.get("method") or "POST"
    if not isinstance(method, str) or method.upper() not in _METHODS:
        raise _unfit(f"the step's method is {str(method)[:20]!r}", "method", ", ".join(sorted(_METHODS)))
    headers = _read_headers(opts)
    _check_values(headers)
    given = opts.get("body")
    if given is None or given == "":
        body = b""
    elif isinstance(given, str):
        body = given.encode("utf-8", "replace")
        headers.setdefault("content-type", "text/plain;charset=UTF-8")  # as fetch() says of a text
    else:
        body = msgspec.json.encode(given)
        headers.setdefault("content-type", "application/json")
    return GatewayRequest(method.upper(), url, _with_agent(headers), body, _secrets(url, headers, ""))


def _read_headers(opts: Mapping[str, Any]) -> dict[str, str]:
    given = opts.get("headers") or {}
    if not isinstance(given, Mapping):
        raise _unfit("the step's headers are no object", "headers", '{"accept": "application/json"}')
    read: dict[str, str] = {}
    for name, value in given.items():
        lower = str(name).lower()
        if _HEADER_NAME.fullmatch(lower) is None:
            raise _unfit(f"the name of a header is {str(name)[:40]!r}", "headers", '{"accept": "application/json"}')
        if value is not None and lower not in _OF_CONNECTIONS:
            read[lower] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return read


def _check_values(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        # One that ends a line would begin a header of somebody else's choice.
        if any(char in value for char in "\r\n\0"):
            raise _unfit(f"the header {name[:40]!r} has more than one line", "headers", "one line for each")


def _with_agent(headers: dict[str, str]) -> dict[str, str]:
    headers.setdefault("user-agent", f"headrace/{__version__}")
    return headers


def _with_key(url: str, key: str) -> str:
    parts = urlsplit(url)
    if any(name == "key" for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        return url  # the Python SDK puts it there itself
    query = "&".join(part for part in (parts.query, urlencode({"key": key})) if part)
    return urlunsplit(parts._replace(query=query))


def _secrets(url: str, headers: Mapping[str, str], key: str) -> Secrets:
    parts = urlsplit(url)
    found = [value for name, value in headers.items() if is_secret_header(name)]
    found += [value for name, value in parse_qsl(parts.query) if is_secret_header(name)] + [parts.query]
    return Secrets([key, parts.password or "", *found])


def _unfit(what: str, field: str, example: str) -> BadRequest:
    return BadRequest(
        "gateway_request_invalid",
        what,
        why=f"the field {field!r} of its options says what is sent",
        do=f"give it such as: {example}",
    )
