"""Protocol Buffers by hand. Goal: bytes are those of every other implementation, and nonsense is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.execution.connect.messages import (
    Envelope,
    Kind,
    Reply,
    StartRequest,
    WorkerConnect,
    frame,
)
from headrace.execution.connect.wire import Field, Malformed, Message, Type, decode, encode


class Inner(Message):
    """A message in another."""

    name: str = ""

    FIELDS: ClassVar[Mapping[int, Field]] = {1: Field("name", Type.TEXT)}


class Sample(Message):
    """One of each."""

    number: int = 0
    flag: bool = False
    text: str = ""
    raw: bytes = b""
    inner: Inner | None = None
    names: list[str] = msgspec.field(default_factory=list)
    maybe: str | None = None
    count: int | None = None

    FIELDS: ClassVar[Mapping[int, Field]] = {
        1: Field("number", Type.NUMBER),
        2: Field("flag", Type.FLAG),
        3: Field("text", Type.TEXT),
        4: Field("raw", Type.BYTES),
        5: Field("inner", Inner),
        6: Field("names", Type.TEXT, many=True),
        7: Field("maybe", Type.TEXT),
        200: Field("count", Type.NUMBER),
    }


# Written by hand after protobuf.dev/programming-guides/encoding.
KNOWN = [
    (Sample(), b""),
    (Sample(number=150), bytes.fromhex("08 9601")),
    (Sample(number=-1), bytes.fromhex("08 ffffffffffffffffff01")),
    (Sample(flag=True), bytes.fromhex("10 01")),
    (Sample(text="testing"), bytes.fromhex("1a 07 74657374696e67")),
    (Sample(raw=b"\0\xff"), bytes.fromhex("22 02 00ff")),
    (Sample(inner=Inner("a")), bytes.fromhex("2a 03 0a 01 61")),
    (Sample(inner=Inner()), bytes.fromhex("2a 00")),
    (Sample(names=["a", ""]), bytes.fromhex("32 01 61 32 00")),
    (Sample(maybe=""), bytes.fromhex("3a 00")),
    (Sample(count=0), bytes.fromhex("c0 0c 00")),
]


@pytest.mark.parametrize(("message", "data"), KNOWN)
def test_bytes_are_those_of_the_encoding(message: Sample, data: bytes) -> None:
    assert encode(message) == data
    assert decode(Sample, data) == message


@given(
    st.builds(
        Sample,
        number=st.integers(-(2**63), 2**63 - 1),
        flag=st.booleans(),
        text=st.text(),
        raw=st.binary(max_size=300),
        inner=st.none() | st.builds(Inner, st.text()),
        names=st.lists(st.text(), max_size=5),
        maybe=st.none() | st.text(),
        count=st.none() | st.integers(0, 2**40),
    )
)
def test_what_was_written_is_read(message: Sample) -> None:
    assert decode(Sample, encode(message)) == message


def test_fields_that_nobody_knows_are_passed_over() -> None:
    unknown = bytes.fromhex("f8 07 05  fa 07 02 6162  f9 07 0000000000000000  fd 07 00000000")
    assert decode(Sample, unknown + encode(Sample(text="a")) + unknown) == Sample(text="a")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",  # no number behind its tag
        b"\x1a\x05ab",  # shorter than announced
        b"\x08" + b"\xff" * 11,  # longer than 64 bits
        b"\x0b",  # a group
        b"\x1a\x01\xff",  # no UTF-8
        b"\x18\x01",  # a number where a text belongs
        b"\x0a\x01a",  # bytes where a number belongs
        b"\x2a\x02\x0a\x05",  # a message in it is cut off
        b"\xfd\x07\0",  # an unknown field is cut off
    ],
)
def test_nonsense_is_told(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(Sample, data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decode(WorkerConnect, data)
    except Malformed:
        return


def test_8_2_numbers_of_messages_and_fields() -> None:
    """A few messages as another implementation writes them (protoc's, from the protocol's own file)."""
    assert frame(Kind.GATEWAY_HELLO) == b""
    assert frame(Kind.WORKER_HEARTBEAT) == bytes.fromhex("08 09")
    assert decode(Envelope, bytes.fromhex("08 0f 12 00")) == Envelope(Kind.WORKER_STATUS, b"")
    # request_id, account, env, app, DONE, body, no_retry, retry_after, sdk_version, request_version
    data = bytes.fromhex("0a0172 120161 1a0165 220170 2801 32027b7d 3801 42023330 4a0176 5002 6a0175")
    assert decode(Reply, data) == Reply("r", 1, b"{}", True, "30", "v", 2)
    assert decode(StartRequest, bytes.fromhex("0a0161 0a0162")) == StartRequest(["a", "b"])
