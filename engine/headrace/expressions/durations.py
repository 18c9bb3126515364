"""Durations as people write them, and the moments that `sleep_until` takes; both become whole milliseconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from headrace.errors import BadDeclaration
from headrace.expressions.timestamps import format_iso, parse_iso_ns

UNIT_MS: Final = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
DURATION_MS_MAX: Final = 36_525 * UNIT_MS["d"]  # a century: whatever is longer is a slip
WHEN_MS_MIN: Final = 315_532_800_000  # 1980-01-01; a smaller number was meant as seconds
WHEN_MS_MAX: Final = 253_402_300_799_999  # the last millisecond of 9999

_PART: Final = r"(\d{1,15})(?:\.(\d{1,9}))?([^\d.\s]+)"
_UNITS_WRITTEN: Final = 'ms, s, m, h, d and w, alone or joined: "1500ms", "30s", "1h30m", "1.5h", "1d12h"'
_NEAREST: Final = {
    "": "s", "sec": "s", "secs": "s", "min": "m", "mins": "m", "msec": "ms", "msecs": "ms", "mil": "ms", "us": "ms",
    "µs": "ms", "μs": "ms", "ns": "ms", "mo": "d", "y": "d",
}  # fmt: skip


def parse_duration_ms(value: str | int | float | timedelta, *, option: str = "duration") -> int:
    """Give a duration in whole milliseconds, rounded to the nearest.

    Takes "1500ms", "1s", "30m", "1h", "7d", "2w", joined units ("1d12h", "1.5h"), plain seconds as a number, or a
    timedelta. Zero is a duration; whether an option allows it is the option's rule. Raises BadDeclaration, naming
    `option`, for everything else.
    """
    if isinstance(value, str):
        return _parse_text(value, option)
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise _negative(value, option)
        return _checked((value // timedelta(microseconds=1) + 500) // 1_000, value, option)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadDeclaration(
            "bad_duration",
            f"{option} is {value!r} ({type(value).__name__})",
            why="a duration is a text with units, a number of seconds, or a timedelta",
            do=f'write {option}="30s" (units: {_UNITS_WRITTEN}), {option}=30 for seconds, or a timedelta',
        )
    if not math.isfinite(value):
        raise BadDeclaration(
            "bad_duration",
            f"{option} is {value!r}",
            why="a duration has an end",
            do=f'give a finite number of seconds, or a text such as {option}="1h"; leave the option out for none',
        )
    if value < 0:
        raise _negative(value, option)
    if isinstance(value, int):
        return _checked(value * 1_000, value, option)
    return _checked(math.floor(min(value, 1e15) * 1_000 + 0.5), value, option)


@lru_cache(maxsize=1024)  # code writes the same few again and again
def _parse_text(text: str, option: str) -> int:
    written = text.strip()
    billionths = 0  # of a millisecond: exact, so that "0.1s" ten times is one second
    at = 0
    while at < len(written):
        part = re.match(_PART, written[at:], re.ASCII)
        if part is None:
            raise _unreadable(text, written, option)
        whole, decimals, unit = part.groups()
        if unit not in UNIT_MS:
            raise _unknown_unit(text, unit, whole + ("." + decimals if decimals else ""), option)
        billionths += int(whole + (decimals or "").ljust(9, "0")) * UNIT_MS[unit]
        at += part.end()
    if not written:
        raise _unreadable(text, written, option)
    return _checked((billionths + 500_000_000) // 1_000_000_000, text, option)


def _unreadable(text: str, written: str, option: str) -> BadDeclaration:
    if not written:
        why = "the text is empty"
    elif written.startswith("-"):
        return _negative(text, option)
    elif re.fullmatch(r"\d+(\.\d+)?", written):
        why = f'it has no unit; the nearest is s: "{written}s" (a number without quotes is seconds)'
    else:
        why = "a duration is numbers with units and nothing between them"
    return BadDeclaration(
        "bad_duration", f"{option} is {text!r}", why=why, do=f"use the units {_UNITS_WRITTEN}, or seconds as a number"
    )


def _unknown_unit(text: str, unit: str, number: str, option: str) -> BadDeclaration:
    nearest = nearest_unit(unit)
    return BadDeclaration(
        "bad_duration",
        f"{option} is {text!r}: there is no unit {unit!r}",
        why=f"the units are {_UNITS_WRITTEN}",
        do=f'the nearest unit is {nearest}: did you mean "{number}{nearest}"?',
    )


def nearest_unit(unit: str) -> str:
    """Name the unit that a reader would take an unknown one for ("hours" is h, "M" is m, "us" is ms)."""
    lower = unit.lower()
    if lower in UNIT_MS:
        return lower
    for length in range(len(lower), -1, -1):
        if lower[:length] in _NEAREST:
            known = _NEAREST[lower[:length]]
            return known if length or lower[:1] not in UNIT_MS else lower[0]
    raise AssertionError(unit)  # the empty prefix always matches


def _negative(value: object, option: str) -> BadDeclaration:
    return BadDeclaration(
        "bad_duration",
        f"{option} is {value!r}",
        why="a duration is never negative",
        do=f'give zero or more, such as {option}="30s" (units: {_UNITS_WRITTEN})',
    )


def _checked(duration_ms: int, value: object, option: str) -> int:
    if duration_ms > DURATION_MS_MAX:
        raise BadDeclaration(
            "bad_duration",
            f"{option} is {value!r}, more than a century",
            why="durations end at 36525d; a number without a unit is seconds, not milliseconds",
            do=f'check the unit: {option}="{value}ms"?' if isinstance(value, int) else "check the unit",
        )
    return duration_ms


def format_duration(duration_ms: int) -> str:
    """Write milliseconds as a short text that `parse_duration_ms` reads back: "250ms", "1.5s", "1h30m", "3d"."""
    if duration_ms < 0:
        return "-" + format_duration(-duration_ms)
    if duration_ms < 1_000:
        return f"{duration_ms}ms" if duration_ms else "0s"
    text = ""
    rest = duration_ms
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, UNIT_MS[unit])
        if count:
            text += f"{count}{unit}"
    if rest:
        seconds, thousandths = divmod(rest, 1_000)
        decimals = f".{thousandths:03d}".rstrip("0") if thousandths else ""
        text += f"{seconds}{decimals}s"
    return text


def parse_when_ms(value: datetime | int | float | str, *, option: str = "when") -> int:
    """Give a moment as milliseconds since 1970, rounded to the nearest.

    Takes a datetime with a time zone, an ISO 8601 text with a zone ("2026-08-22T10:00:00Z", "…+02:00"), or a
    number, which is always epoch **milliseconds**, like an event's `ts`; numbers before 1980 are refused because
    they were meant as seconds. Raises BadDeclaration, naming `option`.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise _no_zone(value, option, f"{option}.replace(tzinfo=datetime.UTC)")
        microseconds = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return (microseconds + 500) // 1_000
    if isinstance(value, str):
        moment = parse_iso_ns(value.strip())
        if moment is None:
            raise BadDeclaration(
                "bad_time",
                f"{option} is {value!r}",
                why="a text is read as ISO 8601 with a zone",
                do='write it like "2026-08-22T10:00:00Z" or "2026-08-22T10:00:00+02:00"',
            )
        if not moment[1]:
            raise _no_zone(value, option, f'"{value.strip()}Z" for UTC' if "T" in value else '"…T00:00:00Z" for UTC')
        return (moment[0] + 500_000) // 1_000_000
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadDeclaration(
            "bad_time",
            f"{option} is {value!r} ({type(value).__name__})",
            why="a moment is a datetime with a zone, an ISO 8601 text with a zone, or epoch milliseconds",
            do=f"give {option} in one of these forms",
        )
    return _epoch_ms(value, option)


def _epoch_ms(value: int | float, option: str) -> int:
    if WHEN_MS_MIN <= value <= WHEN_MS_MAX:
        return math.floor(value + 0.5) if isinstance(value, float) else value
    if value < WHEN_MS_MIN and value >= 0:
        read_as = f"{format_iso(int(value) * 1_000_000)} if taken as milliseconds"
        do = f"these look like seconds: give {option}={int(value) * 1_000}"
    elif value > 0:
        read_as = "after the year 9999 if taken as milliseconds"
        do = "divide microseconds by 1000 and nanoseconds by 1000000"
    else:
        read_as = "before 1970"
        do = "give a moment from 1980 on"
    raise BadDeclaration(
        "bad_time",
        f"{option} is {value!r}, which is {read_as}",
        why="a number is always epoch milliseconds, like an event's ts; seconds are never guessed",
        do=do,
    )


def _no_zone(value: object, option: str, example: str) -> BadDeclaration:
    return BadDeclaration(
        "bad_time",
        f"{option} is {value!r}, which has no time zone (it is naive)",
        why="the same clock reading is a different moment in every zone, and nodes may run in different ones",
        do=f"say which zone: {example}",
    )
