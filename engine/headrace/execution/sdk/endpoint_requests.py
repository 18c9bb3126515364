"""Requests that enter a durable endpoint again: what first came to the app, once more, with the run's headers.

An endpoint of an app began a run by itself, when somebody asked for it; the event that stands for this has everything
of that request. Source: the SDK protocol page, section 3.9.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.execution.sdk.seams import TARGET, AppCall
from headrace.execution.sdk.signing import SIGNATURE_HEADER, canonical, sign
from headrace.execution.sdk.tracing import trace_context

_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class EndpointData(msgspec.Struct):
    """The data of an `inngest/http.request` event: the request that began the run."""

    domain: str
    method: str = "POST"
    path: str = "/"
    query_params: str = ""
    content_type: str = ""
    body: str = ""
    fn: str = ""


class _Event(msgspec.Struct):
    data: EndpointData


class _Context(msgspec.Struct):
    disable_immediate_execution: bool = False


class _Body(msgspec.Struct):
    event: _Event
    ctx: _Context


class EndpointRequest(NamedTuple):
    """What is sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


_DECODE = msgspec.json.Decoder(_Body).decode


def endpoint_request(call: AppCall, signing_key: str, at_s: int) -> EndpointRequest:
    """Make the request of a call. Errors: msgspec.MsgspecError for a call whose event is no request."""
    told = _DECODE(call.body)
    data = told.event.data
    method = data.method.upper() or "POST"
    body = b"" if method in _WITHOUT_BODY else data.body.encode("utf-8", "replace")
    headers = {
        "content-type": data.content_type or "application/json",
        "x-run-id": call.run_id,
        "x-request-id": call.request_id,
        "x-inngest-job-id": call.job_id,
        "x-inngest-req-version": str(call.version),
        **trace_context(call),
        # The app knows a call of ours by this header: without a key it is there all the same.
        SIGNATURE_HEADER: sign(signing_key, _signed(body), at_s) if signing_key else "",
    }
    if call.step_id != TARGET:
        headers["x-inngest-step-id"] = call.step_id
    if told.ctx.disable_immediate_execution:
        headers["x-inngest-force-step-plan"] = "true"
    url = data.domain.rstrip("/") + "/" + data.path.lstrip("/")
    if data.query_params:
        url += ("&" if "?" in url else "?") + data.query_params.lstrip("?")
    return EndpointRequest(method, url, headers, body)


def _signed(body: bytes) -> bytes:
    try:
        return canonical(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return body
