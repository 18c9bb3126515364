"""The macros: `has`; `all`, `exists`, `exists_one`, `map`, `filter` over the elements of a list or the keys of a map.

Every round costs the number of nodes of its body, so that no expression over no data runs for ever (see BUDGET in
`expression.py`). A missing path has no elements to speak of: the tests give false, `map` and `filter` a missing value.

Source: CEL language definition, "Macros"; SDK protocol page, section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from headrace.expressions.shortcuts import Closure, Scope
from headrace.expressions.values import BUDGET_KEY, UNKNOWN, Failed, key_value, spend, truthy, type_name


def has_member(operand: Closure, name: str) -> Closure:
    """`has(operand.name)`: whether the member is there, be it null."""

    def present(scope: Scope) -> bool:
        value = operand(scope)
        return type(value) is dict and name in value

    return present


def _rounds(source: Closure, variable: str, cost: int, scope: Scope) -> Iterable[tuple[Any, Scope]] | None:
    """Give each element with a scope in which the variable is that element; None if the source is missing."""
    value = source(scope)
    if value is UNKNOWN:
        return None
    if type(value) is dict:
        elements: Iterable[Any] = map(key_value, value)
    elif type(value) is list:
        elements = value
    else:
        raise Failed(f"a macro over a {type_name(value)}: only lists and maps have elements")
    return _each(elements, variable, cost, scope)


def _each(elements: Iterable[Any], variable: str, cost: int, scope: Scope) -> Iterable[tuple[Any, Scope]]:
    inner = dict(scope)
    budget = scope[BUDGET_KEY]
    for element in elements:
        spend(budget, cost)
        inner[variable] = element
        yield element, inner


def _all(source: Closure, variable: str, cost: int, test: Closure, _then: Closure | None) -> Closure:
    def run(scope: Scope) -> bool:
        rounds = _rounds(source, variable, cost, scope)
        return rounds is not None and _settle(rounds, test, decisive=False)

    return run


def _exists(source: Closure, variable: str, cost: int, test: Closure, _then: Closure | None) -> Closure:
    def run(scope: Scope) -> bool:
        rounds = _rounds(source, variable, cost, scope)
        return rounds is not None and _settle(rounds, test, decisive=True)

    return run


def _settle(rounds: Iterable[tuple[Any, Scope]], test: Closure, *, decisive: bool) -> bool:
    """Stop at the first decisive answer; a failure counts only if no round is decisive, as with && and ||."""
    failed: Failed | None = None
    for _, inner in rounds:
        try:
            if truthy(test(inner)) is decisive:
                return decisive
        except Failed as failure:
            failed = failure
    if failed is not None:
        raise failed
    return not decisive


def _exists_one(source: Closure, variable: str, cost: int, test: Closure, _then: Closure | None) -> Closure:
    def run(scope: Scope) -> bool:
        rounds = _rounds(source, variable, cost, scope)
        return rounds is not None and sum(truthy(test(inner)) for _, inner in rounds) == 1

    return run


def _map(source: Closure, variable: str, cost: int, first: Closure, then: Closure | None) -> Closure:
    def run(scope: Scope) -> Any:
        rounds = _rounds(source, variable, cost, scope)
        if rounds is None:
            return UNKNOWN
        if then is None:
            return [_present(first(inner)) for _, inner in rounds]
        return [_present(then(inner)) for _, inner in rounds if truthy(first(inner))]

    return run


def _filter(source: Closure, variable: str, cost: int, test: Closure, _then: Closure | None) -> Closure:
    def run(scope: Scope) -> Any:
        rounds = _rounds(source, variable, cost, scope)
        return UNKNOWN if rounds is None else [element for element, inner in rounds if truthy(test(inner))]

    return run


def _present(value: Any) -> Any:
    """Put null for a missing value: a list has no holes."""
    return None if value is UNKNOWN else value


MACRO_CLOSURES: Final[dict[str, Callable[[Closure, str, int, Closure, Closure | None], Closure]]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "map": _map,
    "filter": _filter,
}
