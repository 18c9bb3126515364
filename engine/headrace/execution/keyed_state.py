"""Keyed state: what a function keeps for its key from run to run, in the partition where its runs live.

Every call is a step, recorded like others: what a run has read stays what it was when the code is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from headrace.execution.asking import Ask
from headrace.execution.callables import Callee
from headrace.execution.step_calls import ask_step
from headrace.execution.values import pack_output
from headrace.functions.errors import StepMisuse
from headrace.functions.step_ids import check_step_id
from headrace.records.commands import StateAsked

if TYPE_CHECKING:
    from headrace.execution.live_run import LiveRun

NAME_LENGTH_MAX = 200


class KeyedState:
    """`ctx.state`: get, set and delete values by name; they belong to the function and the value of its first key.

    In an `async def` function every call is awaited; in a plain `def` function it blocks.
    """

    __slots__ = ("_live",)

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    def get(self, name: str, default: Any = None) -> Coroutine[Any, Any, Any]:
        """Give what is kept under a name, else `default`."""
        return self._ask("get", name, None, Callee(False, lambda raw: default if raw is None else raw))

    def set(self, name: str, value: Any) -> Coroutine[Any, Any, None]:
        """Keep a value: what a step may return. None is as good as nothing."""
        packed, _ = pack_output(value, self._live.home.settings)
        return self._ask("set", name, packed, _NOTHING)

    def delete(self, name: str) -> Coroutine[Any, Any, None]:
        """Forget what is kept under a name."""
        return self._ask("delete", name, None, _NOTHING)

    def _ask(self, verb: str, name: str, value: bytes | None, callee: Callee) -> Coroutine[Any, Any, Any]:
        step_id, command = state_command(verb, name, value)
        return ask_step(self._live, step_id, command, callee)


_NOTHING = Callee(False, lambda raw: None)


class BlockingState(KeyedState):
    """`ctx.state` of a plain `def` function."""

    __slots__ = ()

    def _ask(self, verb: str, name: str, value: bytes | None, callee: Callee) -> Any:
        from headrace.execution.threads import ask_loop

        step_id, command = state_command(verb, name, value)
        return ask_loop(self._live, lambda _: ask_step(self._live, step_id, command, callee))


def state_command(verb: str, name: object, value: bytes | None) -> tuple[str, Ask]:
    """Check a name; give the id of the step that stands for the call, and what asks for it."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH_MAX:
        raise StepMisuse(
            "state_name_invalid",
            f"ctx.state.{verb} got the name {name!r}",
            why=f"values are kept under names of 1 to {NAME_LENGTH_MAX} characters",
            do='write await ctx.state.get("count", 0)',
        )
    check_step_id(name)
    known: str = name
    command: Callable[[str, bytes], StateAsked] = lambda run_id, step: StateAsked(run_id, step, verb, known, value)  # noqa: E731
    return f"state.{verb} {name}", command
