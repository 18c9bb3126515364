"""The one-way import table of the engine, and the checker that holds every module to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.sources import Source

# Lowest first. A room may import the rooms of the levels below its own, and never one of its own level:
# what has to pass between two of those travels as a command, or belongs into a lower room.
LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"records", "expressions", "state"}),
    frozenset({"functions"}),
    frozenset({"routing", "admission", "runs", "adapters"}),
    frozenset({"execution", "intake"}),
    frozenset({"worker"}),
    frozenset({"console", "testing"}),
    frozenset({"cli"}),
    frozenset({"app"}),
    frozenset({"headrace", "__main__"}),
)
# Known to everyone, and knowing nobody.
FREE = frozenset({"errors", "version"})
# Steps within one level, each with its reason. They must not make a circle.
SIBLINGS = {
    ("state", "records"): "the tables of the state hold the rows that records defines",
}
# What stands beside the engine in the repository; nothing of it is in the wheel.
OUTSIDE = frozenset({"tests", "benchmarks", "examples", "conftest"})

ROOMS = frozenset().union(*LEVELS) | FREE


def allowed_rooms(room: str) -> frozenset[str]:
    """Name the rooms whose modules a module of `room` may import (its own room is always among them)."""
    if room in FREE:
        return frozenset({room})
    level = next(index for index, rooms in enumerate(LEVELS) if room in rooms)
    siblings = {target for source, target in SIBLINGS if source == room}
    return frozenset({room}).union(FREE, siblings, *LEVELS[:level])


def import_violations(source: Source) -> list[str]:
    """Check one module against the table; a message for each import that it forbids.

    Lazy imports inside functions, imports under TYPE_CHECKING and `import_module("…")` count like any other.
    """
    if source.room not in ROOMS:
        return [
            f"{source.place}: the room {source.room!r} is not in the import table. "
            f"Put it into a room that exists, or give the new room its level in tests/house/imports.py."
        ]
    allowed = allowed_rooms(source.room)
    violations = []
    for line, module in dict.fromkeys(imported_modules(source)):
        top, _, rest = module.partition(".")
        if top in OUTSIDE:
            violations.append(f"{source.place}:{line}: imports {module}, which is not part of the package")
        if top != "headrace":
            continue
        room = rest.partition(".")[0] or "headrace"
        if room not in allowed:
            below = ", ".join(sorted(allowed - {source.room}))
            violations.append(
                f"{source.place}:{line}: imports {module}, but {source.room} may import only: "
                f"{below or 'nobody'}. Pass the value in, send a command, or move what both need down."
            )
    return violations


def imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    """List (line, absolute module name) of every import in a module, wherever it stands."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(source, node.module or "", node.level)
            # `from headrace import runs` names a room, `from headrace import Context` the package's own face.
            for alias in node.names:
                is_room = origin == "headrace" and alias.name in ROOMS
                yield node.lineno, f"headrace.{alias.name}" if is_room else origin
        elif isinstance(node, ast.Call) and _called_name(node) in {"import_module", "__import__"}:
            named = node.args[0] if node.args else None
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                level = len(named.value) - len(named.value.lstrip("."))
                yield node.lineno, _absolute(source, named.value[level:], level)


def _absolute(source: Source, module: str, level: int) -> str:
    if level == 0:
        return module
    package = source.module.split(".")
    package = package[: len(package) - level + int(source.is_package)]
    return ".".join([*package, module] if module else package)


def _called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
