"""An event that has come, decoded at most once however many wait for it."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.expressions import Expression
from headrace.functions.bindings import event_bindings
from headrace.functions.correlation import digest_at, digest_of
from headrace.records.waits import Found


class Arriving:
    """An event and what conditions see of it as `async`."""

    __slots__ = ("_bindings", "_decoded", "found")

    def __init__(self, found: Found) -> None:
        self.found = found
        self._bindings: dict[str, Any] | None = None
        self._decoded = False

    @property
    def bindings(self) -> dict[str, Any] | None:
        """The event as expressions see it; None for JSON that has no value."""
        if not self._decoded:
            self._decoded = True
            try:
                self._bindings = event_bindings(self.found.event)
            except (msgspec.MsgspecError, RecursionError):
                self._bindings = None
        return self._bindings

    def digest(self, path: str, reader: Expression | None) -> bytes | None:
        """Give its digest for a shape; None where it has no value at the path."""
        if reader is None:
            return digest_of(self.found.event.name, path, b"")
        bindings = self.bindings
        return None if bindings is None else digest_at(self.found.event.name, path, reader, {"async": bindings})
