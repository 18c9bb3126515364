"""Texts for people: how long, how many, when, and which words stand for a status."""

from __future__ import annotations

_UNITS = ((86_400_000, "d", 3_600_000, "h"), (3_600_000, "h", 60_000, "m"), (60_000, "m", 1_000, "s"))

STATUS_WORDS = {
    "queued": "Queued",
    "executing": "Running",
    "sleeping": "Sleeping",
    "waiting": "Waiting",
    "backing_off": "Backing off",
    "parked": "Parked",
    "no_code": "No code",
}


def duration_text(ms: float) -> str:
    """Write a duration in at most two units: 850 ms, 4.2 s, 3 m 5 s, 2 d 4 h."""
    if ms < 1:
        return "0 ms" if ms <= 0 else "<1 ms"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000 and ms % 1_000 == 0:
        return f"{int(ms // 1_000)} s"
    if ms < 10_000:
        return f"{ms / 1_000:.2f} s"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s"
    for unit, name, lesser, lesser_name in _UNITS:
        if ms >= unit:
            rest = int(ms % unit // lesser)
            return f"{int(ms // unit)} {name} {rest} {lesser_name}" if rest else f"{int(ms // unit)} {name}"
    raise AssertionError(ms)


def count_text(number: int) -> str:
    """Write a number with thin spaces between thousands; from a million on with three digits."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.3g} M"
    return f"{number:,}".replace(",", "\u202f")


def share_text(share: float | None) -> str:
    """Write a share as per cent; a dash where there is none."""
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.1f} %".replace(".0 %", " %")


def size_text(size: int) -> str:
    """Write a number of bytes."""
    if size < 1_024:
        return f"{size} bytes"
    return f"{size / 1_024:.1f} KiB" if size < 1_024 * 1_024 else f"{size / 1_048_576:.1f} MiB"
