"""How long files and functions of the engine may be, and what is excused."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.sources import Source

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# What is longer, each with the reason why it is one idea all the same. Files by path ("worker/turn.py"),
# functions by module and qualified name ("headrace.worker.turn.Turn.apply").
EXCUSED_FILES: dict[str, str] = {}
EXCUSED_FUNCTIONS: dict[str, str] = {}


def long_files(sources: list[Source]) -> dict[str, int]:
    """Name the files over the limit, by their path below engine/headrace, with their lines."""
    lengths = {source.place.removeprefix("engine/headrace/"): source.text.count("\n") for source in sources}
    return {place: lines for place, lines in lengths.items() if lines > FILE_LINES_MAX}


def long_functions(sources: list[Source]) -> dict[str, int]:
    """Name the functions over the limit with their lines, from `def` to the last line, docstring and all."""
    lengths = {name: lines for source in sources for name, lines in _functions(source.tree, source.module)}
    return {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX}


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            assert child.end_lineno is not None
            yield f"{prefix}.{child.name}", child.end_lineno - child.lineno + 1
            yield from _functions(child, f"{prefix}.{child.name}")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}.{child.name}")
        else:
            yield from _functions(child, prefix)
