"""Callables for steps that count their calls."""

from __future__ import annotations

from typing import Any


class Counted:
    """Gives, or raises, one thing after the other; the last one for ever. Its calls are counted by argument too."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = outcomes
        self.calls = 0

    def next(self) -> Any:
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def __call__(self) -> Any:
        return self.next()


async def give(value: Any) -> Any:
    return value
