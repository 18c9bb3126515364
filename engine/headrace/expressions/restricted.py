"""Restricted expressions: conditions that may compare, combine and index, and do nothing else.

What a run is cancelled by, if an app of an SDK says so, is such a condition. Source: the SDK protocol page, section 9.
"""

from __future__ import annotations

from headrace.expressions.syntax import Binary, Call, Node, Unary

_CONVERSIONS = frozenset({"int", "uint", "double"})
_RELATIONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})


def beyond_conditions(source: str) -> str:
    """Name the first thing in an expression that compiles which a restricted one may not have; "" for none.

    `int`, `uint` and `double` may be called; arithmetic counts as calling, and so does every method and macro.
    """
    from headrace.expressions.grammar import parse

    return _beyond(parse(source))


def _beyond(node: Node) -> str:
    found = ""
    if isinstance(node, Call):
        allowed = node.target is None and node.name in _CONVERSIONS
        found = "" if allowed else f"{node.name}()"
    elif isinstance(node, Binary):
        found = "" if node.operator in _RELATIONS else node.operator
    elif isinstance(node, Unary):
        found = "" if node.operator == "!" else node.operator
    return found or next((below for part in node.parts if (below := _beyond(part))), "")
