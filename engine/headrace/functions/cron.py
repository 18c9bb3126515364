"""Cron lines: when they fire, by the clocks of their time zone.

A line has five fields: minute, hour, day of the month, month, day of the week. A field is `*`, a number, a range `a-b`,
any of these with a step `/n`, or a list of them. Months and days of the week have English names as well (JAN, MON);
Sunday is 0 or 7; `?` is `*`. @yearly, @monthly, @weekly, @daily, @hourly are lines too, and `@every 90s` fires at
the whole multiples of a duration since 1970.

Two rules that crons differ in, as they stand here (docs/cron.md tells more):

- Both day fields given: the line fires on days that match either of them. A day field is not given only if it is `*`
  or `?`; `*/2` is given. (So do crontab(5), robfig/cron and croniter, but for the `*/2`, where crontab(5) differs.)
- Clocks that are put forward skip times: what would fire then fires once, at the first moment after. Clocks that are
  put back show times twice: what fires then fires the first time. A line with `*` for the hour keeps its rhythm over
  the change instead: a time that is skipped or shown again counts as the clock's shift has it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from headrace.errors import BadDeclaration
from headrace.expressions import parse_duration_ms

_MINUTE_MS = 60_000
_DAY_MINUTES = 24 * 60
_DAYS_LOOKED_AT = 366 * 9  # 2100 has no 29 February: eight years may be between two of them
_EVERY_MS_MIN = 1_000
_ANY = ("*", "?")
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PREFIX = re.compile(r"\s*(?:CRON_)?TZ=(\S+)\s+(\S.*)", re.DOTALL)
_PART = re.compile(r"(\*|\?|[A-Za-z]+|\d{1,4})(?:-([A-Za-z]+|\d{1,4}))?(?:/(\d{1,4}))?", re.ASCII)
_QUARTZ = re.compile(r"L(?:-\d+)?W?|\d+[LW]|[A-Z]{3}L|[A-Z\d]+#\d*", re.ASCII)  # the last day, the second MON


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: list[str]
    first_name: int = 0


_FIELDS = (
    _Field("minute", 0, 59, []),
    _Field("hour", 0, 23, []),
    _Field("day of the month", 1, 31, []),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("day of the week", 0, 7, _DAYS),
)


class CronLine:
    """One line, taken apart, with its zone."""

    __slots__ = ("days", "every_hour", "every_ms", "is_given", "months", "times", "weekdays", "zone")

    def __init__(self, line: str, zone: ZoneInfo) -> None:
        self.zone = zone
        self.every_ms = 0
        self.times: list[int] = []  # minutes of the day, in order
        line = " ".join(line.split())
        if line.startswith("@every "):
            self.every_ms = _read_every(line)
            return
        fields = _NAMED.get(line.lower(), line).split(" ")
        if line.startswith("@") and line.lower() not in _NAMED:
            raise _bad(line, f"there is no {line}", "write one of " + ", ".join(_NAMED) + ", or @every 90s")
        if len(fields) != 5:
            more = "; seconds have no field here" if len(fields) == 6 else ""
            do = "write a list without spaces, as in MON,TUE" if ", " in line else ""
            raise _bad(line, f"it has {len(fields)} field{'' if len(fields) == 1 else 's'}{more}", do)
        minutes, hours, self.days, self.months, weekdays = (
            _read_field(line, text, field) for text, field in zip(fields, _FIELDS, strict=True)
        )
        self.weekdays = frozenset(day % 7 for day in weekdays)
        self.is_given = (fields[2] not in _ANY, fields[4] not in _ANY)
        self.every_hour = fields[1] in _ANY
        self.times = sorted(hour * 60 + minute for hour in hours for minute in minutes)

    def matches(self, day: date) -> bool:
        """Tell whether the line fires on this day."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.is_given == (True, True):
            return by_month or by_week
        return by_month and by_week

    def after(self, after_ms: int) -> Iterator[int]:
        """Go through the times at which it fires, later than this one; milliseconds since 1970."""
        if self.every_ms:
            next_ms = after_ms - after_ms % self.every_ms + self.every_ms
            while True:
                yield next_ms
                next_ms += self.every_ms
        last_ms = after_ms
        # The clock may have been put back over midnight: yesterday's times, as shown again, can be still to come.
        day = _local(after_ms, self.zone).date() - timedelta(days=1)
        idle = 0
        while idle < _DAYS_LOOKED_AT and day.year < 9990:
            if self.matches(day):
                idle = 0
                for fire_ms in self._of_day(day, last_ms):
                    last_ms = fire_ms
                    yield fire_ms
            idle += 1
            day += timedelta(days=1)

    def _of_day(self, day: date, after_ms: int) -> list[int]:
        start, end = _midnight(day), _midnight(day + timedelta(days=1))
        first, last = _offset_min(start, self.zone), _offset_min(end, self.zone)
        if first == last and first is not None and _offset_min(start + timedelta(hours=12), self.zone) == first:
            # As nearly every day: all its clock times are one offset away from UTC.
            start_ms = (_minutes(start) - first) * _MINUTE_MS
            skip = bisect_right(self.times, (after_ms - start_ms) // _MINUTE_MS)
            return [start_ms + minute * _MINUTE_MS for minute in self.times[skip:]]
        fires = {ms for minute in self.times for ms in self._moments(start + timedelta(minutes=minute))}
        return sorted(ms for ms in fires if ms > after_ms)

    def _moments(self, wall: datetime) -> list[int]:
        """Find when the clock of the zone shows this time, or stands in for it."""
        early, late = _offsets(wall, self.zone)
        minutes = _minutes(wall)
        if early == late:
            return [(minutes - early) * _MINUTE_MS]
        shift = timedelta(minutes=abs(late - early))
        if late > early:  # PEP 495: before a skipped time the offset is fold 0's, behind it the greater one of fold 1
            if self.every_hour and self._fires_at(wall + shift):
                return []
            return [_gap_end_ms(minutes, early, late, self.zone)]
        shown_first = (minutes - early) * _MINUTE_MS
        if self.every_hour and self._fires_at(wall - shift):
            return [shown_first, (minutes - late) * _MINUTE_MS]
        return [shown_first]

    def _fires_at(self, wall: datetime) -> bool:
        return wall.hour * 60 + wall.minute in self.times and self.matches(wall.date())


def parse_cron(line: str, timezone: str = "") -> CronLine:
    """Take a cron line apart; a prefix "TZ=Area/City " in it names the zone, as `timezone` does ("": UTC).

    Raises BadDeclaration for what is no line, no zone, or fires never (30 February).
    """
    return _parse(line, timezone)


@lru_cache(maxsize=4096)
def _parse(line: str, timezone: str) -> CronLine:
    parsed = read_cron_line(line, timezone)
    if next(parsed.after(1_600_000_000_000), None) is None:
        raise _bad(line, "there is no such day in any year", "")
    return parsed


def read_cron_line(line: str, timezone: str = "") -> CronLine:
    """Take a cron line apart as `parse_cron` does, also one that fires never."""
    prefix = _PREFIX.fullmatch(line)
    bare = line
    if prefix is not None:
        if timezone not in ("", prefix[1]):
            raise _bad(line, f"it names one time zone, and timezone={timezone!r} another", "remove one of them")
        timezone, bare = prefix[1], prefix[2]
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ValueError, OSError, KeyError):
        raise BadDeclaration(
            "timezone_invalid",
            f"there is no time zone {timezone!r}",
            why="time zones have the names of the IANA database",
            do='write timezone="Europe/Berlin"',
        ) from None
    return CronLine(bare, zone)


def next_fires(line: str, timezone: str, after_ms: int, n: int) -> list[int]:
    """List the next `n` times at which a line fires, later than `after_ms`; milliseconds since 1970."""
    fires = parse_cron(line, timezone).after(after_ms)
    return [ms for _, ms in zip(range(n), fires, strict=False)]


def _read_every(line: str) -> int:
    every_ms = parse_duration_ms(line.removeprefix("@every ").strip(), option="@every")
    if every_ms < _EVERY_MS_MIN:
        raise _bad(line, f"it fires every {every_ms} ms", f"{_EVERY_MS_MIN} ms is the least")
    return every_ms


def _read_field(line: str, text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or _QUARTZ.fullmatch(part.upper()):
            raise _bad(line, f"{part!r} is no {field.name}", _instead(part, field))
        first, last, step = match.groups()
        if first in _ANY:
            if last is not None:
                raise _bad(line, f"{part!r} is no range", f"a range has two ends: {_reach(field)}")
            least, most = field.least, min(field.most, 6) if field.names is _DAYS else field.most
        else:
            least = _read_number(line, first, field)
            # "5/15" is "from 5 on, every 15th", as in robfig/cron.
            most = _read_number(line, last, field) if last else (field.most if step else least)
        if most < least and field.names is _DAYS and most == 0:
            most = 7  # FRI-SUN
        if most < least:
            end, begin = (field.names[-1], field.names[0]) if first.isalpha() else (field.most, field.least)
            do = f"write two ranges: {first}-{end},{begin}-{last}"
            raise _bad(line, f"the range {part!r} of the {field.name} ends before it begins", do)
        if step == "0" or (step and not int(step)):
            raise _bad(line, f"{part!r} has a step of 0", "a step is 1 or more")
        found.update(range(least, most + 1, int(step or 1)))
    return frozenset(found)


def _read_number(line: str, text: str, field: _Field) -> int:
    if text.isdigit():
        number = int(text)
    elif text.upper() in field.names:
        number = field.names.index(text.upper()) + field.first_name
    else:
        short = text.upper()[:3]
        raise _bad(line, f"{text!r} is no {field.name}", f"write {short}" if short in field.names else _reach(field))
    if not field.least <= number <= field.most:
        raise _bad(line, f"{text} is no {field.name}", _reach(field))
    return number


def _instead(part: str, field: _Field) -> str:
    if _QUARTZ.fullmatch(part.upper()):
        return "there is no L, W and # here: start on every day that may be meant, and look at the date in the function"
    return f"write *, a number, a range or a list: {_reach(field)}"


def _reach(field: _Field) -> str:
    names = f", or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return f"it is {field.least} to {field.most}{names}"


def _bad(line: str, reason: str, do: str) -> BadDeclaration:
    return BadDeclaration(
        "cron_invalid",
        f"the cron line {line!r} cannot be read: {reason}",
        why="a line has five fields: minute, hour, day of the month, month, day of the week",
        do=do or 'write it as in "0 9 * * MON-FRI", every working day at nine',
    )


# --- clocks of a zone: naive datetimes are what a clock on the wall shows; offsets are in minutes, towards the east ---


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def _minutes(wall: datetime) -> int:
    """Count the minutes from 1970 to this time, were it UTC's."""
    return (wall.toordinal() - 719_163) * _DAY_MINUTES + wall.hour * 60 + wall.minute


def _local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone)


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """Read the zone's offset as valid before and behind a change of clocks at this time; the same on others."""
    early = zone.utcoffset(wall.replace(fold=0))
    late = zone.utcoffset(wall.replace(fold=1))
    assert early is not None
    assert late is not None
    return round(early.total_seconds()) // 60, round(late.total_seconds()) // 60


def _offset_min(wall: datetime, zone: ZoneInfo) -> int | None:
    early, late = _offsets(wall, zone)
    return early if early == late else None


def _gap_end_ms(minutes: int, early: int, late: int, zone: ZoneInfo) -> int:
    """Find the first moment after the clocks are put forward over this time: when the offset becomes the later one."""
    before, behind = (
        minutes - late,
        minutes - early,
    )  # in UTC: one of the moments is before the change, the other behind
    while behind - before > 1:
        middle = (before + behind) // 2
        offset = _local(middle * _MINUTE_MS, zone).utcoffset()
        if offset is not None and round(offset.total_seconds()) // 60 == early:
            before = middle
        else:
            behind = middle
    return behind * _MINUTE_MS
