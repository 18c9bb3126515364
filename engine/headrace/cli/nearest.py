"""Which of the names that exist was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, names: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Find the name most like the one given, None if none is as like it as `likeness` (1 is equal)."""
    by_folded = {other.casefold().replace("_", "-"): other for other in names}
    found = get_close_matches(name.casefold().replace("_", "-"), by_folded, n=1, cutoff=likeness)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Say " Did you mean …?" if a name is like the one given, else nothing."""
    found = nearest(name, names)
    return f" Did you mean {found!r}?" if found else ""
