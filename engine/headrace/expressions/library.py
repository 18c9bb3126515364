"""The functions and methods that expressions may call.

Each takes values that are there: a call with a missing path among its arguments gives false without being made,
except `size`, `dyn` (see `compiler.py`). Each raises Failed for arguments that it has no answer to.

Source: CEL language definition, "List of Standard Definitions"; SDK protocol page, section 9, for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from headrace.expressions.automaton import TooCostly, automaton
from headrace.expressions.conversions import (
    to_bool,
    to_bytes,
    to_date,
    to_double,
    to_duration,
    to_int,
    to_string,
    to_timestamp,
    to_type,
    to_uint,
)
from headrace.expressions.operators import timestamp
from headrace.expressions.pattern import BadPattern
from headrace.expressions.timestamps import NS_PER_DAY, NS_PER_SECOND, parse_iso_ns
from headrace.expressions.values import Duration, Failed, Int, Timestamp, spend, type_name

NS_PER_MS: Final = 1_000_000


class Function(NamedTuple):
    """A callable with the least and most arguments it takes; a method's target is its first argument.

    `wants` says what else it is given in front: the time of the evaluation in nanoseconds, or its budget.
    """

    call: Callable[..., Any]
    least: int
    most: int
    wants: str = ""


def size(value: Any) -> Int:
    """Count characters, bytes, elements or entries; null has none."""
    if type(value) in (str, bytes, list, dict):
        return Int(len(value))
    if value is None:
        return Int(0)
    raise Failed(f"size() of a {type_name(value)}")


def _starts_with(value: Any, prefix: Any) -> bool:
    return _text(value, "startsWith").startswith(_text(prefix, "startsWith"))


def _ends_with(value: Any, suffix: Any) -> bool:
    return _text(value, "endsWith").endswith(_text(suffix, "endsWith"))


def _contains(value: Any, part: Any) -> bool:
    return _text(part, "contains") in _text(value, "contains")


def _matches(budget: list[int], value: Any, pattern: Any) -> bool:
    subject = _text(value, "matches")
    try:
        ready = automaton(_text(pattern, "matches"))
        spend(budget, ready.work(subject) >> 2)
        return ready.found_in(subject)
    except (BadPattern, TooCostly) as refused:
        raise Failed(f"matches(): {refused}") from None


def _lowercase(value: Any) -> str:
    return _text(value, "lowercase").lower()


def _uppercase(value: Any) -> str:
    return _text(value, "uppercase").upper()


def _b64decode(value: Any) -> str:
    import binascii

    encoded = _text(value, "b64decode")
    try:
        return binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True).decode()
    except ValueError:  # binascii.Error and UnicodeDecodeError are both
        raise Failed("b64decode() of a text that is no base64 of UTF-8") from None


def _json_parse(value: Any) -> Any:
    import json

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        return json.loads(_text(value, "json_parse"), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Failed("json_parse() of a text that is no JSON") from None


def _now(now_ns: int) -> Timestamp:
    return timestamp(now_ns)


def _now_plus(now_ns: int, value: Any) -> Timestamp:
    return timestamp(now_ns + int(to_duration(value)))


def _now_minus(now_ns: int, value: Any) -> Timestamp:
    return timestamp(now_ns - int(to_duration(value)))


def _text(value: Any, name: str) -> str:
    if type(value) is not str:
        raise Failed(f"{name}() of a {type_name(value)}")
    return value


def _part_of_day(name: str, divisor: int, modulus: int, of_duration: Callable[[int], int]) -> Function:
    """Make the method that reads a part of a clock reading, or a duration in that unit (towards zero)."""

    def read(value: Any, zone: Any = "UTC") -> Int:
        if type(value) is Duration:
            return Int(of_duration(abs(value)) * (-1 if value < 0 else 1))
        return Int(_local(value, zone, name) // divisor % modulus)

    return Function(read, 1, 2)


def _part_of_date(name: str, part: Callable[[date], int]) -> Function:
    """Make the method that reads a part of the date of a moment, in UTC or the given zone."""

    def read(value: Any, zone: Any = "UTC") -> Int:
        days = _local(value, zone, name) // NS_PER_DAY
        try:
            return Int(part(date(1970, 1, 1) + timedelta(days=days)))
        except OverflowError:
            raise Failed(f"{name}() outside the years 1 to 9999") from None

    return Function(read, 1, 2)


def _local(value: Any, zone: Any, name: str) -> int:
    """Give the clock reading of a moment in a zone, as nanoseconds since 1970 on that clock."""
    if type(value) is not Timestamp:
        raise Failed(f"{name}() of a {type_name(value)}")
    if zone == "UTC":
        return int(value)
    if type(zone) is str and len(zone) == 6 and zone[0] in "+-":
        fixed = parse_iso_ns(f"1970-01-01T00:00:00{zone}")
        if fixed is not None:
            return int(value) - fixed[0]
    return int(value) + _offset_ns(value, zone, name)


def _offset_ns(value: int, zone: Any, name: str) -> int:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value // NS_PER_SECOND)
        offset = moment.astimezone(ZoneInfo(_text(zone, name))).utcoffset()
    except (ValueError, OSError, KeyError, OverflowError):  # ZoneInfoNotFoundError is a KeyError
        raise Failed(f"{name}(): there is no time zone {zone!r}") from None
    return 0 if offset is None else int(offset.total_seconds()) * NS_PER_SECOND


FUNCTIONS: Final[dict[str, Function]] = {
    "size": Function(size, 1, 1),
    "int": Function(to_int, 1, 1),
    "uint": Function(to_uint, 1, 1),
    "double": Function(to_double, 1, 1),
    "string": Function(to_string, 1, 1),
    "bool": Function(to_bool, 1, 1),
    "bytes": Function(to_bytes, 1, 1),
    "timestamp": Function(to_timestamp, 1, 1),
    "duration": Function(to_duration, 1, 1),
    "type": Function(to_type, 1, 1),
    "dyn": Function(lambda value: value, 1, 1),
    "matches": Function(_matches, 2, 2, "budget"),
    "lowercase": Function(_lowercase, 1, 1),
    "uppercase": Function(_uppercase, 1, 1),
    "b64decode": Function(_b64decode, 1, 1),
    "json_parse": Function(_json_parse, 1, 1),
    "date": Function(to_date, 1, 1),
    "now": Function(_now, 0, 0, "now"),
    "now_plus": Function(_now_plus, 1, 1, "now"),
    "now_minus": Function(_now_minus, 1, 1, "now"),
}

METHODS: Final[dict[str, Function]] = {
    "size": Function(size, 1, 1),
    "startsWith": Function(_starts_with, 2, 2),
    "endsWith": Function(_ends_with, 2, 2),
    "contains": Function(_contains, 2, 2),
    "matches": Function(_matches, 2, 2, "budget"),
    "getFullYear": _part_of_date("getFullYear", lambda day: day.year),
    "getMonth": _part_of_date("getMonth", lambda day: day.month - 1),
    "getDate": _part_of_date("getDate", lambda day: day.day),
    "getDayOfMonth": _part_of_date("getDayOfMonth", lambda day: day.day - 1),
    "getDayOfWeek": _part_of_date("getDayOfWeek", lambda day: day.isoweekday() % 7),
    "getDayOfYear": _part_of_date("getDayOfYear", lambda day: day.timetuple().tm_yday - 1),
    "getHours": _part_of_day("getHours", 3_600 * NS_PER_SECOND, 24, lambda ns: ns // (3_600 * NS_PER_SECOND)),
    "getMinutes": _part_of_day("getMinutes", 60 * NS_PER_SECOND, 60, lambda ns: ns // (60 * NS_PER_SECOND)),
    "getSeconds": _part_of_day("getSeconds", NS_PER_SECOND, 60, lambda ns: ns // NS_PER_SECOND),
    "getMilliseconds": _part_of_day("getMilliseconds", NS_PER_MS, 1_000, lambda ns: ns // NS_PER_MS % 1_000),
}

# Macros by name, with the numbers of arguments they take; `has` is a function, the others are methods.
MACROS: Final = {"all": (2,), "exists": (2,), "exists_one": (2,), "map": (2, 3), "filter": (2,)}
