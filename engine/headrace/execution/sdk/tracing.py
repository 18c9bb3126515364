"""Tracing: what calls say of the trace that they belong to. SDKs note nothing of their spans without it.

Source: the SDK protocol page, section 3.1.
"""

from __future__ import annotations

from headrace.execution.sdk.seams import AppCall
from headrace.functions.sdk_config import app_uuid, function_uuid
from headrace.records.trace_ids import traceparent


def trace_context(call: AppCall) -> dict[str, str]:
    """Give the headers, or the fields of a worker's message, that name the run's trace."""
    state = f"inngest@app={app_uuid(call.app)},inngest@fn={function_uuid(call.function_id)}"
    return {"traceparent": traceparent(call.run_id), "tracestate": state}
