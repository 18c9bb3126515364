"""Results of user code: from Python values to what is recorded, and the text for people beside it.

Recorded are the values of JSON and bytes. Everything else that is supported (dates, dataclasses, pydantic models,
enums, sets, decimals …) is taken apart here, and put together again by the return annotation of the callable
(`callables.py`): what a type is called stands in no record.
"""

from __future__ import annotations

import base64
from pathlib import PurePath
from typing import Any

import msgspec

from headrace.execution.seams import Settings
from headrace.records.values import NONE, pack_value

BINARY = (bytes, bytearray, memoryview)
_SCALARS = frozenset({str, int, float, bool})
_JSON = msgspec.json.Encoder().encode


class Unserialisable(Exception):
    """A result that cannot be recorded; trying again gives another one of its kind."""


def pack_output(value: Any, settings: Settings) -> tuple[bytes, str]:
    """Write a result: as recorded, and as JSON for people. Raises Unserialisable."""
    if value is None:
        return NONE, "null"
    try:
        kind = type(value)
        if kind is not bytes and kind not in _SCALARS:
            value = msgspec.to_builtins(value, builtin_types=BINARY, enc_hook=_take_apart)
        packed = pack_value(value)
        if len(packed) > settings.output_bytes_max:
            raise Unserialisable(
                f"a result of {len(packed)} bytes cannot be recorded: {settings.output_bytes_max} are allowed; "
                "put large data elsewhere and return a reference to it"
            )
        text = _json_text(value, packed)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise Unserialisable(
            f"a result of type {type(value).__qualname__} cannot be recorded: {error}; "
            "return JSON data, bytes, dates, dataclasses or pydantic models"
        ) from error
    return packed, text if len(text) <= settings.output_json_bytes_max else _shortened(text, settings)


def _take_apart(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # a pydantic model; the library need not be loaded to tell
    if dump is not None and not isinstance(value, type):
        try:
            plain = dump(mode="python", by_alias=True, round_trip=True)
            return msgspec.to_builtins(plain, builtin_types=BINARY, enc_hook=_take_apart)
        except TypeError:
            return dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is not supported")


def _json_text(value: Any, packed: bytes) -> str:
    # msgpack's marks of bytes. Other data may hold them too: then the walk finds nothing.
    if type(value) is bytes or b"\xc4" in packed or b"\xc5" in packed or b"\xc6" in packed:
        value = _marked(value)
    return _JSON(value).decode()


def _marked(value: Any) -> Any:
    if isinstance(value, BINARY):
        return "base64:" + base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _marked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(inner) for inner in value]
    return value


def _shortened(text: str, settings: Settings) -> str:
    start = text[: settings.output_json_bytes_max // 2]
    return _JSON({"truncated": f"{len(text)} characters; this is the start", "start": start}).decode()
