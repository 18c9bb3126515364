"""Refusals: what was turned away at a door, told to the operator in words, and not more often than anybody reads."""

from __future__ import annotations

from collections.abc import Callable

from headrace.adapters.seams import Clock

_QUIET_MS = 10_000
_SUBJECTS_MAX = 1_000


class Refusals:
    """Tells each kind of refusal at once, and its repeats as a number ten seconds later at the soonest."""

    def __init__(self, tell: Callable[[str, str], None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[int, int]] = {}  # (code, subject) → (when, how many since)

    def note(self, code: str, sentence: str, subject: str = "") -> None:
        """Tell of a refusal; `subject` tells apart what is told for itself, such as apps."""
        key = (code, subject)
        now_ms = self._clock.monotonic_ms()
        at_ms, count = self._told.get(key, (now_ms - _QUIET_MS, 0))
        if now_ms - at_ms < _QUIET_MS:
            self._told[key] = (at_ms, count + 1)
            return
        if len(self._told) >= _SUBJECTS_MAX:  # strangers name them
            self._told.clear()
        self._told[key] = (now_ms, 0)
        self._tell(code, f"{sentence} (and {count} more like it since)" if count else sentence)
