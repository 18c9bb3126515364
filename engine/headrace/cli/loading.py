"""Load the user's apps: from a file (`shop/app.py`) or a module (`shop.app`), every App in it or the one after a colon.

Loading again imports the user's own modules afresh (those below the folders that the apps were found in, not what is
installed); when that fails, the modules that were there before are put back, and the code that runs goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol
from zlib import crc32

from headrace.cli.nearest import did_you_mean, nearest
from headrace.cli.stopping import Interrupted
from headrace.errors import BadDeclaration, HeadraceError
from headrace.functions import Function, check_injected


class AnApp(Protocol):
    """What is used of an App here."""

    @property
    def id(self) -> str: ...

    @property
    def functions(self) -> Mapping[str, Function]: ...


@dataclass(frozen=True)
class Loaded:
    """What the user declared: the apps, all their functions by full id, and the files that it stands in."""

    apps: tuple[AnApp, ...]
    functions: Mapping[str, Function]
    files: frozenset[Path]


class Loader:
    """Imports what the targets name; `files` are the user's files that were read, or tried, last."""

    def __init__(self, targets: Sequence[str], folder: Path | None = None) -> None:
        self._targets = tuple(targets)
        self._folder = (folder or Path.cwd()).resolve()
        self._roots = {self._folder}
        self._own: set[str] = set()
        self.files: frozenset[Path] = frozenset()

    def load(self) -> Loaded:
        """Import the apps, afresh if they were imported before; raises BadDeclaration with the file and line."""
        replaced = {name: sys.modules.pop(name) for name in self._own if name in sys.modules}
        before = set(sys.modules)
        importlib.invalidate_caches()
        linecache.checkcache()
        try:
            loaded = self._collect(self._import_all())
        except BaseException as problem:
            self.files |= self._files(self._own_modules(before)) | self._tried(problem)
            for name in self._own_modules(before):
                del sys.modules[name]
            sys.modules.update(replaced)
            raise
        self._own = self._own_modules(before)
        self.files = self._files(self._own)
        return Loaded(loaded.apps, loaded.functions, self.files)

    def _import_all(self) -> list[tuple[str, ModuleType, str]]:
        found = []
        for target in self._targets:
            place, _, name = target.partition(":")
            found.append((target, self._import(target, place), name))
        return found

    def _import(self, target: str, place: str) -> ModuleType:
        try:
            if place.endswith(".py") or "/" in place or (self._folder / place).is_file():
                return self._import_file(target, (self._folder / place).resolve())
            if not place or place.startswith("."):
                raise _not_found(target or "''", f"{place!r} is no module's name" if place else "the name is empty")
            _put_first(self._folder)
            return importlib.import_module(place)
        except (HeadraceError, Interrupted):
            raise
        except ModuleNotFoundError as problem:
            if problem.name is not None and (place == problem.name or place.startswith(problem.name + ".")):
                near = self._neighbour(problem.name)
                what = f"no module {problem.name!r} was found from {self._folder}."
                raise _not_found(target, f"{what} Did you mean {near!r}?" if near else what) from None
            raise self._unimportable(target, problem) from problem
        # Whatever a module raises is its failure: SystemExit and KeyboardInterrupt would end the node in silence.
        except BaseException as problem:
            raise self._unimportable(target, problem) from problem

    def _neighbour(self, missing: str) -> str:
        """Find the module most like the missing one where that was looked for, "" if none is like it."""
        parent, dot, last = missing.rpartition(".")
        # Behind the folder come Python's own and what is installed: nobody means those.
        places = getattr(sys.modules.get(parent), "__path__", ()) if parent else [str(self._folder)]
        near = nearest(last, [found.name for found in pkgutil.iter_modules(places)])
        return f"{parent}{dot}{near}" if near else ""

    def _import_file(self, target: str, path: Path) -> ModuleType:
        if not path.is_file():
            near = [other.name for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
            raise _not_found(target, f"there is no file {path}.{did_you_mean(path.name, near)}")
        root, parts = path.parent, [path.stem]
        while (root / "__init__.py").is_file():
            parts.insert(0, root.name)
            root = root.parent
        self._roots.add(root)
        _put_first(root)
        name = ".".join(parts)
        if len(parts) > 1:
            return importlib.import_module(name)
        there = sys.modules.get(name)
        if there is not None and getattr(there, "__file__", None) == str(path):
            return there
        if there is not None or name in sys.stdlib_module_names:
            # Another module has the name (a second app.py, or one of Python's own): both shall live.
            name = f"{name}_{crc32(str(path).encode()):08x}"
        return _execute(name, path)

    def _collect(self, modules: Iterable[tuple[str, ModuleType, str]]) -> Loaded:
        apps: list[AnApp] = []
        for target, module, name in modules:
            for app in _apps_of(target, module, name):
                if not any(app is other for other in apps):
                    apps.append(app)
        functions: dict[str, Function] = {}
        for app in apps:
            for function in app.functions.values():
                other = functions.get(function.id)
                if other is not None:
                    raise _twice(function, other)
                check_injected(function)
                functions[function.id] = function
        return Loaded(tuple(apps), functions, frozenset())

    def _own_modules(self, before: set[str]) -> set[str]:
        return {name for name in set(sys.modules) - before if self._file_of(name) is not None}

    def _file_of(self, name: str) -> Path | None:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name.partition(".")[0] == "headrace" or not file or not self._is_own(Path(file)):
            return None
        return Path(file)

    def _is_own(self, path: Path) -> bool:
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            return False
        return any(path.is_relative_to(root) for root in self._roots)

    def _files(self, names: Iterable[str]) -> frozenset[Path]:
        return frozenset(file for name in names if (file := self._file_of(name)) is not None)

    def _tried(self, problem: BaseException) -> frozenset[Path]:
        # A module that fails is not among the modules, but its file is what will be mended.
        cause = problem.__cause__ or problem
        tried = {Path(frame.filename) for frame in traceback.extract_tb(cause.__traceback__)}
        if isinstance(cause, SyntaxError) and cause.filename:
            tried.add(Path(cause.filename))
        return frozenset(path for path in tried if self._is_own(path))

    def _unimportable(self, target: str, problem: BaseException) -> BadDeclaration:
        if isinstance(problem, SyntaxError):
            where = f"{problem.filename}:{problem.lineno}"
            what = f"{target} cannot be loaded: {type(problem).__name__}: {problem.msg}"
        else:
            own = [frame for frame in traceback.extract_tb(problem.__traceback__) if self._is_own(Path(frame.filename))]
            where = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
            said = f": {problem}" if str(problem) else ""
            what = f"{target} cannot be loaded: {type(problem).__name__}{said}"
        return BadDeclaration(
            "app_unloadable",
            what,
            why="importing the module runs it, and it raised this",
            do="mend it there; HEADRACE_LOG_LEVEL=debug shows the whole traceback",
            where=where,
        )


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _apps_of(target: str, module: ModuleType, name: str) -> list[AnApp]:
    # dict.fromkeys: an App that the module knows under two names counts once.
    found = {attribute: value for attribute, value in vars(module).items() if _is_app(value)}
    if name:
        if name in found:
            return [found[name]]
        there = getattr(module, name, None)
        what = (
            f"{target}: {name} is a {type(there).__name__}, no App"
            if hasattr(module, name)
            else (f"{target}: the module has no {name!r}.{did_you_mean(name, found)}")
        )
    elif found:
        return list(found.values())
    else:
        what = f"{target} holds no App"
    raise BadDeclaration(
        "app_missing",
        what,
        why=f"apps are looked for among the module's own names; there: {', '.join(found) or 'none'}",
        do='write app = App("shop") at the top of the module, or name the app that is there',
        where=str(module.__file__ or ""),
    )


def _is_app(value: object) -> bool:
    # By name: app.py is above this room and cannot be imported from here, and whoever made an App has loaded it.
    return any(kind.__module__ == "headrace.app" and kind.__qualname__ == "App" for kind in type(value).__mro__)


def _put_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _not_found(target: str, what: str) -> BadDeclaration:
    return BadDeclaration(
        "app_not_found",
        f"{target}: {what}",
        why="an app is named by its file (app.py) or its module (shop.app), and :name for one of several",
        do="check the name, and start from the folder that holds it",
    )


def _twice(function: Function, other: Function) -> BadDeclaration:
    return BadDeclaration(
        "function_id_twice",
        f"two functions have the full id {function.id!r}: {other.place} and {function.place}",
        why="a full id is the app's id, a dash and the function's; runs are kept under it",
        do="give one of them another id",
        where=function.place,
    )
