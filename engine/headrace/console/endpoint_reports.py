"""What durable endpoints report: the run that began, the steps that were made, how it ended. SDK protocol page, 3.9."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, NamedTuple

import msgspec

from headrace.errors import BadRequest
from headrace.execution.sdk.answer import OPS_MAX, Op
from headrace.execution.sdk.endpoint_requests import EndpointData
from headrace.execution.sdk.ops import DEFERS, KINDS, QUIET, Kind
from headrace.execution.sdk.seams import Answer
from headrace.functions.targets import target_host
from headrace.records.definitions import Backoff, Definition
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import derive_ulid
from headrace.records.rows import KnownEvent

RETRIES_DEFAULT = 4
RETRIES_MAX = 20
FUNCTIONS_MAX = 500  # of one app: paths may carry ids
_EVENT_NAME = "inngest/http.request"
_FUNCTION_ITSELF = hashlib.sha1(b"complete").hexdigest()  # the id of what says how the function ended
_SPACE = uuid.UUID("3f0f9d52-7a0c-5c1e-9a55-0d6b6f0c5f11")
_SDK = {"x-inngest-sdk": "checkpoint"}


class _EventSent(msgspec.Struct):
    data: EndpointData
    id: str | None = None
    ts: int | None = None


class NewRun(msgspec.Struct):
    """The body of `POST /v1/checkpoint`."""

    run_id: str
    event: _EventSent
    steps: list[msgspec.Raw] | None = None
    request_version: int = 2
    retries: int = RETRIES_DEFAULT


class Steps(msgspec.Struct):
    """The body of `POST /v1/checkpoint/{id}/steps`."""

    steps: list[msgspec.Raw]


class Reported(NamedTuple):
    """Steps that the app has made and goes on behind, and what its call has come to, if that is said."""

    made: list[Op]
    answer: Answer | None


def definition_of(told: NewRun, known: int, backoff: Backoff) -> Definition:
    """Make the definition of an endpoint's function. `known` is how many functions of its app there are already."""
    data = told.event.data
    host = target_host(data.domain)
    app = data.domain.rstrip("/").partition("://")[2] or host
    slug = data.fn or f"{data.method.upper()} {data.path}"
    if known >= FUNCTIONS_MAX and not data.fn:
        slug = f"{data.method.upper()} *"
    retries = RETRIES_DEFAULT if told.retries < 0 else min(told.retries, RETRIES_MAX)
    url = f"endpoint+{data.domain.rstrip('/')}"
    return Definition(f"{app}-{slug}", app, slug, [], retries=retries, backoff=backoff, kind="sdk", url=url)


def event_of(body: bytes, told: NewRun, now_ms: int) -> KnownEvent:
    """Make the event that stands for the request: as it was sent, with its own name."""
    event_id = derive_ulid(now_ms, uuid.uuid4().bytes)
    data = msgspec.json.decode(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["event"], type=dict[str, Any])
    ts_ms = told.event.ts if isinstance(told.event.ts, int) and told.event.ts > 0 else now_ms
    event: dict[str, Any] = {"name": _EVENT_NAME, "data": data["data"], "ts": ts_ms}
    if told.event.id:
        event["id"] = told.event.id
    written = msgspec.json.encode(event)
    if len(written) > EVENT_BYTES_MAX:
        raise BadRequest(
            "request_too_large",
            f"the request that began the run has {len(written)} bytes as an event; {EVENT_BYTES_MAX} are allowed",
            status=413,
            why="the run keeps it, to be able to enter the endpoint again",
            do="send large bodies elsewhere, and a reference here",
        )
    return KnownEvent(event_id, _EVENT_NAME, written, ts_ms, now_ms, told.event.id or "")


def read_steps(raws: list[msgspec.Raw], version: int) -> Reported:
    """Read what was done and wanted. Errors: BadRequest for what cannot be read, or is too much."""
    if len(raws) > OPS_MAX:
        raise BadRequest(
            "checkpoint_too_large", f"the checkpoint has {len(raws)} steps; {OPS_MAX} are allowed", status=413
        )
    try:
        ops = [msgspec.json.decode(raw, type=Op) for raw in raws]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("checkpoint_invalid", f"a step of the checkpoint cannot be read: {error}") from None
    kinds = [KINDS.get(op.op.lower()) for op in ops]
    headers = {**_SDK, "x-inngest-req-version": str(version)}
    for op, kind in zip(ops, kinds, strict=True):
        if op.id == _FUNCTION_ITSELF and kind in (Kind.ERROR, Kind.FAILED):
            headers["x-inngest-no-retry"] = "false" if kind is Kind.ERROR else "true"
            made = [op for op, kind in zip(ops, kinds, strict=True) if kind is Kind.RUN or kind in DEFERS]
            return Reported(made, Answer(500 if kind is Kind.ERROR else 400, headers, bytes(op.error)))
    if all(kind is Kind.RUN or kind in QUIET for kind in kinds):
        return Reported(ops, None)
    return Reported([], Answer(206, headers, b"[" + b",".join(map(bytes, raws)) + b"]"))


def stable_uuid(text: str) -> str:
    """Make the UUID that stands for a function or an app; SDKs send it back."""
    return str(uuid.uuid5(_SPACE, text))
