"""Injection: what functions are given besides the context, by type."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from headrace.errors import BadDeclaration
from headrace.functions.mistakes import nearest

_OWN = ("Context", "Steps", "BlockingSteps")  # what the first two parameters are, if they say so


class Providers:
    """What is given for each type. A value is given as it is; a factory is called once for each start of the code."""

    __slots__ = ("_by_type",)

    def __init__(self) -> None:
        self._by_type: dict[type, tuple[Any, int]] = {}  # the value or factory; -1: a value, else how many arguments

    def provide(self, kind: object, value: Any, where: str = "") -> None:
        """Give this value, or what this function makes (called without arguments, or with ctx), for this type."""
        if not isinstance(kind, type):
            raise BadDeclaration(
                "provider_invalid",
                f"app.provide got {kind!r}, which is no class",
                why="functions ask for what they need by its class",
                do="write app.provide(Database, connect) and async def f(ctx: Context, db: Database)",
                where=where,
            )
        if isinstance(value, kind) or not callable(value):
            self._by_type[kind] = (value, -1)
            return
        parameters = inspect.signature(value).parameters.values()
        needed = [one for one in parameters if one.default is one.empty and one.kind not in (2, 4)]
        if len(needed) > 1:
            raise BadDeclaration(
                "provider_invalid",
                f"what makes a {kind.__name__} takes {len(needed)} arguments",
                why="it is called without arguments, or with ctx",
                do="give the others defaults",
                where=where,
            )
        self._by_type[kind] = (value, len(needed))

    def make(self, kind: type, ctx: Any) -> Any:
        """Give what a function asks for; what an async factory gives is to be awaited."""
        value, arguments = self._by_type[kind]
        if arguments < 0:
            return value
        return value(ctx) if arguments else value()

    def check(self, wanted: Mapping[str, type], what: str, where: str) -> None:
        """Refuse a function that asks for what nobody provides."""
        for name, kind in wanted.items():
            if kind not in self._by_type:
                known = {one.__name__: one for one in self._by_type}
                meant = nearest(kind.__name__, known)
                raise BadDeclaration(
                    "provider_missing",
                    f"{what} asks for {name}: {kind.__name__}, and nobody provides one",
                    why=f"provided are: {', '.join(known) or 'none'}",
                    do=f"did you mean {meant}?" if meant else f"write app.provide({kind.__name__}, …)",
                    where=where,
                )


def read_injected(call: Callable[..., Any]) -> dict[str, type]:
    """List the parameters behind ctx (and step) that are asked for by type: their names and classes.

    A parameter is one if it has no default and its annotation is a class other than those of ctx and step.
    """
    hints = _hints(call)
    found: dict[str, type] = {}
    for number, parameter in enumerate(inspect.signature(call).parameters.values()):
        kind = hints.get(parameter.name)
        if number == 0 or parameter.default is not parameter.empty or not isinstance(kind, type):
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            continue
        if kind is not Any and kind.__name__ not in _OWN and kind.__module__ != "builtins":
            found[parameter.name] = kind
    return found


def _hints(call: Any) -> dict[str, Any]:
    function = inspect.unwrap(call)
    function = getattr(function, "func", function)  # functools.partial
    if not inspect.isroutine(function):
        function = getattr(function, "__call__", function)  # noqa: B004 - the method itself is wanted
    names = dict(getattr(function, "__globals__", {}))
    free = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(free, getattr(function, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    found: dict[str, Any] = {}
    for name, written in _annotations(function).items():
        # One by one: a name that exists for type checkers alone must not hide the others.
        holder = types.SimpleNamespace(__annotations__={name: written})
        try:
            found |= typing.get_type_hints(holder, names)
        except Exception:  # an annotation may be any expression, and fail in any way; then there is no type
            continue
    return found


def _annotations(function: Any) -> dict[str, Any]:
    try:
        return getattr(function, "__annotations__", None) or {}
    except NameError:  # evaluated lazily from Python 3.14 on
        return {}
