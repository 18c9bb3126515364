"""What an expression reads: its paths, and an equality that waits can be found by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from headrace.expressions.library import MACROS
from headrace.expressions.syntax import Binary, Call, Index, Literal, Logic, Member, Name, Node
from headrace.expressions.values import Int

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def member_text(name: str) -> str:
    """Write the reading of a member as it stands in an expression: `.name`, or `["any name"]`."""
    return f".{name}" if _IDENTIFIER.fullmatch(name) else f"[{json.dumps(name, ensure_ascii=False)}]"


def path_text(node: Node) -> str | None:
    """Write a chain of constant members and indices that begins with a variable; None for any other node.

    The text is itself an expression: `event.data.userId`, `event.data["user-id"]`, `event.data.items[0].sku`.
    """
    text = ""
    while not isinstance(node, Name):
        if isinstance(node, Member):
            text = member_text(node.name) + text
        elif isinstance(node, Index) and isinstance(node.index, Literal) and type(node.index.value) is str:
            text = member_text(node.index.value) + text
        elif isinstance(node, Index) and isinstance(node.index, Literal) and type(node.index.value) is Int:
            text = f"[{int(node.index.value)}]" + text
        else:
            return None
        node = node.operand
    return node.name + text


def root_name(node: Node) -> str:
    """Name the variable that a path begins with."""
    while isinstance(node, Member | Index):
        node = node.operand
    assert isinstance(node, Name), node
    return node.name


def paths_read(node: Node, variables: frozenset[str]) -> Iterator[str]:
    """Give the text of every path below a node that begins with one of the variables."""
    path = path_text(node)
    if path is not None:
        if root_name(node) in variables:
            yield path
        return
    if isinstance(node, Call) and node.target is not None and node.name in MACROS:
        yield from paths_read(node.target, variables)
        own = node.arguments[0]
        within = variables - {own.name} if isinstance(own, Name) else variables
        for argument in node.arguments[1:]:
            yield from paths_read(argument, within)
        return
    for part in node.parts:
        yield from paths_read(part, variables)


def names_called(node: Node) -> Iterator[str]:
    """Give the names of the functions, methods and macros called below a node."""
    if isinstance(node, Call):
        yield node.name
    for part in node.parts:
        yield from names_called(part)


def equality(node: Node, stored: str, arriving: str) -> tuple[str, str] | None:
    """Find the first `stored path == arriving path` without which the expression cannot be true."""
    if isinstance(node, Logic) and node.operator == "&&":
        found = (equality(term, stored, arriving) for term in node.terms)
        return next((pair for pair in found if pair is not None), None)
    if not isinstance(node, Binary) or node.operator != "==":
        return None
    left, right = path_text(node.left), path_text(node.right)
    if left is None or right is None:
        return None
    roots = (root_name(node.left), root_name(node.right))
    if roots == (stored, arriving):
        return left, right
    return (right, left) if roots == (arriving, stored) else None
