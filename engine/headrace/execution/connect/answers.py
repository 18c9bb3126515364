"""Calls and answers, between the execution and what workers are sent and send (SDK protocol page, section 8)."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from headrace.execution.connect.messages import ExecutorRequest, Kind, Reply, ReplyStatus, frame
from headrace.execution.sdk.seams import Answer, AppCall
from headrace.execution.sdk.tracing import trace_context
from headrace.functions.sdk_config import app_uuid, function_uuid

ACCOUNT_ID = "00000000-0000-4000-a000-000000000000"
ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000"
_HTTP_STATUS: dict[int, int] = {ReplyStatus.NOT_COMPLETED: 206, ReplyStatus.DONE: 200}


def request_frame(call: AppCall, lease: str) -> bytes:
    """Write the frame that gives a call to a worker."""
    trace = msgspec.json.encode(trace_context(call))
    request = ExecutorRequest(
        request_id=call.request_id,
        account_id=ACCOUNT_ID,
        env_id=ENVIRONMENT_ID,
        app_id=_app_id(call.app),
        app_name=call.app,  # without it one of the SDKs drops the call and says nothing
        function_id=_function_id(call.function_id),
        function_slug=call.function_id,
        step_id=call.step_id,
        request_payload=call.body,
        system_trace_ctx=trace,
        user_trace_ctx=trace,
        run_id=call.run_id,
        lease_id=lease,
        job_id=call.job_id,
    )
    return frame(Kind.GATEWAY_EXECUTOR_REQUEST, request)


def answer_of(reply: Reply) -> Answer:
    """Make of a reply what the app would have answered over HTTP."""
    headers = {"content-type": "application/json", "x-inngest-sdk": reply.sdk_version or "connect"}
    if reply.request_version > 0:
        headers["x-inngest-req-version"] = str(reply.request_version)
    if reply.no_retry:
        headers["x-inngest-no-retry"] = "true"
    if reply.retry_after:
        headers["retry-after"] = reply.retry_after
    # An error, and whatever a newer SDK may say that is not known here.
    return Answer(_HTTP_STATUS.get(reply.status, 500), headers, reply.body)


@lru_cache(maxsize=1024)
def _app_id(app: str) -> str:
    return str(app_uuid(app))


@lru_cache(maxsize=4096)
def _function_id(function_id: str) -> str:
    return str(function_uuid(function_id))
