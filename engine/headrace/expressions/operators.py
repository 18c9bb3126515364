"""The operators of the language: order, arithmetic, membership, reading a member or an index.

Source: SDK protocol page, section 9, for missing paths, null and mixed types; CEL language definition for the rest.
Two departures, because the reference's answers help nobody: numbers of different types add up as numbers, where the
reference joins their digits to a text ("5" + "1" = "51"); and `%` takes JSON numbers, where it fails.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

from headrace.expressions.timestamps import NS_MAX, NS_MIN
from headrace.expressions.values import (
    NUMERIC,
    ORDERED,
    UNKNOWN,
    Duration,
    Failed,
    Int,
    Timestamp,
    Uint,
    equal,
    map_key,
    spend,
    text,
    type_name,
)

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
EXACT_MAX: Final = 2**53  # the largest magnitude up to which a double holds every whole number
DURATION_NS_MAX: Final = 315_576_000_000 * 1_000_000_000  # protobuf's limit, ten thousand years
LENGTH_MAX: Final = 1 << 20  # of a text or list made by +
_ZERO: Final[dict[type, Any]] = {str: "", bool: False, bytes: b"", Duration: Duration(0), **dict.fromkeys(NUMERIC, 0)}

Order = Callable[..., bool]


def _order(test: Callable[[Any, Any], bool], symbol: str, missing_is_less: bool) -> Order:
    def compare(left: Any, right: Any, budget: list[int] | None = None) -> bool:
        kind, other = type(left), type(right)
        if kind is str and budget is not None:
            spend(budget, len(left) >> 8)
        if (kind in NUMERIC and other in NUMERIC) or (kind is other and kind in ORDERED):
            return bool(test(left, right))
        if left is UNKNOWN:
            return missing_is_less and right is not UNKNOWN
        if right is UNKNOWN:
            return not missing_is_less
        if left is None and other in _ZERO:
            return bool(test(_ZERO[other], right))
        if right is None and kind in _ZERO:
            return bool(test(left, _ZERO[kind]))
        raise Failed(f"{type_name(left)} {symbol} {type_name(right)} has no answer")

    return compare


# A missing path is less than everything that is there; two of them have no order.
ORDERS: Final[dict[str, Order]] = {
    "<": _order(operator.lt, "<", True),
    "<=": _order(operator.le, "<=", True),
    ">": _order(operator.gt, ">", False),
    ">=": _order(operator.ge, ">=", False),
}


def add(left: Any, right: Any, budget: list[int]) -> Any:
    """Add numbers or times, join texts and lists; a missing side gives the other, mixed types join as texts."""
    kind, other = type(left), type(right)
    if kind in NUMERIC and other in NUMERIC:
        return _number(left, right, operator.add)
    if left is UNKNOWN:
        return False if right is UNKNOWN else right
    if right is UNKNOWN:
        return left
    if kind is other:
        if kind is str or kind is bytes or kind is list:
            return _short(left + right, budget)
        if kind is Duration:
            return duration(int(left) + int(right))
    elif (kind is Timestamp and other is Duration) or (kind is Duration and other is Timestamp):
        return timestamp(int(left) + int(right))
    else:
        return _short(text(left, budget) + text(right, budget), budget)
    raise _no_overload("+", left, right)


def subtract(left: Any, right: Any) -> Any:
    """Subtract numbers, moments and durations; false if a side is missing."""
    kind, other = type(left), type(right)
    if kind in NUMERIC and other in NUMERIC:
        return _number(left, right, operator.sub)
    if left is UNKNOWN or right is UNKNOWN:
        return False
    if other is Duration and kind is Timestamp:
        return timestamp(int(left) - int(right))
    if kind is other and (kind is Timestamp or kind is Duration):
        return duration(int(left) - int(right))
    raise _no_overload("-", left, right)


def multiply(left: Any, right: Any) -> Any:
    """Multiply numbers; false if a side is missing."""
    if left is UNKNOWN or right is UNKNOWN:
        return False
    if type(left) in NUMERIC and type(right) in NUMERIC:
        return _number(left, right, operator.mul)
    raise _no_overload("*", left, right)


def divide(left: Any, right: Any) -> Any:
    """Divide: CEL integers towards zero, everything else as doubles (x / 0.0 is infinite, as IEEE 754 has it)."""
    if left is UNKNOWN or right is UNKNOWN:
        return False
    kind = type(left)
    if kind not in NUMERIC or type(right) not in NUMERIC:
        raise _no_overload("/", left, right)
    if kind is type(right) and (kind is Int or kind is Uint):
        return _tagged(_truncated(int(left), int(right)), kind)
    dividend, divisor = double(left), double(right)
    if divisor:
        return dividend / divisor
    if not dividend or dividend != dividend:
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def remainder(left: Any, right: Any) -> Any:
    """Give the remainder with the sign of the dividend; false if a side is missing."""
    if left is UNKNOWN or right is UNKNOWN:
        return False
    kind, other = type(left), type(right)
    if kind not in NUMERIC or other not in NUMERIC:
        raise _no_overload("%", left, right)
    if kind is float or other is float:
        if not right or math.isinf(left):
            raise Failed("the remainder of a division by zero")
        return math.fmod(double(left), double(right))
    quotient = _truncated(int(left), int(right))
    rest = int(left) - int(right) * quotient
    if kind is not other or kind is int:
        return _json_number(rest)
    _tagged(quotient, kind)  # the remainder fails where the division does
    return _tagged(rest, kind)


def negate(value: Any) -> Any:
    """Turn the sign of a number or a duration; false if it is missing."""
    kind = type(value)
    if kind is Int:
        return _tagged(-int(value), Int)
    if kind is int or kind is float:
        return -value
    if kind is Duration:
        return Duration(-int(value))
    if value is UNKNOWN:
        return False
    raise Failed(f"-({type_name(value)}) has no answer")


def contained(item: Any, container: Any, budget: list[int]) -> bool:
    """Tell whether a list has the item, or a map the key; false if either side is missing."""
    if container is UNKNOWN or item is UNKNOWN:
        return False
    kind = type(container)
    if kind is list:
        if type(item) is str:
            spend(budget, len(container) >> 3)
            return item in container
        spend(budget, len(container))
        return any(equal(element, item, budget) for element in container)
    if kind is dict:
        return map_key(item) in container
    raise Failed(f"`in` needs a list or a map on its right, not a {type_name(container)}")


def member(value: Any, name: str) -> Any:
    """Read a member of a map; UNKNOWN where there is none, or nothing that has members."""
    return value.get(name, UNKNOWN) if type(value) is dict else UNKNOWN


def element(value: Any, index: Any) -> Any:
    """Read an element of a list or map; UNKNOWN where there is none."""
    if type(value) is dict:
        return value.get(map_key(index), UNKNOWN)
    if type(value) is list and type(index) in NUMERIC and index == index // 1 and 0 <= index < len(value):
        return value[int(index)]
    return UNKNOWN


def timestamp(ns: int) -> Timestamp:
    """Make a moment, or fail outside the years 1 to 9999."""
    if not NS_MIN <= ns <= NS_MAX:
        raise Failed("a moment outside the years 1 to 9999")
    return Timestamp(ns)


def duration(ns: int) -> Duration:
    """Make a duration, or fail beyond ten thousand years."""
    if not -DURATION_NS_MAX <= ns <= DURATION_NS_MAX:
        raise Failed("a duration of more than ten thousand years")
    return Duration(ns)


def double(value: Any) -> float:
    """Give a number as a double; whole numbers beyond its range become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _number(left: Any, right: Any, compute: Callable[[Any, Any], Any]) -> Any:
    kind, other = type(left), type(right)
    if kind is float or other is float:
        return compute(double(left), double(right))
    if kind is other and kind is not int:
        return _tagged(compute(int(left), int(right)), kind)
    if abs(left) > UINT_MAX or abs(right) > UINT_MAX:  # keeps products of products from growing without end
        return compute(double(left), double(right))
    return _json_number(compute(int(left), int(right)))


def _json_number(whole: int) -> int | float:
    return whole if -EXACT_MAX <= whole <= EXACT_MAX else double(whole)


def _tagged(whole: int, kind: type) -> Int | Uint:
    if kind is Int and INT_MIN <= whole <= INT_MAX:
        return Int(whole)
    if kind is Uint and 0 <= whole <= UINT_MAX:
        return Uint(whole)
    raise Failed(f"{whole} does not fit into 64 bits")


def _truncated(dividend: int, divisor: int) -> int:
    if not divisor:
        raise Failed("division by zero")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _short(joined: Any, budget: list[int]) -> Any:
    spend(budget, len(joined) >> 4)
    if len(joined) > LENGTH_MAX:
        raise Failed(f"+ made more than {LENGTH_MAX} elements")
    return joined


def _no_overload(symbol: str, left: object, right: object) -> Failed:
    return Failed(f"{type_name(left)} {symbol} {type_name(right)} has no answer")
