"""One connection of a worker: what each frame means, and what the time that passes means. Pure.

    GREETED -> REGISTERING -> CONNECTED -> READY -> PAUSED
                                  (WORKER_READY, for workers that say so themselves)

Everything it wants done is an effect; frames that come while an app is being registered have to wait outside.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from headrace.execution.connect.messages import (
    ConnectionReady,
    Envelope,
    ExtendLease,
    Kind,
    Named,
    Reply,
    WireError,
    WorkerConnect,
    frame,
)
from headrace.execution.connect.settings import ConnectSettings, seconds_text
from headrace.execution.connect.wire import M, Malformed, decode
from headrace.records.ids import is_ulid

# Codes with which a WebSocket is closed (RFC 6455, section 7.4.1).
GOING_AWAY, UNREADABLE, POLICY, INTERNAL = 1001, 1007, 1008, 1011
CLOSING = "connect_gateway_closing"
INTERNAL_ERROR = "connect_internal_error"


class Phase(IntEnum):
    """Where a connection stands."""

    GREETED = 0
    REGISTERING = 1
    CONNECTED = 2
    READY = 3
    PAUSED = 4
    CLOSED = 5


class Send(NamedTuple):
    """A frame for the worker."""

    frame: bytes


class Close(NamedTuple):
    """The end of the connection."""

    code: int
    reason: str


class Register(NamedTuple):
    """The worker's apps are to be registered; then `registered` or `refused`."""

    hello: WorkerConnect


class Ready(NamedTuple):
    """Calls may be given to the worker from now on."""


class Heard(NamedTuple):
    """The worker lives, and has read what it was sent long enough ago."""


class Paused(NamedTuple):
    """No more calls are to be given to it."""


class Taken(NamedTuple):
    """The worker has taken a call."""

    request_id: str


class Replied(NamedTuple):
    """The worker has answered a call."""

    reply: Reply


class Extend(NamedTuple):
    """The worker wants to keep a call for longer."""

    asked: ExtendLease


Effect: TypeAlias = Send | Close | Register | Ready | Heard | Paused | Taken | Replied | Extend


class Session:
    """The state of one connection. `admits` says whether a worker's tokens let it in."""

    def __init__(self, admits: Callable[[WorkerConnect], bool], settings: ConnectSettings, now_ms: int) -> None:
        self._admits = admits
        self._settings = settings
        self._began_ms = now_ms
        self.phase = Phase.GREETED
        self.hello = WorkerConnect()
        self.heard_ms = now_ms  # the last heartbeat

    def greet(self) -> list[Effect]:
        """Begin."""
        return [Send(frame(Kind.GATEWAY_HELLO))]

    def is_healthy(self, now_ms: int) -> bool:
        """Tell whether calls may be given to the worker now."""
        settings = self._settings
        missed_ms = settings.heartbeat_ms * settings.heartbeats_missed_healthy
        return self.phase is Phase.READY and now_ms - self.heard_ms <= missed_ms

    def receive(self, data: bytes, now_ms: int) -> list[Effect]:
        """Take a frame."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            envelope = decode(Envelope, data)
        except Malformed:
            return self._close(UNREADABLE, "connect_run_invalid_message")
        if self.phase is Phase.GREETED:
            return self._introduce(envelope)
        match envelope.kind:
            case Kind.WORKER_HEARTBEAT:
                return self._heartbeat(now_ms)
            case Kind.WORKER_READY if self.phase is Phase.CONNECTED:
                self.phase = Phase.READY
                self.heard_ms = now_ms
                return [Ready()]
            case Kind.WORKER_PAUSE:
                self.phase = Phase.PAUSED
                return [Paused()]
            case Kind.WORKER_REQUEST_ACK:
                ack = _read(Named, envelope.payload)
                return (
                    self._close(POLICY, "connect_worker_request_ack_invalid_payload")
                    if ack is None
                    else [Taken(ack.request_id)]
                )
            case Kind.WORKER_REPLY:
                reply = _read(Reply, envelope.payload)
                return self._close(INTERNAL, INTERNAL_ERROR) if reply is None else [Replied(reply)]
            case Kind.WORKER_REQUEST_EXTEND_LEASE:
                asked = _read(ExtendLease, envelope.payload)
                if asked is None or not is_ulid(asked.lease_id):
                    return self._close(POLICY, "connect_worker_request_extend_lease_invalid_payload")
                return [Extend(asked)]
        return []  # WORKER_STATUS, which was not asked for, and what newer SDKs may send

    def registered(self, now_ms: int) -> list[Effect]:
        """Go on: the apps are registered."""
        self.heard_ms = now_ms
        ready = ConnectionReady(
            seconds_text(self._settings.heartbeat_ms), seconds_text(self._settings.extend_ms), seconds_text(0)
        )
        effects: list[Effect] = [Send(frame(Kind.GATEWAY_CONNECTION_READY, ready))]
        if self.hello.worker_manual_readiness_ack:
            self.phase = Phase.CONNECTED
            return effects
        self.phase = Phase.READY
        return [*effects, Ready()]

    def refused(self, code: str, message: str) -> list[Effect]:
        """End: an app cannot be registered as it is."""
        told = Send(frame(Kind.SYNC_FAILED, WireError(code, message)))
        return [told, *self._close(POLICY, code)]

    def failed(self) -> list[Effect]:
        """End: something went wrong here, and the worker may try again."""
        return self._close(INTERNAL, INTERNAL_ERROR)

    def leave(self) -> list[Effect]:
        """Tell the worker to connect elsewhere; what it still sends is taken until the connection is closed."""
        if self.phase < Phase.CONNECTED:
            return self._close(GOING_AWAY, CLOSING)
        if self.phase is Phase.CLOSED:
            return []
        self.phase = Phase.PAUSED
        return [Send(frame(Kind.GATEWAY_CLOSING))]

    def sweep(self, now_ms: int) -> list[Effect]:
        """Look at the time: a worker that says nothing is let go."""
        settings = self._settings
        if self.phase is Phase.GREETED and now_ms - self._began_ms > settings.hello_ms:
            return self._close(POLICY, "connect_worker_hello_timeout")
        silent_ms = settings.heartbeat_ms * settings.heartbeats_missed_max
        if Phase.CONNECTED <= self.phase < Phase.CLOSED and now_ms - self.heard_ms > silent_ms:
            return self._close(POLICY, "CONSECUTIVE_HEARTBEATS_MISSED")
        return []

    def _introduce(self, envelope: Envelope) -> list[Effect]:
        if envelope.kind != Kind.WORKER_CONNECT:
            return self._close(POLICY, "connect_worker_hello_invalid_msg")
        hello = _read(WorkerConnect, envelope.payload)
        if hello is None or not is_ulid(hello.connection_id) or not hello.instance_id:
            return self._close(POLICY, "connect_worker_hello_invalid_payload")
        if not self._admits(hello):
            return self._close(POLICY, "connect_authentication_failed")
        if not hello.apps or not all(app.app_name for app in hello.apps):
            return self._close(POLICY, "connect_worker_hello_invalid_payload")
        if len(hello.apps) > self._settings.apps_max:
            return self._close(POLICY, "connect_too_many_apps_per_connection")
        self.hello = hello
        self.phase = Phase.REGISTERING
        return [Register(hello)]

    def _heartbeat(self, now_ms: int) -> list[Effect]:
        was_healthy = self.is_healthy(now_ms)
        self.heard_ms = now_ms
        answer = Send(frame(Kind.GATEWAY_HEARTBEAT))
        return [answer, Heard(), Ready()] if self.is_healthy(now_ms) and not was_healthy else [answer, Heard()]

    def _close(self, code: int, reason: str) -> list[Effect]:
        self.phase = Phase.CLOSED
        return [Close(code, reason)]


def _read(kind: type[M], payload: bytes) -> M | None:
    try:
        return decode(kind, payload)
    except Malformed:
        return None
