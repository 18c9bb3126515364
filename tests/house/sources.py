"""The files that the rules are about."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engine" / "headrace"


@dataclass(frozen=True)
class Source:
    """One module: dotted name, text, its name in messages, and whether it is a package's `__init__`."""

    module: str
    text: str
    place: str = "planted.py"
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        """Parse the text."""
        return ast.parse(self.text, filename=self.place)

    @property
    def room(self) -> str:
        """Name the room the module stands in; a module at the top level is a room of its own."""
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 else parts[0]


def engine_sources() -> list[Source]:
    """Read every module of the engine, in the order of their paths."""
    return [_read(path) for path in sorted(ENGINE.rglob("*.py"))]


def repository_files() -> Iterator[Path]:
    """List the files that belong to the repository: tracked ones and new ones that git would not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        path = ROOT / name
        if path.is_file():
            yield path


def _read(path: Path) -> Source:
    parts = list(path.relative_to(ENGINE.parent).with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    if is_package:
        parts.pop()
    return Source(".".join(parts), path.read_text("utf-8"), str(path.relative_to(ROOT)), is_package)
