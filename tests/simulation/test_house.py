"""What is simulated is what ships. Goal: the simulation replaces, extends and imitates no part of the engine."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace.testing
from headrace.execution import InProcess
from headrace.worker.machine import Machine
from headrace.worker.node import Node
from headrace.worker.ownership import Ownership
from headrace.worker.restore import Restore
from tests.simulation.scene import scene

ENGINE = ("headrace.worker", "headrace.routing", "headrace.admission", "headrace.runs", "headrace.execution")
FOLDERS = [Path(__file__).parent, Path(headrace.testing.__file__).parent]
PATCHERS = {"monkeypatch", "mock", "MagicMock", "patch"}
# The only places where bugs are planted.
EXCUSED = {"plants.py", "plants_waits.py", "plants_limits.py"}


def breaches(text: str) -> Iterator[str]:
    """Name what a module does to the engine's classes: extend them, or assign to them."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    imported |= {
        alias.asname or alias.name.partition(".")[0]: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }

    def of_engine(node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Name) and imported.get(node.id, "").startswith("headrace")

    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                name = ast.unparse(base)
                if imported.get(name.partition("[")[0].partition(".")[0], "").startswith(ENGINE):
                    yield f"{node.lineno}: the class {node.name} extends {name}"
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute | ast.Subscript) and of_engine(target):
                    yield f"{node.lineno}: assigns to {ast.unparse(target)}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "delattr"):
            yield f"{node.lineno}: calls {ast.unparse(node)}"
        elif isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            if name in PATCHERS:
                yield f"{node.lineno}: uses {name}"


def test_nothing_extends_or_replaces_a_part_of_the_engine() -> None:
    looked_at = 0
    for folder in FOLDERS:
        for path in folder.glob("*.py"):
            if path.name not in EXCUSED:
                looked_at += 1
                assert not list(breaches(path.read_text())), path
    assert looked_at > 15


@pytest.mark.parametrize(
    "text",
    [
        "from headrace.worker.outbox import Outbox\nclass Mine(Outbox): pass",
        "import headrace.worker.outbox as o\nclass Mine(o.Outbox): pass",
        "from headrace.worker.overlay import Rows\nclass Mine(Rows[int]): pass",
        "from headrace.worker.machine import Machine\nMachine.pump = None",
        "import headrace.worker.apply as a\na.first_starts = None",
        "from headrace.worker.machine import Machine\nsetattr(Machine, 'pump', None)",
        "def test(monkeypatch): pass",
        "from unittest.mock import patch\npatch('x')",
    ],
)
def test_a_planted_breach_is_found(text: str) -> None:
    assert list(breaches(text))


def test_the_simulated_node_is_made_of_the_classes_that_ship() -> None:
    with scene() as world:
        member = world.node("n0")
        ownership = member.node.owned[0]
        assert type(member.node) is Node
        assert type(ownership) is Ownership
        assert type(ownership.restore) is Restore
        assert type(ownership.machine) is Machine
        assert type(member.execution) is InProcess


def test_the_node_of_the_command_line_is_the_same() -> None:
    assembly = Path(headrace.testing.__file__).parents[1] / "cli" / "assembly.py"
    names = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(assembly.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert "headrace.worker.node.Node" in names
    assert "headrace.execution.InProcess" in names
