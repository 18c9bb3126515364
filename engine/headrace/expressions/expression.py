"""Expressions as the rest of the engine knows them: compiled once, evaluated on every event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import BadDeclaration, BadRecord
from headrace.expressions.values import BUDGET_KEY, NOW_KEY, UNKNOWN, Exhausted, Failed, Int, plain

# The compiler and what it stands on are imported by the first expression that is compiled: everybody imports this
# room for its durations, and half of them declare no expression.
if TYPE_CHECKING:
    from headrace.expressions.shortcuts import Closure
    from headrace.expressions.syntax import Node

SOURCE_CHARS_MAX: Final = 8_192
DEPTH_MAX: Final = 100  # nested constructs: each takes a few Python frames when it is evaluated
BUDGET: Final = 1_000_000  # steps of macros, elements compared, sixteenths of characters joined: about a second
COMPILED_MAX: Final = 4_096

_SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_MATCH_PATH: Final = r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*"
_EVENT_FIELDS: Final = ("data", "id", "name", "ts", "user", "v", "meta")


class Expression:
    """A compiled expression; immutable, and safe to use from any thread."""

    __slots__ = ("_node", "_on_bindings", "_reads_only", "_run", "functions", "paths", "source")

    def __init__(self, source: str, node: Node, variables: tuple[str, ...], run: Closure, *, needs_scope: bool) -> None:
        from headrace.expressions.paths import names_called, path_text, paths_read

        self.source: Final = source
        # The paths it reads, as texts that are expressions themselves: "event.data.userId".
        self.paths: Final = frozenset(paths_read(node, frozenset(variables)))
        # The names of the functions, methods and macros it calls.
        self.functions: Final = frozenset(names_called(node))
        self._node = node
        self._run = run
        self._on_bindings = not needs_scope
        self._reads_only = path_text(node) in self.paths

    def evaluate(self, bindings: Mapping[str, object], now_ms: int) -> object:
        """Give the value for these variables at this time, as JSON has it (times as RFC 3339, bytes as base64).

        Each variable is decoded JSON: dicts, lists and scalars; an object with attributes has no paths. A missing
        path as the whole result is False, as the SDK protocol has it. What a plain path reads is given as it is, not
        copied. Raises BadRecord if the expression fails on this data.
        """
        try:
            scope: Any = bindings if self._on_bindings else self._scope(bindings, now_ms)
            value: Any = self._run(scope)
            if type(value) in _SCALARS:
                return value
            if value is UNKNOWN:
                return False
            return value if self._reads_only else plain(value, scope.get(BUDGET_KEY))
        except Failed as failure:
            raise self._failure(str(failure)) from None
        except Exhausted:
            raise self._failure(f"it takes more than {BUDGET} steps on this event") from None
        except Exception as unforeseen:  # RecursionError on data nested a thousand deep, types that JSON has not
            raise self._failure(f"{type(unforeseen).__name__}: {unforeseen}") from unforeseen

    def matches(self, bindings: Mapping[str, object], now_ms: int) -> bool:
        """Tell whether the value is true; anything that is no bool, and any failure, is no match. Never raises."""
        try:
            return self._run(bindings if self._on_bindings else self._scope(bindings, now_ms)) is True
        except Exception:  # one event must not stop a partition: it does not match, and `evaluate` says why
            return False

    def whole(self, bindings: Mapping[str, object], now_ms: int) -> int | None:
        """Give the value if it is an int to CEL, as literals and `int(…)` are; None for all else. Never raises.

        A number of the data is a double there, whatever it looks like.
        """
        try:
            value: Any = self._run(bindings if self._on_bindings else self._scope(bindings, now_ms))
        except Exception:  # no value at all
            return None
        return int(value) if type(value) is Int else None

    def find(self, bindings: Mapping[str, object]) -> tuple[bool, object]:
        """Read a plain path (one that `paths` names): whether it is there, and what stands there. Never raises."""
        try:
            value: Any = self._run(bindings)
        except Exception:  # data that has no such path, in whatever way
            return False, None
        return value is not UNKNOWN, None if value is UNKNOWN else value

    def equality(self, stored: str = "event", arriving: str = "async") -> tuple[str, str] | None:
        """Give (stored path, arriving path) of an equality without which the expression cannot be true, or None.

        Waits are indexed by the value of the stored path and found by the value of the arriving one; a path that is
        missing on either side never matches.
        """
        from headrace.expressions.paths import equality

        return equality(self._node, stored, arriving)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def _scope(self, bindings: Mapping[str, object], now_ms: int) -> dict[str, object]:
        return {**bindings, NOW_KEY: now_ms * 1_000_000, BUDGET_KEY: [BUDGET]}

    def _failure(self, reason: str) -> BadRecord:
        return BadRecord(
            "expression_failed",
            f"the expression {self.source!r} has no value: {reason}",
            why="the data of this event does not fit the expression",
            do="test for the types that occur, for example with has(event.data.field) or type(x) == string",
        )


def compile_expression(
    source: str, *, variables: tuple[str, ...] = ("event", "async"), option: str = "if_"
) -> Expression:
    """Compile an expression, or take it from the last 4096 compiled.

    `variables` are the names it may read; `option` names the user's option in messages. Raises BadDeclaration, with
    the place marked, for what does not parse, names that do not exist, and expressions beyond the limits.
    """
    if not isinstance(source, str):
        raise BadDeclaration(
            "bad_expression",
            f"{option} is {source!r} ({type(source).__name__})",
            why="an expression is a text in CEL",
            do=f'write {option}="event.data.total > 100"',
        )
    return _compiled(source, tuple(variables), option)


@lru_cache(maxsize=COMPILED_MAX)
def _compiled(source: str, variables: tuple[str, ...], option: str) -> Expression:
    if len(source) > SOURCE_CHARS_MAX:
        raise BadDeclaration(
            "bad_expression",
            f"{option} has {len(source)} characters",
            why=f"an expression has at most {SOURCE_CHARS_MAX}",
            do="move the rule into the function",
        )
    from headrace.expressions.compiler import Compiler

    node = _parsed(source, option)
    if node.depth > DEPTH_MAX:
        raise BadDeclaration(
            "bad_expression",
            f"{option} is nested {node.depth} deep",
            why=f"at most {DEPTH_MAX} are evaluated safely; a chain of && or || counts once, every + and - counts",
            do="move the rule into the function",
        )
    compiler = Compiler(source, variables, option)
    run = compiler.compile(node)
    return Expression(source, node, variables, run, needs_scope=compiler.needs_scope)


def _parsed(source: str, option: str) -> Node:
    from lark.exceptions import UnexpectedInput, UnexpectedToken

    from headrace.expressions.grammar import parse
    from headrace.expressions.literals import BadLiteral
    from headrace.expressions.mistakes import mistake, syntax_mistake

    try:
        return parse(source)
    except BadLiteral as bad:
        raise mistake(option, source, bad.at, str(bad), do=bad.do) from None
    except UnexpectedInput as unexpected:
        ended = isinstance(unexpected, UnexpectedToken) and unexpected.token.type == "$END"
        raise syntax_mistake(option, source, None if ended else unexpected.pos_in_stream) from None


def match_expression(path: str, *, option: str = "match") -> str:
    """Write `match="data.orderId"` as an expression: "event.data.orderId == async.data.orderId".

    It is true when both sides are there and equal. Raises BadDeclaration for what is no path of an event.
    """
    from headrace.expressions.paths import member_text

    written = path.strip() if isinstance(path, str) else ""
    if not re.fullmatch(_MATCH_PATH, written, re.ASCII):
        raise BadDeclaration(
            "bad_match",
            f"{option} is {path!r}",
            why="match is the path of a field that both events have, and nothing more",
            do=f'write {option}="data.orderId"; for other conditions use if_="event.data.a == async.data.b"',
        )
    root, *rest = written.split(".")
    if root not in _EVENT_FIELDS:
        fields = ", ".join(_EVENT_FIELDS)
        inner = ".".join(rest) if root in ("event", "async") and rest else f"data.{written}"
        raise BadDeclaration(
            "bad_match",
            f"{option} is {path!r}, and events have no field {root!r}",
            why=f"the path begins with a field of the event, without `event.`: {fields}",
            do=f'did you mean {option}="{inner}"?',
        )
    members = "".join(member_text(name) for name in (root, *rest))
    return f"event{members} == async{members}"
