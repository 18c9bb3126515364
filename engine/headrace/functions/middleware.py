"""Middleware: what happens before and after runs, steps and sending, for all functions of an app or for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.errors import BadDeclaration
from headrace.functions.mistakes import nearest

HOOKS = ("before_run", "after_run", "before_step", "after_step", "before_send", "after_send")


class Middleware:
    """Derive from it, and override what is needed. Those for runs and steps may be async.

    Befores are called in the order in which middleware is listed, afters in reverse. What a hook raises counts as
    raised by the function or the step. In plain `def` functions hooks run on the loop, not on the function's thread.
    """

    def before_run(self, ctx: Any) -> Any:
        """Called when the code of a run starts: also again, when it is replayed after a rest or a crash."""

    def after_run(self, ctx: Any, output: Any, error: BaseException | None) -> Any:
        """Called when the body has returned or raised; not when its code is put away because the run rests."""

    def before_step(self, ctx: Any, step_id: str) -> Any:
        """Called before each attempt of a step's callable; never for a step that is recorded."""

    def after_step(self, ctx: Any, step_id: str, output: Any, error: BaseException | None) -> Any:
        """Called after each attempt of a step's callable, before its result is recorded."""

    def before_send(self, events: list[Any]) -> Any:
        """Called with the events (`Event`) that the app or a step sends; may change them in place. Not async.

        For a step it is called again when the code is replayed: what it changes must be the same each time.
        """

    def after_send(self, events: list[Any], ids: list[str]) -> None:
        """Called when `app.send` has sent events, with their ids. Not async."""


def read_middleware(value: object, where: str = "") -> tuple[Middleware, ...]:
    """Read the option `middleware`: an instance or a class of `Middleware`, or a list of these."""
    if value is None:
        return ()
    listed = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(_read_one(one, where) for one in listed)


def _read_one(one: object, where: str) -> Middleware:
    if isinstance(one, type) and issubclass(one, Middleware):
        one = one()
    if not isinstance(one, Middleware):
        raise BadDeclaration(
            "middleware_invalid",
            f"middleware is {one!r}",
            why="middleware is a class derived from Middleware, or an instance of one",
            do="write class Timing(Middleware): … and middleware=[Timing()]",
            where=where,
        )
    for name in dir(type(one)):
        if name.startswith(("before_", "after_")) and name not in HOOKS:
            meant = nearest(name, HOOKS)
            raise BadDeclaration(
                "middleware_invalid",
                f"the middleware {type(one).__name__} has a method {name!r}, which nobody would call",
                why=f"there are: {', '.join(HOOKS)}",
                do=f"did you mean {meant!r}?" if meant else "give it a name that does not begin like a hook's",
                where=where,
            )
    return one


def overrides(middleware: Sequence[Middleware], hook: str) -> bool:
    """Tell whether any of these does something there."""
    return any(getattr(type(one), hook) is not getattr(Middleware, hook) for one in middleware)
