"""Closures for the forms that most expressions are made of: a path, a path against a literal, a path against a path.

They read the bindings and nothing else, and answer at once for the types that they were made for; whatever else they
meet goes to the general rule of `values.py` and `operators.py`. The measure is evaluations per second, because an
expression stands on the path of every event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.expressions.operators import ORDERS
from headrace.expressions.values import BUDGET_KEY, NUMERIC, UNKNOWN, Failed, equal, type_name

Scope = Any  # dict[str, Any]; Any, because mypy would have the walk below checked step by step
Closure = Callable[[Scope], Any]


def path_reader(steps: tuple[str, ...]) -> Closure:
    """Read a chain of members, the first of which is a variable; UNKNOWN where it leads nowhere.

    Indexing by a text raises TypeError for everything that JSON can hold but a map.
    """
    if len(steps) == 1:
        (variable,) = steps
        return lambda scope: scope.get(variable, UNKNOWN)
    readers = {2: _two, 3: _three, 4: _four}
    return readers.get(len(steps), _many)(steps)


def _two(steps: tuple[str, ...]) -> Closure:
    one, two = steps

    def read(scope: Scope) -> Any:
        try:
            return scope[one][two]
        except (KeyError, TypeError):
            return UNKNOWN

    return read


def _three(steps: tuple[str, ...]) -> Closure:
    one, two, three = steps

    def read(scope: Scope) -> Any:
        try:
            return scope[one][two][three]
        except (KeyError, TypeError):
            return UNKNOWN

    return read


def _four(steps: tuple[str, ...]) -> Closure:
    one, two, three, four = steps

    def read(scope: Scope) -> Any:
        try:
            return scope[one][two][three][four]
        except (KeyError, TypeError):
            return UNKNOWN

    return read


def _many(steps: tuple[str, ...]) -> Closure:
    def read(scope: Scope) -> Any:
        value = scope
        try:
            for step in steps:
                value = value[step]
        except (KeyError, TypeError):
            return UNKNOWN
        return value

    return read


def path_equals_literal(read: Closure, literal: Any, negated: bool) -> Closure:
    """Compare what a path gives with a constant."""
    if type(literal) is str:
        # A text equals no other type in Python either, so == needs no look at the types.
        if negated:
            return lambda scope: read(scope) != literal
        return lambda scope: read(scope) == literal
    if type(literal) in NUMERIC:

        def equals(scope: Scope) -> bool:
            value = read(scope)
            return (value == literal and type(value) is not bool) is not negated

        return equals
    return lambda scope: equal(read(scope), literal) is not negated


def path_orders_literal(read: Closure, operator: str, literal: Any) -> Closure:
    """Order what a path gives against a constant number or text."""
    order = ORDERS[operator]
    if type(literal) not in NUMERIC:
        return lambda scope: order(read(scope), literal)
    number: Any = float(literal) if type(literal) is float else int(literal)
    # One closure for each sign: going through `operator.lt` would cost a third of the rate.
    if operator == "<":

        def less(scope: Scope) -> Any:
            value = read(scope)
            kind = type(value)
            return value < number if kind is int or kind is float else order(value, literal)

        return less
    if operator == ">":

        def greater(scope: Scope) -> Any:
            value = read(scope)
            kind = type(value)
            return value > number if kind is int or kind is float else order(value, literal)

        return greater
    if operator == "<=":

        def at_most(scope: Scope) -> Any:
            value = read(scope)
            kind = type(value)
            return value <= number if kind is int or kind is float else order(value, literal)

        return at_most

    def at_least(scope: Scope) -> Any:
        value = read(scope)
        kind = type(value)
        return value >= number if kind is int or kind is float else order(value, literal)

    return at_least


def path_equals_path(left: Closure, right: Closure, negated: bool, *, repeated: bool) -> Closure:
    """Compare what two paths give: unequal if either leads nowhere, even if the other gives null.

    So `event.data.id == async.data.id` means that both are there, which is what `match` promises. What is `repeated`,
    by a macro, is charged to the budget.
    """

    def equals(scope: Scope) -> bool:
        one = left(scope)
        other = right(scope)
        if type(one) is str and not repeated:
            return (one == other) is not negated
        if one is UNKNOWN or other is UNKNOWN:
            return negated
        return equal(one, other, scope.get(BUDGET_KEY)) is not negated

    return equals


def text_test(read: Closure, name: str, literal: str) -> Closure:
    """Test what a path gives with startsWith, endsWith or contains and a constant; false if it leads nowhere."""

    def refuse(value: Any) -> bool:
        if value is UNKNOWN:
            return False
        raise Failed(f"{name}() of a {type_name(value)}")

    def starts_with(scope: Scope) -> bool:
        value = read(scope)
        return value.startswith(literal) if type(value) is str else refuse(value)

    def ends_with(scope: Scope) -> bool:
        value = read(scope)
        return value.endswith(literal) if type(value) is str else refuse(value)

    def contains(scope: Scope) -> bool:
        value = read(scope)
        return literal in value if type(value) is str else refuse(value)

    return {"startsWith": starts_with, "endsWith": ends_with, "contains": contains}[name]


def path_in_literals(read: Closure, literals: list[Any]) -> Closure:
    """Look for what a path gives in a list of constants, false if it leads nowhere."""
    texts = frozenset(literal for literal in literals if type(literal) is str)
    others = [literal for literal in literals if type(literal) is not str]

    def listed(scope: Scope) -> bool:
        value = read(scope)
        if type(value) is str:
            return value in texts
        return value is not UNKNOWN and any(equal(value, literal) for literal in others)

    return listed
