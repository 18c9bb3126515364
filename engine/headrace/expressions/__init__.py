"""Expressions (CEL, with the lenient rules of the SDK protocol) and durations, compiled once, evaluated per event.

In:    texts that users write: `if_`, `match`, keys, priorities, periods, time-outs; the events they are evaluated on.
Out:   `Expression` (evaluate, matches, paths, equality), milliseconds; `BadDeclaration` with the place and a remedy.
Rules: pure: time is an argument, and the same text, data and time give the same value on every node. No expression
       over no data runs for more than about a second: length, nesting, patterns and the work of macros are limited.
       Importing this is cheap; the parser is built when the first expression is compiled.

The rules of the language where they are lenient, and where they depart from the reference:
- A path that is not there is *missing*: `== null` is true, equal to nothing else (two missing paths are unequal; so
  are a missing path and a path that gives null), less than everything, false to a function, 0 to `size`, and the
  other side to `+`. `!missing` is true. As the whole result it is False.
- null counts as the zero value of the other side in < <= > >=, and equals only null.
- Types never mix in ==, which is false; in < they fail, in + they join as texts, but numbers of any type add up.
- && || ?: take any value, by JavaScript's idea of truth, and give operands; the whole must be a bool to match.
- A failure (1 / 0, int("x"), "a" < 1) is no match; && and || swallow it when another operand decides.
"""

from __future__ import annotations

from headrace.expressions.durations import format_duration, parse_duration_ms, parse_when_ms
from headrace.expressions.expression import Expression, compile_expression, match_expression
from headrace.expressions.restricted import beyond_conditions

__all__ = [
    "Expression",
    "beyond_conditions",
    "compile_expression",
    "format_duration",
    "match_expression",
    "parse_duration_ms",
    "parse_when_ms",
]
