"""Stubs: what tests put in the place of steps' callables, so that nothing outside is touched."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

from headrace.execution.callables import Callee, callee_of
from headrace.records.rows import split_step_name


class _AnApp(Protocol):
    @property
    def id(self) -> str: ...


class Stub:
    """What stands in for one step; `calls` are the arguments of each attempt, `(args, kwargs)`."""

    def __init__(self, instead: Any) -> None:
        self._instead = instead
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what stands in for the step."""
        self.calls.append((args, kwargs))
        instead = self._instead
        if isinstance(instead, BaseException) or (isinstance(instead, type) and issubclass(instead, BaseException)):
            raise instead
        given = instead(*args, **kwargs) if callable(instead) else instead
        return await given if inspect.isawaitable(given) else given


class Stubs:
    """All stubs of a test, by the step's id and the function's; "" for every function."""

    def __init__(self, apps: Sequence[_AnApp]) -> None:
        self._apps = apps
        self._by_step: dict[tuple[str, str], Stub] = {}

    def put(self, step_id: str, instead: Any, function: str) -> Stub:
        """Have this done instead of the step's callable."""
        stub = Stub(instead)
        for function_id in ({function} | {f"{app.id}-{function}" for app in self._apps}) if function else ("",):
            self._by_step[function_id, step_id] = stub
        return stub

    def stand_in(self, function_id: str, name: bytes, callee: Callee, function: Any) -> tuple[Callee, Any]:
        """Give what is called for a step, and how."""
        if not self._by_step:
            return callee, function
        step_id, occurrence = split_step_name(name)
        ids = [f"{step_id}:{occurrence}", step_id] if occurrence else [step_id]
        for one in ids:
            stub = self._by_step.get((function_id, one)) or self._by_step.get(("", one))
            if stub is not None:
                return callee_of(stub.__call__), stub
        return callee, function
