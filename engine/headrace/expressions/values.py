"""The values that an expression computes with, and how they leave it.

Data from events stays what JSON made of it: None, bool, int, float, str, list, dict. A plain `int` is a JSON number
and so a CEL double (5 / 2 is 2.5) that merely keeps its digits; a CEL int is tagged `Int`. The tags are subclasses of
int because comparing and hashing them then runs at C speed; every rule looks at the exact type, never at isinstance.

Source: CEL language definition, "Values" and "JSON Data Conversion"; SDK protocol page, section 9.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.expressions.timestamps import NS_PER_SECOND, format_iso

# What a scope holds beside the variables, under names that no variable can have.
BUDGET_KEY: Final = "#budget"
NOW_KEY: Final = "#now"


class Failed(Exception):
    """An operation that has no result; it never leaves this room (callers see BadRecord, or no match)."""


class Exhausted(Exception):
    """The expression has used up its budget of work; unlike Failed, && and || do not swallow it."""


class Unknown:
    """The type of UNKNOWN, what reading a path gives that is not there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


class Int(int):
    """A CEL int, 64 bits."""

    __slots__ = ()


class Uint(int):
    """A CEL uint, 64 bits."""

    __slots__ = ()


class Timestamp(int):
    """A moment, in nanoseconds since 1970."""

    __slots__ = ()


class Duration(int):
    """A length of time, in nanoseconds; may be negative."""

    __slots__ = ()


class TypeName:
    """The value of `type(x)`; one object for each type, so that identity is equality."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class BoolKey:
    """A bool as the key of a map: in a Python dict True would be the same key as 1."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


TRUE_KEY: Final = BoolKey(True)
FALSE_KEY: Final = BoolKey(False)

NUMERIC: Final[frozenset[type]] = frozenset({int, float, Int, Uint})
ORDERED: Final[frozenset[type]] = frozenset({str, bool, bytes, Timestamp, Duration})
_AS_THEY_ARE: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_NAMES: Final[dict[type, str]] = {
    type(None): "null_type", bool: "bool", int: "double", float: "double", Int: "int", Uint: "uint", str: "string",
    bytes: "bytes", list: "list", dict: "map", Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration", TypeName: "type", Unknown: "unknown",
}  # fmt: skip
TYPES: Final = {name: TypeName(name) for name in _NAMES.values()}


def type_name(value: object) -> str:
    """Name the CEL type of a value."""
    return _NAMES.get(type(value), type(value).__name__)


def truthy(value: object) -> bool:
    """Tell whether a value counts as true: all but false, null, a missing path, 0 and the empty text."""
    if value is True or value is False:
        return value
    if value is None or value is UNKNOWN:
        return False
    kind = type(value)
    if kind is str or kind in NUMERIC:
        return bool(value)
    return True


def equal(left: Any, right: Any, budget: list[int] | None = None) -> bool:
    """Compare as `==` does: numbers by value, other types never equal each other, lists and maps by content.

    A missing path equals null and nothing else, not even another missing path. `budget[0]` is lowered by the
    number of elements visited; Exhausted is raised when it falls below 0.
    """
    kind = type(left)
    if kind in NUMERIC:
        return type(right) in NUMERIC and bool(left == right)
    if kind is not type(right):
        return (left is UNKNOWN and right is None) or (right is UNKNOWN and left is None)
    if kind is list:
        if len(left) != len(right):
            return False
        spend(budget, len(left))
        return all(map(equal, left, right, [budget] * len(left)))
    if kind is dict:
        if left.keys() != right.keys():
            return False
        spend(budget, len(left))
        return all(equal(value, right[key], budget) for key, value in left.items())
    if kind is str and budget is not None:
        spend(budget, len(left) >> 8)
    return kind is not Unknown and bool(left == right)


def spend(budget: list[int] | None, amount: int) -> None:
    """Lower the budget of an evaluation; raise Exhausted when it is used up."""
    if budget is not None:
        budget[0] -= amount
        if budget[0] < 0:
            raise Exhausted


def map_key(value: Any) -> object:
    """Give the dict key that stands for a CEL map key, or UNKNOWN where no map can have such a key."""
    kind = type(value)
    if kind is str:
        return value
    if kind is bool:
        return TRUE_KEY if value else FALSE_KEY
    if kind in NUMERIC and value == value // 1:  # whole; false for NaN and the infinities
        return int(value)
    return UNKNOWN


def key_value(key: object) -> object:
    """Give the CEL value of a dict key made by `map_key`, or of a key of JSON data."""
    if isinstance(key, BoolKey):
        return key.value
    return Int(key) if type(key) is int else key


def number_text(value: int | float) -> str:
    """Write a number as JSON does: no point and no exponent for whole numbers below 10^21."""
    if type(value) is not float:
        return int.__repr__(value) if isinstance(value, int) else repr(value)
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def duration_text(ns: int) -> str:
    """Write a duration as protobuf's JSON does: seconds with as many decimals as there are, and an s."""
    seconds, fraction = divmod(abs(ns), NS_PER_SECOND)
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{'-' if ns < 0 else ''}{seconds}{decimals}s"


def text(value: Any, budget: list[int] | None = None) -> str:
    """Write any value as the text that `+` joins: strings as they are, lists and maps as JSON."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind in NUMERIC:
        return number_text(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is list or kind is dict:
        import json

        return json.dumps(plain(value, budget), ensure_ascii=False, separators=(",", ":"))
    return "null" if value is None else str(plain(value))


def plain(value: Any, budget: list[int] | None = None) -> Any:
    """Turn a value into what JSON can hold: times as RFC 3339, durations as "1.5s", bytes as base64; containers new.

    The budget is for values that an expression made: one list may stand in another many times over, and be long
    when all is written out.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is Int or kind is Uint:
        return int(value)
    if kind is list:
        spend(budget, len(value) >> 1)
        return [plain(element, budget) for element in value]
    if kind is dict:
        spend(budget, len(value) >> 1)
        return {text(key_value(key)): plain(element, budget) for key, element in value.items()}
    if kind is Timestamp:
        return format_iso(value)
    if kind is Duration:
        return duration_text(value)
    if kind is bytes:
        from base64 import b64encode

        return b64encode(value).decode()
    if kind is TypeName:
        return value.name
    raise Failed(f"a {kind.__name__} is no JSON value")
