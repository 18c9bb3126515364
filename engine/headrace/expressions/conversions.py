"""The conversions between types: `int(x)`, `string(x)`, `timestamp(x)`, `date(x)` and their kin.

Source: CEL language definition, "List of Standard Definitions"; SDK protocol page, section 9, for `date` and for the
units d and w in durations. A whole JSON number converts like a double of that value.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from headrace.expressions.operators import INT_MAX, INT_MIN, UINT_MAX, double, duration, timestamp
from headrace.expressions.timestamps import NS_PER_SECOND, parse_date_ns, parse_iso_ns, unix_ns
from headrace.expressions.values import (
    NUMERIC,
    TYPES,
    Duration,
    Failed,
    Int,
    Timestamp,
    TypeName,
    Uint,
    text,
    type_name,
)

_DIGITS = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity)|nan", re.I | re.ASCII
)
_BOOLS: Final = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}
_UNITS_NS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": NS_PER_SECOND, "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND, "d": 86_400 * NS_PER_SECOND, "w": 604_800 * NS_PER_SECOND,
}  # fmt: skip
_DURATION_PART = re.compile(r"([0-9]{0,18})(?:\.([0-9]{0,9}))?(ns|us|µs|μs|ms|s|m|h|d|w)", re.ASCII)


def to_int(value: Any) -> Int:
    """Convert a number (towards zero), a decimal text, or a moment (whole seconds since 1970) to int."""
    kind = type(value)
    if kind is Timestamp:
        return Int(int(value) // NS_PER_SECOND)
    if kind is float and value == INT_MIN:  # so the definition has it: doubles do not tell it from what is below
        raise Failed("int() of a number that does not fit into 64 bits")
    return Int(_in_range(_whole(value, "int"), INT_MIN, INT_MAX, "int"))


def to_uint(value: Any) -> Uint:
    """Convert a number (towards zero) or a decimal text that is not negative to uint."""
    if type(value) is float and value < 0:
        raise Failed("uint() of a negative number")
    return Uint(_in_range(_whole(value, "uint"), 0, UINT_MAX, "uint"))


def _whole(value: Any, name: str) -> int:
    if type(value) is str and _DIGITS.fullmatch(value):
        return int(value)
    if type(value) in NUMERIC and not (type(value) is float and not math.isfinite(value)):
        return int(value)
    raise _no_conversion(value, name)


def _in_range(whole: int, least: int, most: int, name: str) -> int:
    if least <= whole <= most:
        return whole
    raise Failed(f"{name}() of a number that does not fit into 64 bits")


def to_double(value: Any) -> float:
    """Convert a number or a text to double."""
    if type(value) in NUMERIC:
        return double(value)
    if type(value) is str and _DECIMAL.fullmatch(value):
        return float(value)
    raise _no_conversion(value, "double")


def to_string(value: Any) -> str:
    """Convert a scalar to text: numbers as JSON writes them, times as RFC 3339, bytes as the UTF-8 they hold."""
    kind = type(value)
    if kind is bytes:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise Failed("string() of bytes that are no UTF-8") from None
    if value is None or kind in (list, dict, TypeName):
        raise _no_conversion(value, "string")
    return text(value)


def to_bool(value: Any) -> bool:
    """Convert a bool, or one of the texts "true", "t", "1", "false", "f", "0", to bool."""
    if type(value) is bool:
        return value
    if type(value) is str and value in _BOOLS:
        return _BOOLS[value]
    raise _no_conversion(value, "bool")


def to_bytes(value: Any) -> bytes:
    """Convert a text to the bytes of its UTF-8."""
    if type(value) is bytes:
        return value
    if type(value) is str:
        return value.encode("utf-8", "replace")
    raise _no_conversion(value, "bytes")


def to_timestamp(value: Any) -> Timestamp:
    """Convert an RFC 3339 text with a zone, or seconds since 1970, to a moment."""
    if type(value) is Timestamp:
        return value
    if type(value) is str:
        moment = parse_iso_ns(value)
        if moment is not None and moment[1]:
            return timestamp(moment[0])
    elif type(value) in NUMERIC:
        seconds = double(value)
        if abs(seconds) < 1e12:
            return timestamp(int(value) * NS_PER_SECOND if type(value) is not float else round(seconds * 1e9))
    raise _no_conversion(value, "timestamp")


def to_duration(value: Any) -> Duration:
    """Convert a text such as "1h30m", "1.5s", "-2d" to a duration."""
    if type(value) is Duration:
        return value
    if type(value) is not str:
        raise _no_conversion(value, "duration")
    negative = value.startswith("-")
    at = 1 if value[:1] in ("-", "+") else 0
    if value[at:] == "0":
        return Duration(0)
    billionths = 0  # of a nanosecond
    begins = at
    while at < len(value):
        part = _DURATION_PART.match(value, at)
        if part is None or not (part[1] or part[2]):
            raise _no_conversion(value, "duration")
        billionths += int((part[1] or "") + (part[2] or "").ljust(9, "0")) * _UNITS_NS[part[3]]
        at = part.end()
    if at == begins:
        raise _no_conversion(value, "duration")
    ns = billionths // 1_000_000_000
    return duration(-ns if negative else ns)


def to_date(value: Any) -> Timestamp:
    """Convert a date in any common form, or a Unix time whose unit its size tells, to a moment."""
    if type(value) is Timestamp:
        return value
    ns = None
    if type(value) is str:
        ns = parse_date_ns(value)
    elif type(value) in NUMERIC:
        ns = unix_ns(value)
    if ns is None:
        raise _no_conversion(value, "date")
    return timestamp(ns)


def to_type(value: Any) -> TypeName:
    """Give the type of a value; every JSON number is a double."""
    return TYPES[type_name(value)]


def _no_conversion(value: object, name: str) -> Failed:
    shown = repr(value)[:40] if type(value) in (str, int, float, bool) else f"a {type_name(value)}"
    return Failed(f"{name}() of {shown}")
