"""Requests: the body of a call. Source: the SDK protocol page, section 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.execution.sdk.memo import defers, ended_in_order, memos, stack_of
from headrace.functions.sdk_config import function_uuid
from headrace.records.rows import Step

REQUEST_BYTES_MAX = 4 << 20  # beyond it the app fetches events and memos itself


class Asked(NamedTuple):
    """What differs from call to call of one run."""

    run_id: str
    step_id: str  # "step", or the hash of the one step to be made
    attempt: int
    max_attempts: int
    plan_only: bool  # new steps are to be reported, not made
    version: int
    request_id: str
    job_id: str
    generation: int
    function_id: str  # "" where steps are not to be checkpointed


def request_body(asked: Asked, events: Sequence[bytes], steps: Mapping[bytes, Step]) -> bytes:
    """Write the body: what started the run, what its steps came to, and what is to be done now."""
    ended = ended_in_order(steps)
    stack = stack_of(ended)
    context = {
        "run_id": asked.run_id,
        "env": "",
        "step_id": asked.step_id,
        "attempt": asked.attempt,
        "max_attempts": asked.max_attempts,
        "stack": {"stack": stack, "current": len(stack)},
        "qi_id": asked.job_id,
        "request_id": asked.request_id,
        "generation_id": asked.generation,
        "job_id": asked.job_id,
        "disable_immediate_execution": asked.plan_only,
        "use_api": False,
    }
    if asked.function_id:
        context["fn_id"] = function_uuid(asked.function_id)
    known = memos(ended)
    large = sum(map(len, events)) + len(known) > REQUEST_BYTES_MAX
    if large:
        context["use_api"] = True
        known = b"{}"
    return b'{"event":%s,"events":[%s],"steps":%s,"defers":%s,"ctx":%s,"version":%d,"use_api":%s}' % (
        events[0],
        b"" if large else b",".join(events),
        known,
        defers(steps),
        msgspec.json.encode(context),
        asked.version,
        b"true" if large else b"false",
    )
