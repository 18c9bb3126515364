"""The tree of a parsed expression; `at` is where a node begins in the source."""

from __future__ import annotations


class Node:
    """One construct of the language; `parts` are the nodes right below it, `nodes` counts it and all below."""

    __slots__ = ("at", "depth", "nodes", "parts")
    depth: int
    nodes: int

    def __init__(self, at: int, *parts: Node) -> None:
        self.at = at
        self.parts = parts
        self.depth = 1 + max((part.depth for part in parts), default=0)
        self.nodes = 1 + sum(part.nodes for part in parts)


class Literal(Node):
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, at: int, value: object) -> None:
        super().__init__(at)
        self.value = value


class Name(Node):
    """A variable, a variable of a macro, or the name of a type."""

    __slots__ = ("name",)

    def __init__(self, at: int, name: str) -> None:
        super().__init__(at)
        self.name = name


class Member(Node):
    """`operand.name`."""

    __slots__ = ("name", "operand")

    def __init__(self, operand: Node, name: str) -> None:
        super().__init__(operand.at, operand)
        self.operand = operand
        self.name = name


class Index(Node):
    """`operand[index]`."""

    __slots__ = ("index", "operand")

    def __init__(self, operand: Node, index: Node) -> None:
        super().__init__(operand.at, operand, index)
        self.operand = operand
        self.index = index


class Call(Node):
    """`name(arguments)` or `target.name(arguments)`: a function, a method or a macro. `at` is where the name stands."""

    __slots__ = ("arguments", "name", "target")

    def __init__(self, at: int, name: str, target: Node | None, arguments: tuple[Node, ...]) -> None:
        super().__init__(at, *arguments, *(() if target is None else (target,)))
        self.name = name
        self.target = target
        self.arguments = arguments


class Unary(Node):
    """`!operand` or `-operand`."""

    __slots__ = ("operand", "operator")

    def __init__(self, at: int, operator: str, operand: Node) -> None:
        super().__init__(at, operand)
        self.operator = operator
        self.operand = operand


class Binary(Node):
    """`left operator right`: a comparison, arithmetic, or `in`."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, operator: str, left: Node, right: Node) -> None:
        super().__init__(left.at, left, right)
        self.operator = operator
        self.left = left
        self.right = right


class Logic(Node):
    """A chain of && or of ||, however long, as one node."""

    __slots__ = ("operator", "terms")

    def __init__(self, operator: str, *terms: Node) -> None:
        super().__init__(terms[0].at, *terms)
        self.operator = operator
        self.terms = terms


class Conditional(Node):
    """`condition ? accepted : refused`."""

    __slots__ = ("accepted", "condition", "refused")

    def __init__(self, condition: Node, accepted: Node, refused: Node) -> None:
        super().__init__(condition.at, condition, accepted, refused)
        self.condition = condition
        self.accepted = accepted
        self.refused = refused


class ListLiteral(Node):
    """`[a, b]`; its parts are the elements."""

    __slots__ = ()


class MapLiteral(Node):
    """`{key: value}`; its parts are keys and values in turn."""

    __slots__ = ()
