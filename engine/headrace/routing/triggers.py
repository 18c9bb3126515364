"""Trigger tables: event name → functions, compiled once per set of definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.errors import BadDeclaration
from headrace.expressions import Expression, compile_expression
from headrace.functions.bindings import event_bindings
from headrace.records.definitions import Definition
from headrace.records.rows import KnownEvent

_NAMES_MAX = 4096


def wildcards(name: str) -> list[str]:
    """List the wildcard patterns that match an event name: `a/b.c` is matched by `a/*` and `a/b.*`."""
    return [name[: i + 1] + "*" for i, character in enumerate(name) if character in "/." and i + 1 < len(name)]


class Routes:
    """The triggers of all functions that a partition knows."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self._by_name: dict[str, list[tuple[str, Expression | None]]] = {}
        self._by_event: dict[str, list[tuple[str, Expression | None]]] = {}
        self.broken: dict[str, BadDeclaration] = {}
        for definition in sorted(definitions, key=lambda d: d.id):
            for trigger in definition.triggers:
                try:
                    expression = compile_expression(trigger.expression) if trigger.expression else None
                except BadDeclaration as error:
                    # Checked where it was declared; one that got here all the same must not stop the others.
                    self.broken[definition.id] = error
                    continue
                self._by_name.setdefault(trigger.event, []).append((definition.id, expression))

    def _interested(self, name: str) -> list[tuple[str, Expression | None]]:
        found = self._by_event.get(name)
        if found is None:
            found = list(self._by_name.get(name, ()))
            for pattern in wildcards(name):
                found += self._by_name.get(pattern, ())
            found.sort(key=lambda entry: entry[0])
            if len(self._by_event) >= _NAMES_MAX:  # names come from strangers: keep the table bounded
                self._by_event.clear()
            self._by_event[name] = found
        return found

    def wanted(self, name: str) -> bool:
        """Whether any function has a trigger for this name."""
        return bool(self._interested(name))

    def only(self, name: str) -> str | None:
        """Name the function that every event of this name starts, if there is one and no other that may start."""
        interested = self._interested(name)
        return interested[0][0] if len(interested) == 1 and interested[0][1] is None else None

    def match(self, event: KnownEvent, now_ms: int) -> list[str]:
        """List the functions that an event starts."""
        interested = self._interested(event.name)
        if len(interested) == 1 and interested[0][1] is None:
            return [interested[0][0]]
        matched: list[str] = []
        bindings: dict[str, Any] | None = None
        for function_id, expression in interested:
            if matched and matched[-1] == function_id:
                continue
            if expression is not None:
                if bindings is None:
                    try:
                        bindings = {"event": event_bindings(event)}
                    except (msgspec.MsgspecError, RecursionError):
                        # JSON by its form, but no value: a number beyond every float, say. It matches no expression.
                        bindings = {}
                if not bindings:
                    continue
                if not expression.matches(bindings, now_ms):
                    continue
            matched.append(function_id)
        return matched
