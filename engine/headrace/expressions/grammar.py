"""The grammar of the Common Expression Language, and the parser that lark builds from it on first use.

Source: CEL language definition, section "Syntax". Departures: words reserved for host languages may be member names
(`event.data.package`), a list or map may end in a comma, `!` and `-` may be mixed; there are no messages (`Type{…}`)
and no names that begin with a point, because there are no packages.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from headrace.expressions.literals import read_bytes, read_int, read_text, read_uint
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
from headrace.expressions.values import Int

if TYPE_CHECKING:
    from lark import Lark, Token

GRAMMAR: Final = r"""
?start: expression

?expression: either
    | either "?" either ":" expression              -> conditional
?either: both
    | both ("||" both)+                             -> any_of
?both: relation
    | relation ("&&" relation)+                     -> all_of
?relation: sum
    | relation (RELATION | IN) sum                  -> binary
?sum: product
    | sum (PLUS | MINUS) product                    -> binary
?product: unary
    | product PRODUCT unary                         -> binary
?unary: member
    | (NOT | MINUS) unary                           -> unary
?member: primary
    | member "." name                               -> member
    | member "." name "(" [arguments] ")"           -> method
    | member "[" expression "]"                     -> index
?primary: IDENT                                     -> variable
    | IDENT "(" [arguments] ")"                     -> function
    | "(" expression ")"
    | "[" [elements] "]"                            -> list_literal
    | "{" [entries] "}"                             -> map_literal
    | literal

name: IDENT | IN | TRUE | FALSE | NULL
arguments: expression (_COMMA expression)*
elements: expression (_COMMA expression)* _COMMA?
entries: expression ":" expression (_COMMA expression ":" expression)* _COMMA?
?literal: INT                                       -> integer
    | UINT                                          -> unsigned
    | FLOAT                                         -> floating
    | STRING                                        -> string
    | BYTES                                         -> bytes_
    | TRUE                                          -> true
    | FALSE                                         -> false
    | NULL                                          -> null

IN: "in"
TRUE: "true"
FALSE: "false"
NULL: "null"
_COMMA: ","
NOT: "!"
PLUS: "+"
MINUS: "-"
PRODUCT: "*" | "/" | "%"
RELATION: "<=" | "<" | ">=" | ">" | "==" | "!="
IDENT: /[_a-zA-Z][_a-zA-Z0-9]*/
UINT.3: /(?:0[xX][0-9a-fA-F]+|[0-9]+)[uU]/
FLOAT.2: /[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+/
INT.1: /0[xX][0-9a-fA-F]+|[0-9]+/
STRING.4: /RAW|TEXT/
BYTES.5: /[bB](?:RAW|TEXT)/
COMMENT.6: /\/\/[^\r\n]*/
WHITESPACE: /[\t\n\f\r ]+/
%ignore COMMENT
%ignore WHITESPACE
""".replace("RAW", r"""[rR](?:\"{3}(?s:.*?)\"{3}|'{3}(?s:.*?)'{3}|"[^"\r\n]*"|'[^'\r\n]*')""").replace(
    "TEXT",
    r"""(?:\"{3}(?s:[^\\]|\\.)*?\"{3}|'{3}(?s:[^\\]|\\.)*?'{3}|"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')""",
)


def parse(source: str) -> Node:
    """Parse an expression; raises lark's UnexpectedInput, or literals.BadLiteral."""
    tree: Any = _parser().parse(source)
    assert isinstance(tree, Node), tree
    return tree


@cache
def _parser() -> Lark:
    # Importing lark and building the tables take longer than everything else here together: only who compiles pays.
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=_Builder(), maybe_placeholders=True)


class _Builder:
    """Makes nodes while lark parses; a method is named after the alias or rule of the grammar that calls it."""

    def conditional(self, children: list[Node]) -> Node:
        return Conditional(children[0], children[1], children[2])

    def any_of(self, children: list[Node]) -> Node:
        return Logic("||", *children)

    def all_of(self, children: list[Node]) -> Node:
        return Logic("&&", *children)

    def binary(self, children: list[Any]) -> Node:
        left, operator, right = children
        return Binary(str(operator), left, right)

    def unary(self, children: list[Any]) -> Node:
        operator, operand = children
        at = operator.start_pos or 0
        # The grammar has no negative literals; folded here, so that the least int can be written.
        if operator == "-" and isinstance(operand, Literal):
            value: Any = operand.value
            if type(value) is float or (type(value) is Int and value > 0):
                return Literal(at, type(value)(-value))
        return Unary(at, str(operator), operand)

    def name(self, children: list[Token]) -> Token:
        return children[0]

    def arguments(self, children: list[Node]) -> list[Node]:
        return children

    elements = arguments
    entries = arguments

    def member(self, children: list[Any]) -> Node:
        return Member(children[0], str(children[1]))

    def method(self, children: list[Any]) -> Node:
        target, name, arguments = children
        return Call(name.start_pos or 0, str(name), target, tuple(arguments or ()))

    def function(self, children: list[Any]) -> Node:
        name, arguments = children
        return Call(name.start_pos or 0, str(name), None, tuple(arguments or ()))

    def index(self, children: list[Node]) -> Node:
        return Index(children[0], children[1])

    def variable(self, children: list[Token]) -> Node:
        return Name(children[0].start_pos or 0, str(children[0]))

    def list_literal(self, children: list[Any]) -> Node:
        elements = children[0] or []
        return ListLiteral(elements[0].at if elements else 0, *elements)

    def map_literal(self, children: list[Any]) -> Node:
        entries = children[0] or []
        return MapLiteral(entries[0].at if entries else 0, *entries)

    def integer(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, read_int(children[0], children[0].start_pos or 0))

    def unsigned(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, read_uint(children[0], children[0].start_pos or 0))

    def floating(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, float(children[0]))

    def string(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, read_text(children[0], children[0].start_pos or 0))

    def bytes_(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, read_bytes(children[0], children[0].start_pos or 0))

    def true(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, True)

    def false(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, False)

    def null(self, children: list[Token]) -> Node:
        return Literal(children[0].start_pos or 0, None)
