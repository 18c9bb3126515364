"""One connection, frame by frame. Goal: each message means what the protocol says, in each phase, at each moment."""

from __future__ import annotations

import pytest

from headrace.execution.connect.messages import (
    ConnectionReady,
    Envelope,
    ExtendLease,
    Kind,
    Named,
    WireError,
    WorkerApp,
    frame,
)
from headrace.execution.connect.session import (
    Close,
    Effect,
    Extend,
    Heard,
    Paused,
    Phase,
    Ready,
    Register,
    Replied,
    Send,
    Session,
    Taken,
)
from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.connect.wire import decode
from tests.execution.connect.workers import app, hello, reply

LEASE = "01KAM0000000000000000000QQ"


def new(now_ms: int = 0) -> Session:
    """Begin a session; the token "good" is good."""
    return Session(lambda told: told.auth_data.session_token == "good", ConnectSettings(), now_ms)


def ready(manual: bool = False) -> Session:
    """Bring a session to where its apps are registered, at time 0."""
    session = new()
    session.receive(hello(app(), manual=manual), 0)
    session.registered(0)
    return session


def sent(effect: Effect) -> Envelope:
    assert isinstance(effect, Send)
    return decode(Envelope, effect.frame)


def test_8_3_the_gateway_greets_first() -> None:
    (greeting,) = new().greet()
    assert sent(greeting) == Envelope(Kind.GATEWAY_HELLO, b"")


def test_8_3_a_worker_introduces_itself_and_is_told_the_intervals_in_whole_seconds() -> None:
    session = new()
    (register,) = session.receive(hello(app()), 0)
    assert isinstance(register, Register)
    assert [one.app_name for one in register.hello.apps] == ["shop"]
    told, routable = session.registered(0)
    envelope = sent(told)
    assert envelope.kind == Kind.GATEWAY_CONNECTION_READY
    assert decode(ConnectionReady, envelope.payload) == ConnectionReady("10s", "30s", "0s")
    assert routable == Ready()
    assert session.is_healthy(0)


def test_8_3_a_worker_that_says_so_itself_gets_calls_only_then() -> None:
    session = ready(manual=True)
    assert not session.is_healthy(0)
    assert session.receive(frame(Kind.WORKER_READY), 0) == [Ready()]
    assert session.is_healthy(0)
    assert session.receive(frame(Kind.WORKER_READY), 0) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(Kind.WORKER_HEARTBEAT), "connect_worker_hello_invalid_msg"),
        (frame(Kind.WORKER_READY), "connect_worker_hello_invalid_msg"),
        (b"\x08\x01\x12\x02\x0a\x05", "connect_worker_hello_invalid_payload"),
        (hello(app(), connection="nonsense"), "connect_worker_hello_invalid_payload"),
        (hello(app(), instance=""), "connect_worker_hello_invalid_payload"),
        (hello(), "connect_worker_hello_invalid_payload"),
        (hello(WorkerApp("", None, b"[]")), "connect_worker_hello_invalid_payload"),
        (hello(app(), token="bad"), "connect_authentication_failed"),
        (hello(*[app(f"a{n}") for n in range(101)]), "connect_too_many_apps_per_connection"),
    ],
)
def test_8_3_introductions_that_are_refused(data: bytes, reason: str) -> None:
    session = new()
    assert session.receive(data, 0) == [Close(1008, reason)]
    assert session.phase is Phase.CLOSED
    assert session.receive(hello(app()), 0) == []


def test_8_3_a_hundred_apps_are_taken() -> None:
    (register,) = new().receive(hello(*[app(f"a{n}") for n in range(100)]), 0)
    assert isinstance(register, Register)


def test_8_3_a_worker_has_five_seconds_to_introduce_itself() -> None:
    session = new(now_ms=100)
    assert session.sweep(5_100) == []
    assert session.sweep(5_101) == [Close(1008, "connect_worker_hello_timeout")]


def test_frames_that_cannot_be_read_end_the_connection() -> None:
    assert ready().receive(b"\x08", 0) == [Close(1007, "connect_run_invalid_message")]


def test_8_2_each_heartbeat_is_answered() -> None:
    answer, heard = ready().receive(frame(Kind.WORKER_HEARTBEAT), 9_000)
    assert heard == Heard()
    assert sent(answer) == Envelope(Kind.GATEWAY_HEARTBEAT, b"")


def test_8_3_five_missed_heartbeats_end_the_connection() -> None:
    session = ready()
    session.receive(frame(Kind.WORKER_HEARTBEAT), 7_000)
    assert session.sweep(57_000) == []
    assert session.sweep(57_001) == [Close(1008, "CONSECUTIVE_HEARTBEATS_MISSED")]


def test_a_worker_that_misses_two_heartbeats_gets_no_calls_until_the_next_one() -> None:
    session = ready()
    assert session.is_healthy(20_000)
    assert not session.is_healthy(20_001)
    answer, _, routable = session.receive(frame(Kind.WORKER_HEARTBEAT), 30_000)
    assert sent(answer).kind == Kind.GATEWAY_HEARTBEAT
    assert routable == Ready()
    assert session.is_healthy(30_000)


def test_8_2_a_worker_that_pauses_gets_no_calls_and_is_heard() -> None:
    session = ready()
    assert session.receive(frame(Kind.WORKER_PAUSE), 0) == [Paused()]
    assert not session.is_healthy(0)
    assert session.receive(frame(Kind.WORKER_READY), 0) == []  # it ends, it does not come back
    answer, heard = session.receive(frame(Kind.WORKER_HEARTBEAT), 0)
    assert (sent(answer).kind, heard) == (Kind.GATEWAY_HEARTBEAT, Heard())
    assert session.receive(frame(Kind.WORKER_REPLY, reply("r")), 0) == [Replied(reply("r"))]


def test_8_2_what_workers_say_of_calls() -> None:
    session = ready()
    assert session.receive(frame(Kind.WORKER_REQUEST_ACK, Named("r")), 0) == [Taken("r")]
    assert session.receive(frame(Kind.WORKER_REPLY, reply("r")), 0) == [Replied(reply("r"))]
    asked = ExtendLease("r", "a", "e", "p", "shop-pay", LEASE)
    assert session.receive(frame(Kind.WORKER_REQUEST_EXTEND_LEASE, asked), 0) == [Extend(asked)]


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (Kind.WORKER_REQUEST_ACK, 1008, "connect_worker_request_ack_invalid_payload"),
        (Kind.WORKER_REPLY, 1011, "connect_internal_error"),
        (Kind.WORKER_REQUEST_EXTEND_LEASE, 1008, "connect_worker_request_extend_lease_invalid_payload"),
    ],
)
def test_8_2_payloads_that_cannot_be_read_end_the_connection(kind: Kind, code: int, reason: str) -> None:
    assert ready().receive(bytes([0x08, kind, 0x12, 0x01, 0x0A]), 0) == [Close(code, reason)]


def test_8_4_a_lease_is_a_ulid() -> None:
    asked = ExtendLease("r", "a", "e", "p", "shop-pay", "mine")
    effects = ready().receive(frame(Kind.WORKER_REQUEST_EXTEND_LEASE, asked), 0)
    assert effects == [Close(1008, "connect_worker_request_extend_lease_invalid_payload")]


@pytest.mark.parametrize("kind", [Kind.WORKER_STATUS, Kind.GATEWAY_HELLO, 99])
def test_8_2_other_messages_change_nothing(kind: int) -> None:
    session = ready()
    assert session.receive(bytes([0x08, kind]), 0) == []
    assert session.is_healthy(0)


def test_8_3_an_app_that_cannot_be_registered_is_told_why() -> None:
    session = new()
    session.receive(hello(app()), 0)
    told, closed = session.refused("connect_invalid_function_config", "A function name is required")
    envelope = sent(told)
    assert envelope.kind == Kind.SYNC_FAILED
    error = WireError("connect_invalid_function_config", "A function name is required")
    assert decode(WireError, envelope.payload) == error
    assert closed == Close(1008, "connect_invalid_function_config")


def test_8_3_what_goes_wrong_here_is_told_apart() -> None:
    session = new()
    session.receive(hello(app()), 0)
    assert session.failed() == [Close(1011, "connect_internal_error")]


def test_8_5_a_gateway_that_stops_sends_workers_elsewhere_and_hears_them_out() -> None:
    session = ready()
    (told,) = session.leave()
    assert sent(told) == Envelope(Kind.GATEWAY_CLOSING, b"")
    assert not session.is_healthy(0)
    assert session.receive(frame(Kind.WORKER_REPLY, reply("r")), 0) == [Replied(reply("r"))]


def test_8_5_a_worker_that_comes_meanwhile_is_sent_away() -> None:
    assert new().leave() == [Close(1001, "connect_gateway_closing")]
