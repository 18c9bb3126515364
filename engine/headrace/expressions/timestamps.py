"""Read and write points in time as nanoseconds since 1970, without locale, clock or zone database.

Source: RFC 3339; RFC 1123, 822 and 850 dates; the C library's `ctime`; what the SDK protocol page says of `date(x)`.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_SECOND
NS_MIN: Final = (date(1, 1, 1) - date(1970, 1, 1)).days * NS_PER_DAY
NS_MAX: Final = ((date(9999, 12, 31) - date(1970, 1, 1)).days + 1) * NS_PER_DAY - 1

# Texts, not compiled patterns: `re` compiles each on first use and keeps it, and importing this stays cheap.
_ISO: Final = r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d\d:?\d\d)?)?"
# "Mon, 02 Jan 2006 15:04:05 GMT", "02 Jan 06 15:04 -0700", "Monday, 02-Jan-06 15:04:05 UTC"
_MAIL: Final = (
    r"(?:[A-Za-z]{3,9},\s*)?(\d{1,2})[ -]([A-Za-z]{3})[ -](\d{4}|\d\d)"
    r"\s+(\d\d):(\d\d)(?::(\d\d))?\s+([A-Z]{1,3}|[+-]\d{4})"
)
# "Mon Jan  2 15:04:05 2006", with a zone before the year in Unix's and Ruby's form
_CTIME: Final = (
    r"[A-Za-z]{3}\s+([A-Za-z]{3})\s+(\d{1,2})\s+(\d\d):(\d\d):(\d\d)\s+(?:([A-Z]{1,3}|[+-]\d{4})\s+)?(\d{4})"
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_EPOCH: Final = date(1970, 1, 1)


def parse_iso_ns(text: str) -> tuple[int, bool] | None:
    """Read an ISO 8601 date or date and time; give (nanoseconds, whether it names its zone), or None.

    Without a zone the time is taken as UTC; the caller decides whether that is good enough.
    """
    found = re.fullmatch(_ISO, text, re.ASCII)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    ns = _instant_ns(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    if ns is None:
        return None
    offset_s = _offset_s(zone)
    if offset_s is None:
        return None
    ns += int((fraction or "").ljust(9, "0")) - offset_s * NS_PER_SECOND
    return (ns, zone is not None) if NS_MIN <= ns <= NS_MAX else None


def parse_date_ns(text: str) -> int | None:
    """Read a date in any of the forms that `date(x)` takes: ISO 8601, RFC 1123, 822 and 850, and `ctime`.

    A form without a zone is UTC. Zone names other than UTC, GMT, UT and Z mean different things to different
    people and are refused.
    """
    iso = parse_iso_ns(text)
    if iso is not None:
        return iso[0]
    found = re.fullmatch(_MAIL, text, re.ASCII)
    if found is not None:
        day, month, year, hour, minute, second, zone = found.groups()
    else:
        found = re.fullmatch(_CTIME, text, re.ASCII)
        if found is None:
            return None
        month, day, hour, minute, second, zone, year = found.groups()
    month_number = _MONTHS.get(month.lower())
    offset_s = _offset_s(zone)
    if month_number is None or offset_s is None:
        return None
    year_number = int(year)
    if len(year) == 2:
        year_number += 1900 if year_number >= 69 else 2000
    ns = _instant_ns(year_number, month_number, int(day), int(hour), int(minute), int(second or 0))
    return None if ns is None else ns - offset_s * NS_PER_SECOND


def unix_ns(number: int | float) -> int | None:
    """Take a bare number as a Unix time, by its size: seconds, milliseconds, microseconds or nanoseconds.

    A number before 2000-01-01 in seconds is no date: it is far more often a count than a time.
    """
    if not 946_684_800 <= number < 10**19:  # also false for NaN
        return None
    for ceiling, ns_each in ((10**10, NS_PER_SECOND), (10**13, 1_000_000), (10**16, 1_000)):
        if number < ceiling:
            return round(number * ns_each)
    return round(number)


def format_iso(ns: int) -> str:
    """Write nanoseconds since 1970 as RFC 3339 in UTC, with as many decimals of a second as there are."""
    days, rest = divmod(ns, NS_PER_DAY)
    seconds, fraction = divmod(rest, NS_PER_SECOND)
    day = _EPOCH + timedelta(days=days)
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{day.isoformat()}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{decimals}Z"


def _instant_ns(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = (date(year, month, day) - _EPOCH).days
    except ValueError:
        return None
    return days * NS_PER_DAY + (hour * 3600 + minute * 60 + second) * NS_PER_SECOND


def _offset_s(zone: str | None) -> int | None:
    if zone is None or zone in ("Z", "z", "UTC", "GMT", "UT"):
        return 0
    if zone[0] not in "+-":
        return None
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
