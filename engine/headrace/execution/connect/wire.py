"""Reads and writes Protocol Buffers, as far as workers use them: whole numbers, flags, texts, bytes and messages.

Written by hand, for it is little: no library has to be installed beside the one that a user's own packages pin, nothing
is generated. Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
_MASK_64 = (1 << 64) - 1


class Malformed(ValueError):
    """Bytes that are no such message."""


class Type(Enum):
    """What a field holds."""

    NUMBER = "number"  # int32, int64, uint32 or an enum
    FLAG = "flag"
    TEXT = "text"
    BYTES = "bytes"


class Field(NamedTuple):
    """One field: its name in the struct, and what it holds: a plain type, or the struct of a message.

    A `many` field is a list. A field whose default is None is written whenever it is not None; others are left out
    where they have their zero value.
    """

    name: str
    holds: Type | type[Message]
    many: bool = False


class Message(msgspec.Struct):
    """A message; `FIELDS` says which field has which number. Unknown fields are passed over."""

    FIELDS: ClassVar[Mapping[int, Field]] = {}


M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Write a message."""
    out = bytearray()
    defaults = _defaults(type(message))
    for number, field in message.FIELDS.items():
        value = getattr(message, field.name)
        if field.many:
            for one in value:
                _write(out, number, field.holds, one)
        elif value is not None and (value or defaults[field.name] is None):
            _write(out, number, field.holds, value)
    return bytes(out)


def decode(kind: type[M], data: bytes) -> M:
    """Read a message. Of a field that stands there twice the last one counts. Raises Malformed."""
    message = kind()
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        field = kind.FIELDS.get(tag >> 3)
        raw, at = _read_raw(data, at, tag & 7)
        if field is None:
            continue
        value = _value(field.holds, raw)
        if field.many:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def _defaults(kind: type[Message]) -> dict[str, Any]:
    found = _DEFAULTS.get(kind)
    if found is None:
        found = _DEFAULTS[kind] = {one.name: one.default for one in msgspec.structs.fields(kind)}
    return found


_DEFAULTS: dict[type[Message], dict[str, Any]] = {}


def _write(out: bytearray, number: int, holds: Type | type[Message], value: Any) -> None:
    if holds is Type.NUMBER or holds is Type.FLAG:
        _write_varint(out, number << 3 | _VARINT)
        _write_varint(out, int(value) & _MASK_64)
        return
    if holds is Type.TEXT:
        value = value.encode()
    elif holds is not Type.BYTES:
        value = encode(value)
    _write_varint(out, number << 3 | _LENGTH)
    _write_varint(out, len(value))
    out += value


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 0x80:  # as nearly all of them are
        return data[at], at + 1
    value = 0
    for i in range(_VARINT_BYTES_MAX):
        if at + i >= len(data):
            raise Malformed("a number is cut off")
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & _MASK_64, at + i + 1
    raise Malformed("a number is longer than 64 bits")


def _read_raw(data: bytes, at: int, wire_type: int) -> tuple[int | bytes, int]:
    if wire_type == _VARINT:
        return _read_varint(data, at)
    if wire_type == _LENGTH:
        length, at = _read_varint(data, at)
    elif wire_type in (_FIXED_64, _FIXED_32):
        length = 8 if wire_type == _FIXED_64 else 4
    else:
        raise Malformed(f"wire type {wire_type} is not used")
    if at + length > len(data):
        raise Malformed(f"{length} bytes were announced, {len(data) - at} are there")
    return data[at : at + length], at + length


def _value(holds: Type | type[Message], raw: int | bytes) -> Any:
    if holds is Type.NUMBER or holds is Type.FLAG:
        if not isinstance(raw, int):
            raise Malformed("a number was expected")
        if holds is Type.FLAG:
            return raw != 0
        return raw - (1 << 64) if raw >> 63 else raw
    if not isinstance(raw, bytes):
        raise Malformed("bytes were expected")
    if holds is Type.BYTES:
        return raw
    if holds is Type.TEXT:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None
    assert isinstance(holds, type)
    return decode(holds, raw)
