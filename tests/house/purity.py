"""What a pure room may do, and the checker that holds it to that.

Pure: the same arguments give the same answer on every node, in every process, in a simulation and in a
replay. So no clock, no chance, no I/O, no `await`; time is an argument `now_ms`, jitter and ids are hashes
of the cause.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.imports import imported_modules
from tests.house.sources import Source

PURE_ROOMS = frozenset({"records", "expressions", "state", "functions", "routing", "admission", "runs"})

# All that a pure room may import besides the rooms below it. A list of what is allowed, because a list of
# what is forbidden always misses the next one. A module may be added if nothing of it touches clock, chance
# or world.
PURE_MODULES = frozenset(
    {
        "__future__",
        "abc",
        "ast",
        "base64",
        "binascii",
        "bisect",
        "builtins",
        "calendar",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "hmac",
        "inspect",
        "io",
        "ipaddress",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "re",
        "reprlib",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "typing_extensions",
        "unicodedata",
        "urllib.parse",
        "zlib",
        "zoneinfo",
        "croniter",
        "fastavro",
        "lark",
        "msgspec",
        "pydantic",
        "headrace",
    }
)
# Steps outside, by (module, what it imports), each with its reason.
ALLOWED_MODULES = {
    ("headrace.records.history", "importlib.resources"): "a schema that ships with the package is a constant",
    ("headrace.records.history", "pathlib"): "the same schema, where it lies in the source tree",
}

# Builtins that reach outside, or whose answer differs between two processes.
FORBIDDEN_CALLS = {
    "open": "is I/O; the world is touched in adapters/",
    "print": "is I/O; return what is to be said",
    "input": "is I/O",
    "breakpoint": "stops the partition",
    "exec": "runs text as code",
    "eval": "runs text as code",
    "compile": "runs text as code",
    "hash": "of a string differs from process to process; use hashlib",
    "id": "differs from process to process",
}
CLOCK_METHODS = {"now", "utcnow", "today"}
CLOCK_CLASSES = {"datetime", "date"}


def impurities(source: Source) -> list[str]:
    """Check one module of a pure room; a message for each thing that makes it impure."""
    return [f"{source.place}:{line}: {what}" for line, what in dict.fromkeys(_found(source))]


def _found(source: Source) -> Iterator[tuple[int, str]]:
    for line, module in imported_modules(source):
        if not _is_pure(module) and (source.module, module) not in ALLOWED_MODULES:
            yield line, f"imports {module}, which is not among PURE_MODULES of tests/house/purity.py"
    aliases = _clock_aliases(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield node.lineno, "is asynchronous; a pure room decides without waiting"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield node.target.lineno, "is asynchronous; a pure room decides without waiting"
        elif isinstance(node, ast.Attribute):
            if node.attr in CLOCK_METHODS and _last_name(node.value) in aliases:
                yield node.lineno, f"reads the clock ({ast.unparse(node)}); take now_ms as an argument"
        elif isinstance(node, ast.Call):
            yield from _found_in_call(node, aliases)


def _found_in_call(call: ast.Call, aliases: set[str]) -> Iterator[tuple[int, str]]:
    if isinstance(call.func, ast.Name) and call.func.id in FORBIDDEN_CALLS:
        yield call.lineno, f"{call.func.id}() {FORBIDDEN_CALLS[call.func.id]}"
    if not isinstance(call.func, ast.Attribute):
        return
    arguments = len(call.args) + len(call.keywords)
    if call.func.attr == "fromtimestamp" and arguments < 2 and _last_name(call.func.value) in aliases:
        yield call.lineno, "fromtimestamp() without a zone takes that of the machine"
    if call.func.attr == "astimezone" and arguments == 0:
        yield call.lineno, "astimezone() without a zone takes that of the machine"


def _is_pure(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:depth]) in PURE_MODULES for depth in range(1, len(parts) + 1))


def _clock_aliases(tree: ast.Module) -> set[str]:
    aliases = set(CLOCK_CLASSES)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "datetime":
            aliases |= {alias.asname or alias.name for alias in node.names if alias.name in CLOCK_CLASSES}
    return aliases


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
