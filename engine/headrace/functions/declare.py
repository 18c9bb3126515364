"""Declare: from a callable and its options to a function that partitions and executions know."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import BadDeclaration
from headrace.functions.injection import read_injected
from headrace.functions.middleware import Middleware, read_middleware
from headrace.functions.mistakes import place_of
from headrace.functions.options import check_options, read_flow
from headrace.functions.retries import read_retries
from headrace.functions.shared import Shared
from headrace.functions.triggers import read_triggers
from headrace.records.definitions import Definition, EventTrigger

ID_LENGTH_MAX = 128
NAME_LENGTH_MAX = 256
FAILED_EVENT = "inngest/function.failed"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a user: its code, and its definition as partitions know it."""

    id: str  # full: app id, "-", function id
    app: str
    call: Callable[..., Any]
    is_async: bool
    takes_step: bool  # written as f(ctx, step)
    definition: Definition
    place: str  # "file:line"
    shared: Shared = field(default_factory=Shared, compare=False)
    middleware: tuple[Middleware, ...] = ()  # the app's, and its own behind it
    injected: Mapping[str, type] = field(default_factory=dict)  # what it asks for by type, by the parameter's name


def declare_function(
    app_id: str,
    function_id: str,
    call: Callable[..., Any],
    options: Mapping[str, Any],
    shared: Shared | None = None,
) -> list[Function]:
    """Check a declaration; give the function, and behind it the one that its `on_failure` makes.

    Raises BadDeclaration, with the file and line of the callable.
    """
    where = place_of(call)
    check_id(function_id, "a function's id", where)
    check_options(options, where)
    shared = Shared() if shared is None else shared
    definition = _definition(app_id, function_id, options, where)
    function = _function(definition, call, "a function", options, shared, where)
    on_failure = options.get("on_failure")
    if on_failure is None:
        return [function]
    failure_where = place_of(on_failure) if callable(on_failure) else where
    trigger = EventTrigger(FAILED_EVENT, f"event.data.function_id == '{function.id}'")
    definition = Definition(
        f"{function.id}-failure", app_id, f"{function.definition.name} (failure)", [trigger], *read_retries(None, where)
    )
    return [function, _function(definition, on_failure, "on_failure", options, shared, failure_where)]


def check_injected(function: Function) -> None:
    """Refuse a function that asks for what its app does not provide; once everything is declared."""
    function.shared.providers.check(function.injected, f"the function {function.id!r}", function.place)


def check_id(value: object, what: str, where: str = "") -> None:
    """Refuse what is no id of an app or a function: letters, digits, dot, dash and underscore."""
    if isinstance(value, str) and len(value) <= ID_LENGTH_MAX and _ID.fullmatch(value):
        return
    raise BadDeclaration(
        "id_invalid",
        f"{what} is {value!r}",
        why=f"an id has 1 to {ID_LENGTH_MAX} letters, digits, dots, dashes and underscores; runs are kept under it",
        do='write it as in @app.function("process-order", trigger="order/created"); the option name takes any text',
        where=where,
    )


def read_signature(call: object, what: str, where: str) -> tuple[bool, bool, dict[str, type]]:
    """Tell whether a callable is async, whether it takes (ctx, step) instead of (ctx), and what it has injected."""
    if not callable(call):
        raise BadDeclaration(
            "not_a_function",
            f"{what} is {call!r}",
            why="a function is `async def f(ctx)`, `def f(ctx)`, or either with (ctx, step)",
            do="put the decorator right above the function",
            where=where,
        )
    inner = inspect.unwrap(call)
    inner = getattr(inner, "func", inner)  # functools.partial
    if not inspect.isroutine(inner):
        inner = getattr(inner, "__call__", inner)  # noqa: B004 - the method itself is wanted
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner) or inspect.isclass(call):
        raise BadDeclaration(
            "not_a_function",
            f"{what} is {getattr(call, '__name__', call)!r}, a {'class' if inspect.isclass(call) else 'generator'}",
            why="a function returns once, when the run ends",
            do="return instead of yielding; call steps with await",
            where=where,
        )
    injected = read_injected(call)
    return inspect.iscoroutinefunction(inner), _parameters(call, injected, what, where) == 2, injected


def _parameters(call: Callable[..., Any], injected: Collection[str], what: str, where: str) -> int:
    positional = required = 0
    for parameter in inspect.signature(call).parameters.values():
        if parameter.name in injected:
            continue
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional += parameter.default is parameter.empty
        elif parameter.kind == parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            required += 1
    if positional not in (1, 2) or required:
        raise BadDeclaration(
            "signature_invalid",
            f"{what} {getattr(call, '__name__', '')!r} takes {inspect.signature(call)}",
            why="a function is called as f(ctx), or as f(ctx, step); further parameters are injected by their class",
            do="take ctx (what started the run is in ctx.event.data), and annotate what app.provide(…) gives",
            where=where,
        )
    return positional


def _name(options: Mapping[str, Any], function_id: str, where: str) -> str:
    name = options.get("name")
    if name is None:
        return function_id
    if isinstance(name, str) and 0 < len(name) <= NAME_LENGTH_MAX and name.isprintable():
        return name
    raise BadDeclaration(
        "name_invalid",
        f"the function's name is {name!r}",
        why=f"a name is what people read: 1 to {NAME_LENGTH_MAX} printable characters",
        do='write name="Process an order", or leave it out',
        where=where,
    )


def _definition(app_id: str, function_id: str, options: Mapping[str, Any], where: str) -> Definition:
    name = _name(options, function_id, where)
    given = [options[key] for key in ("trigger", "triggers") if options.get(key) is not None]
    if len(given) != 1:
        raise BadDeclaration(
            "trigger_missing" if not given else "triggers_twice",
            f"the function {function_id!r} has no trigger"
            if not given
            else f"the function {function_id!r} has both trigger and triggers",
            why="a trigger says which events start a function; triggers is another name for the same option",
            do='write trigger="order/created", or a list',
            where=where,
        )
    triggers, crons = read_triggers(given[0], where)
    flow = read_flow(options, where)
    if "start_from" in flow and not triggers:
        raise BadDeclaration(
            "option_invalid",
            f"the function {function_id!r} has start_from={flow['start_from']!r} and is started by Cron alone",
            why="start_from takes events that are in the log already, and the function takes none",
            do='leave it out, or see Cron(…, catch_up="all")',
            where=where,
        )
    retries, backoff = read_retries(options.get("retries"), where)
    return Definition(
        f"{app_id}-{function_id}", app_id, name, triggers, retries=retries, backoff=backoff, crons=crons, **flow
    )


def _function(
    definition: Definition,
    call: Callable[..., Any],
    what: str,
    options: Mapping[str, Any],
    shared: Shared,
    where: str,
) -> Function:
    is_async, takes_step, injected = read_signature(call, what, where)
    middleware = (*shared.middleware, *read_middleware(options.get("middleware"), where))
    return Function(
        definition.id, definition.app, call, is_async, takes_step, definition, where, shared, middleware, injected
    )
