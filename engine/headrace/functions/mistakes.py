"""Mistakes in declarations: the place in the user's file, and the name that was probably meant."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from headrace.errors import BadDeclaration

_ALIKE, _SLIP = 0.6, 0.8  # shares of two names that are the same
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Collected:
    """The mistakes of declarations, while somebody wants to hear of all of them and not of the first alone."""

    def __init__(self) -> None:
        self._mistakes: list[BadDeclaration] | None = None

    def begin(self) -> list[BadDeclaration]:
        """Collect from now on; give the list that grows."""
        self._mistakes = []
        return self._mistakes

    def end(self) -> None:
        """Collect no more: mistakes are raised again."""
        self._mistakes = None

    def take(self, mistake: BadDeclaration) -> None:
        """Note a mistake, or raise it where nobody collects."""
        if self._mistakes is None:
            raise mistake
        self._mistakes.append(mistake)


COLLECTED = Collected()


def place_of(function: Callable[..., Any]) -> str:
    """Name the place of a callable as "file:line" (its first decorator's line), or "" for one that has no source."""
    try:
        code = getattr(inspect.unwrap(function), "__code__", None)
    except ValueError:  # a circle of __wrapped__
        return ""
    if code is None:
        method = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
        code = getattr(method, "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def snake_case(name: str) -> str:
    """Write a name as Python does: rateLimit and rate-limit are rate_limit."""
    return _HUMP.sub("_", name).lower().replace("-", "_").replace(" ", "_")


def nearest(name: str, known: Iterable[str], aliases: dict[str, str] | None = None) -> str:
    """Find the known name that was probably meant, or ""."""
    snake = snake_case(name)
    names = list(known)
    if aliases and snake in aliases:
        return aliases[snake]
    if snake in names:
        return snake
    close = difflib.get_close_matches(snake, names, n=1, cutoff=_ALIKE)
    # Among the many other names there is always one that is a little alike: it has to be a slip of the finger.
    slips = difflib.get_close_matches(snake, aliases or (), n=1, cutoff=_SLIP)
    likest = difflib.get_close_matches(snake, [*close, *slips], n=1, cutoff=0)
    if not likest:
        return ""
    found = str(likest[0])
    return aliases.get(found, found) if aliases else found
