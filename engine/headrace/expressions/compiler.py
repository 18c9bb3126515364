"""Turn the tree of an expression into Python closures, once; a closure takes the scope and gives a value.

The scope holds the variables by name, and under two keys that no variable can have the time of the evaluation in
nanoseconds and the budget. Expressions of simple comparisons need neither and run on the bindings as they are
(`Compiler.needs_scope` tells).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from headrace.expressions import operators
from headrace.expressions.automaton import automaton
from headrace.expressions.library import FUNCTIONS, MACROS, METHODS, Function
from headrace.expressions.logic import all_of, any_of, both
from headrace.expressions.macros import MACRO_CLOSURES, has_member
from headrace.expressions.mistakes import mistake, unknown_function, unknown_variable
from headrace.expressions.paths import path_text
from headrace.expressions.pattern import BadPattern
from headrace.expressions.shortcuts import (
    Closure,
    Scope,
    path_equals_literal,
    path_equals_path,
    path_in_literals,
    path_orders_literal,
    path_reader,
    text_test,
)
from headrace.expressions.syntax import (
    Binary,
    Call,
    Conditional,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    Member,
    Name,
    Node,
    Unary,
)
from headrace.expressions.values import (
    BUDGET_KEY,
    NOW_KEY,
    TYPES,
    UNKNOWN,
    Failed,
    Int,
    Uint,
    equal,
    map_key,
    spend,
    truthy,
)

_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.remainder,
}
_PROTOBUF_TYPES: Final = ("google.protobuf.Timestamp", "google.protobuf.Duration")


class Compiler:
    """Compiles one expression; raises BadDeclaration for names and literals that cannot be."""

    def __init__(self, source: str, variables: tuple[str, ...], option: str) -> None:
        self.source = source
        self.variables = variables
        self.option = option
        self.needs_scope = False

    def compile(self, node: Node, own: frozenset[str] = frozenset()) -> Closure:
        """Give the closure of a node; `own` are the variables of the macros around it."""
        match node:
            case Literal():
                return self._literal(node)
            case Name() | Member() | Index():
                return self._path(node, own)
            case Logic():
                terms = tuple(self.compile(term, own) for term in node.terms)
                return (both if len(terms) == 2 else all_of)(terms) if node.operator == "&&" else any_of(terms)
            case Unary():
                operand = self.compile(node.operand, own)
                if node.operator == "!":
                    return lambda scope: not truthy(operand(scope))
                return lambda scope: operators.negate(operand(scope))
            case Binary():
                return self._binary(node, own)
            case Conditional():
                return self._conditional(node, own)
            case Call():
                return self._call(node, own)
            case ListLiteral() | MapLiteral():
                return self._container(node, own)
        raise AssertionError(node)

    def _literal(self, node: Literal) -> Closure:
        value = node.value
        if (type(value) is Int and not operators.INT_MIN <= value <= operators.INT_MAX) or (
            type(value) is Uint and value > operators.UINT_MAX
        ):
            what = "this number does not fit into 64 bits"
            do = "write it as a text, or with a decimal point as a double"
            raise mistake(self.option, self.source, node.at, what, do=do)
        return lambda scope: value

    def _path(self, node: Node, own: frozenset[str]) -> Closure:
        steps: list[str] = []
        inner = node
        while isinstance(inner, Member):
            steps.append(inner.name)
            inner = inner.operand
        if isinstance(inner, Name):
            if inner.name in own or inner.name in self.variables:
                return path_reader((inner.name, *reversed(steps)))
            return self._type(node, inner)
        if isinstance(node, Member):
            operand, name = self.compile(node.operand, own), node.name
            return lambda scope: operators.member(operand(scope), name)
        assert isinstance(node, Index), node
        if isinstance(node.index, Literal) and type(node.index.value) is str:
            return self._path(Member(node.operand, node.index.value), own)
        operand, index = self.compile(node.operand, own), self.compile(node.index, own)
        return lambda scope: operators.element(operand(scope), index(scope))

    def _type(self, node: Node, name: Name) -> Closure:
        path = path_text(node)
        if path is not None and path in TYPES and (isinstance(node, Name) or path in _PROTOBUF_TYPES):
            value = TYPES[path]
            return lambda scope: value
        raise unknown_variable(self.option, self.source, name.at, name.name, self.variables)

    def _binary(self, node: Binary, own: frozenset[str]) -> Closure:
        operator = node.operator
        shortcut = self._shortcut(node, own)
        if shortcut is not None:
            return shortcut
        left, right = self.compile(node.left, own), self.compile(node.right, own)
        if operator in ("==", "!="):
            self.needs_scope = True
            negated = operator == "!="
            return lambda scope: equal(left(scope), right(scope), scope[BUDGET_KEY]) is not negated
        if operator in operators.ORDERS:
            order = operators.ORDERS[operator]
            if not own:
                return lambda scope: order(left(scope), right(scope))
            return lambda scope: order(left(scope), right(scope), scope[BUDGET_KEY])
        if operator == "in":
            self.needs_scope = True
            return lambda scope: operators.contained(left(scope), right(scope), scope[BUDGET_KEY])
        if operator == "+":
            self.needs_scope = True
            return lambda scope: operators.add(left(scope), right(scope), scope[BUDGET_KEY])
        compute = _ARITHMETIC[operator]
        return lambda scope: compute(left(scope), right(scope))

    def _shortcut(self, node: Binary, own: frozenset[str]) -> Closure | None:
        left, operator, right = node.left, node.operator, node.right
        if operator in _MIRRORED and isinstance(left, Literal):
            left, operator, right = right, _MIRRORED[operator], left
        if path_text(left) is None:
            return None
        read = self.compile(left, own)
        if isinstance(right, Literal):
            self.compile(right, own)  # refuses numbers beyond 64 bits
            if operator in ("==", "!="):
                return path_equals_literal(read, right.value, operator == "!=")
            if operator in operators.ORDERS and operator == node.operator:
                return path_orders_literal(read, operator, right.value)
        elif operator in ("==", "!=") and path_text(right) is not None:
            return path_equals_path(read, self.compile(right, own), operator == "!=", repeated=bool(own))
        elif operator == "in" and isinstance(right, ListLiteral):
            self.compile(right, own)
            literals = [part.value for part in right.parts if isinstance(part, Literal)]
            return path_in_literals(read, literals) if len(literals) == len(right.parts) else None
        return None

    def _conditional(self, node: Conditional, own: frozenset[str]) -> Closure:
        condition = self.compile(node.condition, own)
        accepted, refused = self.compile(node.accepted, own), self.compile(node.refused, own)
        return lambda scope: accepted(scope) if truthy(condition(scope)) else refused(scope)

    def _container(self, node: Node, own: frozenset[str]) -> Closure:
        parts = tuple(self.compile(part, own) for part in node.parts)
        if isinstance(node, ListLiteral):
            return lambda scope: [None if (value := part(scope)) is UNKNOWN else value for part in parts]
        keys, values = parts[::2], parts[1::2]

        def build(scope: Scope) -> dict[object, Any]:
            built: dict[object, Any] = {}
            for read_key, read_value in zip(keys, values, strict=True):
                key = map_key(read_key(scope))
                if key is UNKNOWN or key in built:
                    raise Failed("a map with a key that is double or of no use as a key")
                value = read_value(scope)
                built[key] = None if value is UNKNOWN else value
            return built

        return build

    def _call(self, node: Call, own: frozenset[str]) -> Closure:
        if node.target is not None and node.name in MACROS:
            return self._macro(node, own)
        if node.target is None and node.name == "has":
            return self._has(node, own)
        table, others, kind = (
            (FUNCTIONS, METHODS, "function") if node.target is None else (METHODS, FUNCTIONS, "method")
        )
        function = table.get(node.name)
        if function is None:
            known = [*table, *(MACROS if kind == "method" else ("has",))]
            raise unknown_function(self.option, self.source, node.at, node.name, kind, known, [*others, *MACROS])
        arguments = node.arguments if node.target is None else (node.target, *node.arguments)
        if not function.least <= len(arguments) <= function.most:
            shown = function.least - (node.target is not None)
            most = function.most - (node.target is not None)
            takes = f"{shown}" if shown == most else f"{shown} to {most}"
            what = f"{node.name}() takes {takes} argument{'s' * (takes != '1')}, not {len(node.arguments)}"
            raise mistake(self.option, self.source, node.at, what, width=len(node.name))
        if node.name == "matches" and isinstance(arguments[1], Literal):
            self._check_pattern(arguments[1])
        elif node.name in ("startsWith", "endsWith", "contains") and path_text(arguments[0]) is not None and not own:
            literal = arguments[1]
            if isinstance(literal, Literal) and type(literal.value) is str:
                return text_test(self.compile(arguments[0], own), node.name, literal.value)
        self.needs_scope = True
        return _applied(node.name, function, tuple(self.compile(argument, own) for argument in arguments))

    def _check_pattern(self, node: Literal) -> None:
        if type(node.value) is not str:
            return
        try:
            automaton(node.value)
        except BadPattern as refused:
            what = f"matches() cannot use this pattern: {refused}"
            do = "patterns are RE2: https://github.com/google/re2/wiki/Syntax"
            raise mistake(self.option, self.source, node.at, what, do=do) from None

    def _has(self, node: Call, own: frozenset[str]) -> Closure:
        path = node.arguments[0] if len(node.arguments) == 1 else None
        if isinstance(path, Index) and isinstance(path.index, Literal) and type(path.index.value) is str:
            path = Member(path.operand, path.index.value)
        if not isinstance(path, Member):
            what = "has() takes one path with a point in it"
            raise mistake(self.option, self.source, node.at, what, width=3, do="write has(event.data.field)")
        return has_member(self.compile(path.operand, own), path.name)

    def _macro(self, node: Call, own: frozenset[str]) -> Closure:
        assert node.target is not None
        variable = node.arguments[0] if node.arguments else None
        if len(node.arguments) not in MACROS[node.name] or not isinstance(variable, Name):
            what = f"{node.name}() takes a variable of its own and an expression over it"
            do = f"write list.{node.name}(x, x > 1)"
            raise mistake(self.option, self.source, node.at, what, width=len(node.name), do=do)
        self.needs_scope = True
        within = own | {variable.name}
        bodies = [self.compile(body, within) for body in node.arguments[1:]]
        cost = sum(body.nodes for body in node.arguments[1:])
        build = MACRO_CLOSURES[node.name]
        return build(
            self.compile(node.target, own), variable.name, cost, bodies[0], bodies[1] if len(bodies) > 1 else None
        )


_MIRRORED: Final = {"==": "==", "!=": "!="}


def _applied(name: str, function: Function, arguments: tuple[Closure, ...]) -> Closure:
    """Call a function on its evaluated arguments; a missing one makes it false, or a size of 0."""
    call = function.call
    wanted = {"now": NOW_KEY, "budget": BUDGET_KEY, "": ""}[function.wants]
    missing: Any = {"size": Int(0), "dyn": UNKNOWN}.get(name, False)

    def run(scope: Scope) -> Any:
        values = [argument(scope) for argument in arguments]
        for value in values:
            if value is UNKNOWN:
                return missing
            if type(value) is str:
                spend(scope[BUDGET_KEY], len(value) >> 6)
        return call(scope[wanted], *values) if wanted else call(*values)

    return run
