"""Performs the requests that functions of SDKs have the engine make: the operations AIGateway and Gateway.

A model may think for minutes and a shop may answer slowly; the app does not wait for either, and pays for no time. What
became of it is the step's result: of a plain request any answer at all, of a model's one that says that it went well.
The keys that come along are sent where they belong and shown nowhere.

Source: the SDK protocol page, section 4.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from headrace.errors import BadRequest
from headrace.execution.sdk.gateway_redirects import next_request
from headrace.execution.sdk.gateway_requests import AI_OP, FETCH_OP, GatewayRequest, read_request
from headrace.execution.sdk.seams import Answer, AppUnreachable, CallBroken
from headrace.functions.targets import target_host
from headrace.records.rows import Failure

TIMEOUT_S = 7_200.0  # as long as a call of an app may take
ANSWER_BYTES_MAX = 4 << 20  # what a step may hold
REDIRECTS_MAX = 20  # as fetch() has it
_RETRY_AFTER_S = (1, 86_400)
_TOLD_CHARS_MAX = 16_384  # of an answer that went wrong
_BODILESS = (101, 103, 204, 205, 304)
_NAMES = {AI_OP: "AIGatewayError", FETCH_OP: "GatewayError"}
_VERBS = {AI_OP: "Error making AI request", FETCH_OP: "Error making gateway request"}


class Ask(Protocol):
    """Sends one request, and gives the answer as it comes, redirects too, with its body decompressed.

    Raises BadRequest for a target that requests must not go to (`functions.targets.check_target`), AppUnreachable and
    CallBroken for what went wrong on the way, such as a body of more than `bytes_max` bytes.
    """

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, bytes_max: int
    ) -> Answer: ...


class GatewayOutcome(NamedTuple):
    """What a request came to: `output` is the step's result, JSON (below "data" in its memo); or it failed."""

    output: bytes | None
    failure: Failure | None


async def perform_gateway(op: str, opts: Mapping[str, Any], ask: Ask) -> GatewayOutcome:
    """Make the request of an operation, once. `op` is AIGateway or Gateway, `opts` its options as the SDK sent them.

    Nothing is raised for a request that goes wrong: that is an attempt of the step that has failed.
    """
    kind = op.lower()
    try:
        request = read_request(kind, opts)
    except BadRequest as error:
        return _failed(kind, f"{error.what}; {error.why}", retriable=False)
    secrets = request.secrets
    try:
        answer = await _answer(request, ask)
    except BadRequest as error:
        return _failed(kind, secrets.hide(f"{error.what}; {error.why}"), retriable=False)
    except AppUnreachable as error:
        return _failed(kind, secrets.hide(f"{target_host(request.url)} cannot be reached{_because(error)}"))
    except CallBroken as error:
        return _failed(kind, secrets.hide(error.message))
    return _judge_ai(answer, request) if kind == AI_OP else _tell_fetch(answer, request)


async def _answer(request: GatewayRequest, ask: Ask) -> Answer:
    for _ in range(REDIRECTS_MAX + 1):
        answer = await ask(
            request.method,
            request.url,
            request.headers,
            request.body,
            timeout_s=TIMEOUT_S,
            bytes_max=ANSWER_BYTES_MAX,
        )
        following = next_request(request, answer)
        if following is None:
            return answer
        request = following
    raise CallBroken("TooManyRedirects", f"it was redirected more than {REDIRECTS_MAX} times")


def _judge_ai(answer: Answer, request: GatewayRequest) -> GatewayOutcome:
    text = answer.body.decode("utf-8", "replace")
    if answer.status > 299:
        return _failed_ai(f"unsuccessful status code: {answer.status}", text, answer, request)
    try:
        msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _failed_ai("the answer is not JSON", text, answer, request)
    return GatewayOutcome(answer.body, None)


def _failed_ai(what: str, text: str, answer: Answer, request: GatewayRequest) -> GatewayOutcome:
    told = request.secrets.hide(text)[:_TOLD_CHARS_MAX] or '{"error":"Error making AI request"}'
    try:
        data = msgspec.json.decode(told)
    except (msgspec.MsgspecError, RecursionError):
        data = told
    return _failed(
        AI_OP, what, stack=told, retry_after_ms=_retry_after_ms(answer), more=msgspec.json.encode({"data": data})
    )


def _tell_fetch(answer: Answer, request: GatewayRequest) -> GatewayOutcome:
    told = {
        "url": request.url,
        "headers": dict(answer.headers),
        # Response() of JavaScript refuses even an empty text where there can be none.
        "body": None if answer.status in _BODILESS else answer.body.decode(_charset(answer), "replace"),
        "status_code": answer.status,
    }
    return GatewayOutcome(msgspec.json.encode(told), None)


def _charset(answer: Answer) -> str:
    for part in answer.headers.get("content-type", "").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            try:
                "".encode(value.strip().strip('"'))
            except (LookupError, ValueError, UnicodeError):
                break
            return value.strip().strip('"')
    return "utf-8"


def _retry_after_ms(answer: Answer) -> int:
    """Read when to try again; -1 if the answer does not say. A date counts from the answer's own."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 7:
        seconds = float(text)
    else:
        then, now = _date(text), _date(answer.headers.get("date", ""))
        if then is None or now is None:
            return -1
        seconds = (then - now).total_seconds()
    least, most = _RETRY_AFTER_S
    return round(min(max(seconds, least), most) * 1000)


def _date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return read if read.tzinfo is not None else None


def _because(error: Exception) -> str:
    return f": {error}" if str(error) else ""


def _failed(
    kind: str, what: str, *, stack: str = "", retriable: bool = True, retry_after_ms: int = -1, more: bytes = b""
) -> GatewayOutcome:
    name, verb = _NAMES[kind], _VERBS[kind]
    return GatewayOutcome(None, Failure(name, f"{verb}: {what}", stack, retriable, retry_after_ms, "", more))
