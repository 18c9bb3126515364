"""The chains of && and ||: they give operands, and swallow the failure of one when another decides."""

from __future__ import annotations

from typing import Any

from headrace.expressions.shortcuts import Closure, Scope
from headrace.expressions.values import Failed, truthy


def both(terms: tuple[Closure, ...]) -> Closure:
    """`one && other`: the form that most expressions have, without a loop."""
    one, other = terms

    def run(scope: Scope) -> Any:
        try:
            value = one(scope)
        except Failed:
            return _absorbed(terms, scope, decisive=False)
        if value is True or truthy(value):
            return other(scope)
        return value

    return run


def all_of(terms: tuple[Closure, ...]) -> Closure:
    """`one && other && …`: the first operand that counts as false, or the last."""

    def run(scope: Scope) -> Any:
        value: Any = True
        try:
            for term in terms:
                value = term(scope)
                if value is not True and not truthy(value):
                    return value
        except Failed:
            return _absorbed(terms, scope, decisive=False)
        return value

    return run


def any_of(terms: tuple[Closure, ...]) -> Closure:
    """`one || other || …`: the first operand that counts as true, or the last."""

    def run(scope: Scope) -> Any:
        value: Any = False
        try:
            for term in terms:
                value = term(scope)
                if value is True or truthy(value):
                    return value
        except Failed:
            return _absorbed(terms, scope, decisive=True)
        return value

    return run


def _absorbed(terms: tuple[Closure, ...], scope: Scope, *, decisive: bool) -> Any:
    """Give the first operand that decides the chain by itself; if there is none, the failure stands.

    `false && failure` and `failure && false` are both false, `true || failure` either way is true (CEL language
    definition, "Logical Operators").
    """
    failed: Failed | None = None
    for term in terms:
        try:
            value = term(scope)
        except Failed as failure:
            failed = failed or failure
            continue
        if truthy(value) is decisive:
            return value
    assert failed is not None, "an expression fails alike each time"
    raise failed
