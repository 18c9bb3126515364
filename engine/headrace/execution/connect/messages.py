"""The messages between workers and the gateway. Source: the SDK protocol page, sections 8.1 and 8.2.

Every frame of the WebSocket is an `Envelope`. Fields that the gateway has no use for are left out: they are passed over
when read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar

import msgspec

from headrace.execution.connect.wire import Field, Message, Type, encode

_NUMBER, _FLAG, _TEXT, _BYTES = Type.NUMBER, Type.FLAG, Type.TEXT, Type.BYTES


class Kind(IntEnum):
    """What an envelope holds."""

    GATEWAY_HELLO = 0
    WORKER_CONNECT = 1
    GATEWAY_CONNECTION_READY = 2
    GATEWAY_EXECUTOR_REQUEST = 3
    WORKER_READY = 4
    WORKER_REQUEST_ACK = 5
    WORKER_REPLY = 6
    WORKER_REPLY_ACK = 7
    WORKER_PAUSE = 8
    WORKER_HEARTBEAT = 9
    GATEWAY_HEARTBEAT = 10
    GATEWAY_CLOSING = 11
    WORKER_REQUEST_EXTEND_LEASE = 12
    WORKER_REQUEST_EXTEND_LEASE_ACK = 13
    SYNC_FAILED = 14
    WORKER_STATUS = 15


class ReplyStatus(IntEnum):
    """How far a call has come."""

    NOT_COMPLETED = 0
    DONE = 1
    ERROR = 2


class Envelope(Message):
    """One frame."""

    kind: int = 0
    payload: bytes = b""

    FIELDS: ClassVar[Mapping[int, Field]] = {1: Field("kind", _NUMBER), 2: Field("payload", _BYTES)}


def frame(kind: Kind, message: Message | None = None) -> bytes:
    """Put a message into an envelope."""
    return encode(Envelope(kind, b"" if message is None else encode(message)))


class Tokens(Message):
    """What a worker shows to be let in."""

    session_token: str = ""
    sync_token: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {1: Field("session_token", _TEXT), 2: Field("sync_token", _TEXT)}


class WorkerApp(Message):
    """One app of a worker. `functions` is a JSON array, each as apps register them."""

    app_name: str = ""
    app_version: str | None = None
    functions: bytes = b""

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("app_name", _TEXT),
        2: Field("app_version", _TEXT),
        4: Field("functions", _BYTES),
    }


class Machine(Message):
    """Where a worker runs."""

    cpu_cores: int = 0
    mem_bytes: int = 0
    os: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("cpu_cores", _NUMBER),
        2: Field("mem_bytes", _NUMBER),
        3: Field("os", _TEXT),
    }


class WorkerConnect(Message):
    """How a worker introduces itself."""

    connection_id: str = ""
    instance_id: str = ""
    auth_data: Tokens = msgspec.field(default_factory=Tokens)
    capabilities: bytes = b""
    apps: list[WorkerApp] = msgspec.field(default_factory=list)
    worker_manual_readiness_ack: bool = False
    system_attributes: Machine = msgspec.field(default_factory=Machine)
    environment: str | None = None
    framework: str = ""
    platform: str | None = None
    sdk_version: str = ""
    sdk_language: str = ""
    max_worker_concurrency: int | None = None

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("connection_id", _TEXT),
        2: Field("instance_id", _TEXT),
        3: Field("auth_data", Tokens),
        4: Field("capabilities", _BYTES),
        5: Field("apps", WorkerApp, many=True),
        6: Field("worker_manual_readiness_ack", _FLAG),
        7: Field("system_attributes", Machine),
        8: Field("environment", _TEXT),
        9: Field("framework", _TEXT),
        10: Field("platform", _TEXT),
        11: Field("sdk_version", _TEXT),
        12: Field("sdk_language", _TEXT),
        14: Field("max_worker_concurrency", _NUMBER),
    }


class ConnectionReady(Message):
    """How often a worker is to be heard; whole seconds, such as "10s": one of the SDKs reads nothing else."""

    heartbeat_interval: str = ""
    extend_lease_interval: str = ""
    status_interval: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("heartbeat_interval", _TEXT),
        2: Field("extend_lease_interval", _TEXT),
        3: Field("status_interval", _TEXT),
    }


class ExecutorRequest(Message):
    """A call of a function. The trace contexts are JSON objects."""

    request_id: str = ""
    account_id: str = ""
    env_id: str = ""
    app_id: str = ""
    app_name: str = ""
    function_id: str = ""
    function_slug: str = ""
    step_id: str | None = None
    request_payload: bytes = b""
    system_trace_ctx: bytes = b""
    user_trace_ctx: bytes = b""
    run_id: str = ""
    lease_id: str = ""
    job_id: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("request_id", _TEXT),
        2: Field("account_id", _TEXT),
        3: Field("env_id", _TEXT),
        4: Field("app_id", _TEXT),
        5: Field("app_name", _TEXT),
        6: Field("function_id", _TEXT),
        7: Field("function_slug", _TEXT),
        8: Field("step_id", _TEXT),
        9: Field("request_payload", _BYTES),
        10: Field("system_trace_ctx", _BYTES),
        11: Field("user_trace_ctx", _BYTES),
        12: Field("run_id", _TEXT),
        13: Field("lease_id", _TEXT),
        14: Field("job_id", _TEXT),
    }


class ExtendLease(Message):
    """A worker still works on a call."""

    request_id: str = ""
    account_id: str = ""
    env_id: str = ""
    app_id: str = ""
    function_slug: str = ""
    lease_id: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("request_id", _TEXT),
        2: Field("account_id", _TEXT),
        3: Field("env_id", _TEXT),
        4: Field("app_id", _TEXT),
        5: Field("function_slug", _TEXT),
        10: Field("lease_id", _TEXT),
    }


class ExtendLeaseAck(Message):
    """The lease from now on; none where it is lost."""

    request_id: str = ""
    account_id: str = ""
    env_id: str = ""
    app_id: str = ""
    function_slug: str = ""
    new_lease_id: str | None = None

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("request_id", _TEXT),
        2: Field("account_id", _TEXT),
        3: Field("env_id", _TEXT),
        4: Field("app_id", _TEXT),
        5: Field("function_slug", _TEXT),
        6: Field("new_lease_id", _TEXT),
    }


class Reply(Message):
    """What the app answered to a call; also the body of a flush."""

    request_id: str = ""
    status: int = 0
    body: bytes = b""
    no_retry: bool = False
    retry_after: str | None = None
    sdk_version: str = ""
    request_version: int = 0

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("request_id", _TEXT),
        5: Field("status", _NUMBER),
        6: Field("body", _BYTES),
        7: Field("no_retry", _FLAG),
        8: Field("retry_after", _TEXT),
        9: Field("sdk_version", _TEXT),
        10: Field("request_version", _NUMBER),
    }


class Named(Message):
    """A call that was taken, or a reply that has arrived: only its id, all that SDKs can be relied upon to send."""

    request_id: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {1: Field("request_id", _TEXT)}


class WireError(Message):
    """Why an app could not be registered."""

    code: str = ""
    message: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {1: Field("code", _TEXT), 3: Field("message", _TEXT)}


class StartRequest(Message):
    """A worker asks where to connect to."""

    exclude_gateways: list[str] = msgspec.field(default_factory=list)

    FIELDS: ClassVar[Mapping[int, Field]] = {1: Field("exclude_gateways", _TEXT, many=True)}


class StartResponse(Message):
    """Where to connect to, and with what."""

    connection_id: str = ""
    gateway_endpoint: str = ""
    gateway_group: str = ""
    session_token: str = ""
    sync_token: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("connection_id", _TEXT),
        2: Field("gateway_endpoint", _TEXT),
        3: Field("gateway_group", _TEXT),
        4: Field("session_token", _TEXT),
        5: Field("sync_token", _TEXT),
    }
