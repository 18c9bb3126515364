"""Values of steps and runs, as they are recorded: one tag byte and the value.

`m` is msgpack (bytes, integers up to 64 bits, everything JSON has), `j` is JSON (integers beyond that), `b` is plain
bytes. Which Python type comes back is the reader's affair (`execution/values.py`).
"""

from __future__ import annotations

from typing import Any

import msgspec

NONE = b"m\xc0"
_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder()


def pack_value(value: Any) -> bytes:
    """Write plain data (None, bool, numbers, str, bytes, list, dict)."""
    if value is None:
        return NONE
    if type(value) is bytes:
        return b"b" + value
    try:
        return b"m" + _PACK.encode(value)
    except OverflowError:
        return b"j" + msgspec.json.encode(value)


def unpack_value(packed: bytes) -> Any:
    """Read what `pack_value` wrote."""
    tag = packed[:1]
    if tag == b"m":
        return _UNPACK.decode(memoryview(packed)[1:])
    if tag == b"b":
        return packed[1:]
    return msgspec.json.decode(memoryview(packed)[1:])


def json_text(packed: bytes | None, chars_max: int = 64 << 10) -> str:
    """Write a recorded value as JSON for people; of a large one, the start."""
    try:
        if packed is None:
            text = "null"
        elif packed[:1] == b"j":
            text = packed[1:].decode()
        else:
            text = msgspec.json.encode(unpack_value(packed)).decode()
    except (msgspec.MsgspecError, TypeError, ValueError):
        return "null"
    if len(text) <= chars_max:
        return text
    shown = {"truncated": f"{len(text)} characters; this is the start", "start": text[: chars_max // 2]}
    return msgspec.json.encode(shown).decode()
