"""Cron lines. Goal: every rule of when a line fires, with the clocks of five zones put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import BadDeclaration
from headrace.functions.cron import next_fires, parse_cron


def fires(line: str, zone: str, after: str, n: int) -> list[str]:
    """The next fires as clocks of the zone show them, with their offset."""
    clock = ZoneInfo(zone)
    after_ms = int(datetime.fromisoformat(after).replace(tzinfo=clock).timestamp() * 1000)
    found = next_fires(line, zone, after_ms, n)
    return [datetime.fromtimestamp(ms / 1000, clock).isoformat(timespec="minutes") for ms in found]


# What a rule says: (line, after, what comes).
FIELDS: dict[str, list[tuple[str, str, list[str]]]] = {
    "a star is every value": [
        ("* * * * *", "2026-03-01T10:07", ["03-01T10:08", "03-01T10:09"]),
        ("0 0 ? * ?", "2026-03-31T00:00", ["04-01T00:00"]),
        ("*,5 * * * *", "2026-03-01T10:07", ["03-01T10:08", "03-01T10:09"]),
    ],
    "a number": [
        ("30 9 * * *", "2026-03-01T10:07", ["03-02T09:30", "03-03T09:30"]),
        ("00 09 * * *", "2026-03-01T10:07", ["03-02T09:00"]),
        ("59 23 31 12 *", "2026-03-01T10:07", ["12-31T23:59", "12-31T23:59"]),
    ],
    "later than the time asked for, never at it": [("30 9 * * *", "2026-03-01T09:30", ["03-02T09:30"])],
    "a step over everything begins at the least": [
        ("*/20 * * * *", "2026-03-01T10:07", ["03-01T10:20", "03-01T10:40", "03-01T11:00"]),
        ("*/40 * * * *", "2026-03-01T10:07", ["03-01T10:40", "03-01T11:00", "03-01T11:40"]),
        ("*/100 * * * *", "2026-03-01T10:07", ["03-01T11:00", "03-01T12:00"]),
        ("0 0 1 */5 *", "2026-03-01T10:07", ["06-01T00:00", "11-01T00:00", "01-01T00:00"]),
        ("0 0 * * */2", "2026-03-01T10:07", ["03-03T00:00", "03-05T00:00", "03-07T00:00", "03-08T00:00"]),
    ],
    "a step behind a number goes on to the greatest": [
        ("5/20 * * * *", "2026-03-01T10:07", ["03-01T10:25", "03-01T10:45", "03-01T11:05"]),
        ("0 0 1 2/5 *", "2026-03-01T10:07", ["07-01T00:00", "12-01T00:00", "02-01T00:00"]),
    ],
    "ranges, with steps, in lists": [
        ("10-20/5,50 8 * * *", "2026-03-01T00:00", ["03-01T08:10", "03-01T08:15", "03-01T08:20", "03-01T08:50"]),
        ("0 9-17/4 * * *", "2026-03-01T10:07", ["03-01T13:00", "03-01T17:00", "03-02T09:00"]),
        ("0 9 1-2,2-3 * *", "2026-03-31T10:07", ["04-01T09:00", "04-02T09:00", "04-03T09:00"]),
        ("5-5 * * * *", "2026-03-01T10:07", ["03-01T11:05"]),
    ],
    "names of days, large and small": [
        ("0 9 * * MON-FRI", "2026-03-06T10:00", ["03-09T09:00", "03-10T09:00"]),
        ("0 9 * * mon,Wed", "2026-03-06T10:00", ["03-09T09:00", "03-11T09:00"]),
        ("0 9 * * TUE-6/2", "2026-03-06T10:00", ["03-07T09:00", "03-10T09:00", "03-12T09:00"]),
    ],
    "names of months": [
        ("0 0 1 JAN,jul *", "2026-03-06T10:00", ["07-01T00:00", "01-01T00:00"]),
        ("0 9 * FEB MON", "2026-02-20T00:00", ["02-23T09:00", "02-01T09:00"]),
    ],
    "Sunday is 0 and 7": [
        ("0 9 * * 0", "2026-03-06T10:00", ["03-08T09:00"]),
        ("0 9 * * 7", "2026-03-06T10:00", ["03-08T09:00"]),
        ("0 9 * * FRI-SUN", "2026-03-06T10:00", ["03-07T09:00", "03-08T09:00", "03-13T09:00"]),
        ("0 9 * * 5-7", "2026-03-06T10:00", ["03-07T09:00", "03-08T09:00", "03-13T09:00"]),
        ("0 9 * * 0-7", "2026-03-06T10:00", ["03-07T09:00", "03-08T09:00", "03-09T09:00"]),
    ],
    "months without the day are passed over": [
        ("0 0 31 * *", "2026-03-31T00:00", ["05-31T00:00", "07-31T00:00"]),
        ("0 0 31 2,3 *", "2026-02-20T00:00", ["03-31T00:00", "03-31T00:00"]),
    ],
    "leap days": [
        ("0 0 29 2 *", "2026-03-31T00:00", ["02-29T00:00"]),
        ("0 0 29 2 *", "2096-02-28T00:00", ["02-29T00:00", "02-29T00:00"]),  # and 2104: 2100 has none
    ],
    "named lines": [
        ("@hourly", "2026-03-01T10:07", ["03-01T11:00"]),
        ("@daily", "2026-03-01T10:07", ["03-02T00:00"]),
        ("@midnight", "2026-03-01T10:07", ["03-02T00:00"]),
        ("@weekly", "2026-03-02T10:07", ["03-08T00:00"]),
        ("@monthly", "2026-03-02T10:07", ["04-01T00:00"]),
        ("@yearly", "2026-03-02T10:07", ["01-01T00:00"]),
        ("@annually", "2026-03-02T10:07", ["01-01T00:00"]),
        ("@Daily", "2026-03-01T10:07", ["03-02T00:00"]),
    ],
    "multiples of a duration since 1970": [("@every 90m", "2026-03-01T10:07", ["03-01T10:30", "03-01T12:00"])],
    "any white space": [("  0\t9 * *  mOn ", "2026-03-06T10:00", ["03-09T09:00"])],
}


def rows_of(rules: dict[str, list[Any]]) -> list[Any]:
    """List the rows of a table by rules; each is named after its rule."""
    return [pytest.param(*row, id=f"{rule}: {row[0]}") for rule, rows in rules.items() for row in rows]


@pytest.mark.parametrize(("line", "after", "expected"), rows_of(FIELDS))
def test_each_kind_of_field(line: str, after: str, expected: list[str]) -> None:
    assert [found[5:16] for found in fires(line, "UTC", after, len(expected))] == expected


def test_a_leap_day_may_be_eight_years_away() -> None:
    assert [found[:10] for found in fires("0 0 29 2 *", "UTC", "2096-02-28T00:00", 2)] == ["2096-02-29", "2104-02-29"]


DAYS: dict[str, list[tuple[str, list[int]]]] = {
    "a day of the month alone": [("0 0 13 * *", [13]), ("0 0 1,2 * ?", [1, 2])],
    "a day of the week alone": [("0 0 * * FRI", [6, 13, 20, 27]), ("0 0 ? * SUN", [1, 8, 15, 22, 29])],
    "both: either of them": [
        ("0 0 13 * FRI", [6, 13, 20, 27]),  # the 13th is a Friday
        ("0 0 1 * FRI", [1, 6, 13, 20, 27]),
        ("0 0 31 * FRI", [6, 13, 20, 27, 31]),
    ],
    "a step, and a range of all, are given as well": [
        ("0 0 */10 * FRI", [1, 6, 11, 13, 20, 21, 27, 31]),
        ("0 0 1-31 * SUN", list(range(1, 32))),
        ("0 0 13 * 0-6", list(range(1, 32))),
    ],
}


@pytest.mark.parametrize(("line", "days"), rows_of(DAYS))
def test_days_of_the_month_and_of_the_week(line: str, days: list[int]) -> None:
    found = [at for at in fires(line, "UTC", "2026-02-28T00:00", 40) if at.startswith("2026-03")]
    assert [int(at[8:10]) for at in found] == days


# What clocks do on these days. Berlin: 29 March 2026 02→03, 25 October 03→02. New York: 8 March 02→03, 1 November
# 02→01. Lord Howe: 4 October 02:00→02:30, 5 April 02:00→01:30. Casablanca: back for Ramadan 15 February 03→02, forward
# 22 March 02→03. Apia: there was no 30 December 2011. St John's in 2006: changes at 00:01. Sydney: 4 October 02→03, 5
# April 03→02. Santiago: 6 September 00→01, 4 April 24→23. (line, zone, after, what comes)
# fmt: off
CHANGES: dict[str, list[tuple[str, str, str, list[str]]]] = {
    "what is skipped fires once, right after": [
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T03:00+02:00", "03-30T02:30+02:00"]),
    ("0 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T03:00+02:00", "03-30T02:00+02:00"]),
    ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T03:00+02:00", "03-30T03:00+02:00"]),
    ("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T03:00+02:00", "03-30T02:00+02:00"]),
    ("30 1-3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:30+01:00", "03-29T03:00+02:00"]),
    ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T03:00+02:00", "03-30T02:00+02:00"]),
    ("30 2 * * *", "America/New_York", "2026-03-07T12:00", ["03-08T03:00-04:00", "03-09T02:30-04:00"]),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["10-04T02:30+11:00", "10-05T02:15+11:00"]),
    ("30 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["10-04T02:30+11:00", "10-05T02:30+11:00"]),
    ("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00", ["03-22T03:00+01:00", "03-23T02:30+01:00"]),
    ("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00", ["12-31T00:00+14:00", "12-31T09:00+14:00"]),
    ("0 2 * * *", "Australia/Sydney", "2026-10-03T12:00", ["10-04T03:00+11:00", "10-05T02:00+11:00"]),
    ("0 0 * * *", "America/Santiago", "2026-09-05T12:00", ["09-06T01:00-03:00", "09-07T00:00-03:00"]),
    ("@daily", "America/Santiago", "2026-09-05T12:00", ["09-06T01:00-03:00", "09-07T00:00-03:00"]),
    ],
    "what is shown twice fires once, the first time": [
    ("30 2 * * *", "Australia/Sydney", "2026-04-04T12:00", ["04-05T02:30+11:00", "04-06T02:30+10:00"]),
    ("30 23 * * *", "America/Santiago", "2026-04-04T12:00", ["04-04T23:30-03:00", "04-05T23:30-04:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25T02:30+02:00", "10-26T02:30+01:00"]),
    ("0 3 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25T03:00+01:00", "10-26T03:00+01:00"]),
    ("*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00",
     ["10-25T02:00+02:00", "10-25T02:30+02:00", "10-26T02:00+01:00"]),
    ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["11-01T01:30-04:00", "11-02T01:30-05:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", ["04-05T01:45+11:00", "04-06T01:45+10:30"]),
    ("30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00", ["02-15T02:30+01:00", "02-16T02:30+00:00"]),
    ("30 23 * * *", "America/St_Johns", "2006-10-28T12:00", ["10-28T23:30-02:30", "10-29T23:30-03:30"]),
    ],
    "asked between the two showings, it has fired": [
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:45", ["10-26T02:30+01:00"]),
    ],
    "a line with * for the hour keeps its rhythm": [
    ("30 * * * *", "America/Santiago", "2026-04-04T23:00",
     ["04-04T23:30-03:00", "04-04T23:30-04:00", "04-05T00:30-04:00"]),
    ("30 * * * *", "Europe/Berlin", "2026-03-29T01:00",
     ["03-29T01:30+01:00", "03-29T03:30+02:00", "03-29T04:30+02:00"]),
    ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30", ["03-29T01:00+01:00", "03-29T03:00+02:00"]),
    ("0 * * * *", "Europe/Berlin", "2026-10-25T01:30", ["10-25T02:00+02:00", "10-25T02:00+01:00", "10-25T03:00+01:00"]),
    ("*/30 * * * *", "America/New_York", "2026-11-01T01:10",
     ["11-01T01:30-04:00", "11-01T01:00-05:00", "11-01T01:30-05:00"]),
    ("0 * * * *", "Australia/Lord_Howe", "2026-10-04T00:30",
     ["10-04T01:00+10:30", "10-04T02:30+11:00", "10-04T03:00+11:00"]),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-10-04T01:40",
     ["10-04T01:45+10:30", "10-04T02:30+11:00", "10-04T02:45+11:00"]),
    ("45 * * * *", "Australia/Lord_Howe", "2026-04-05T01:00", ["04-05T01:45+11:00", "04-05T02:45+10:30"]),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T01:40",
     ["04-05T01:45+11:00", "04-05T01:30+10:30", "04-05T01:45+10:30"]),
    ("0 * * * *", "Africa/Casablanca", "2026-03-22T01:30", ["03-22T03:00+01:00", "03-22T04:00+01:00"]),
    ],
    "a zone that has given up its changes of clocks, and those that have none": [
    ("0 12 * * *", "Asia/Kathmandu", "2026-03-28T12:30", ["03-29T12:00+05:45", "03-30T12:00+05:45"]),
    ("30 0 * * *", "Asia/Tehran", "2026-03-20T12:00", ["03-21T00:30+03:30", "03-22T00:30+03:30"]),
    ("30 0 * * *", "Asia/Tehran", "2022-03-21T12:00", ["03-22T01:00+04:30", "03-23T00:30+04:30"]),
    ("30 2 * * *", "UTC", "2026-03-28T12:00", ["03-29T02:30+00:00", "03-30T02:30+00:00"]),
    ],
    "multiples of a duration do not look at clocks": [
    ("@every 24h", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:00+01:00", "03-30T02:00+02:00"]),
    ("@every 1h", "Europe/Berlin", "2026-03-29T00:30", ["03-29T01:00+01:00", "03-29T03:00+02:00"]),
    ],
}
# fmt: on


@pytest.mark.parametrize(("line", "zone", "after", "expected"), rows_of(CHANGES))
def test_clocks_that_are_put_forward_and_back(line: str, zone: str, after: str, expected: list[str]) -> None:
    assert [found[5:] for found in fires(line, zone, after, len(expected))] == expected


def offset_at(zone: str, start_ms: int, day: int) -> timedelta | None:
    return datetime.fromtimestamp(start_ms // 1000 + day * 86_400, ZoneInfo(zone)).utcoffset()


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago"]
)
@pytest.mark.parametrize("line", ["30 2 * * *", "0 * * * *", "*/7 1-3 * * *", "15 1 * * *", "59 23 * * *"])
def test_a_year_of_fires_is_in_order_and_the_same_from_wherever_one_asks(zone: str, line: str) -> None:
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    year = list(takewhile(lambda ms: ms < start + 366 * 86_400_000, parse_cron(line, zone).after(start)))
    assert year == sorted(set(year))
    # Every one of them where the clocks are about to change or have just done so, and some of all the others.
    changes = [day for day in range(366) if offset_at(zone, start, day) != offset_at(zone, start, day + 1)]
    near = {day + more for day in changes for more in (-1, 0, 1, 2)}
    asked = [pair for n, pair in enumerate(pairwise(year)) if n % 20 == 0 or (pair[0] - start) // 86_400_000 in near]
    assert len(changes) >= 2
    for earlier, later in asked:
        assert next_fires(line, zone, earlier, 1) == [later]
        assert next_fires(line, zone, later - 1, 1) == [later]
    if line in ("30 2 * * *", "15 1 * * *", "59 23 * * *"):
        days = [datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).date() for ms in year]
        assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))


@pytest.mark.parametrize(
    ("line", "timezone"),
    [
        ("TZ=Asia/Tokyo 0 9 * * *", ""),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", ""),
        ("0 9 * * *", "Asia/Tokyo"),
        ("TZ=Asia/Tokyo 0 9 * * *", "Asia/Tokyo"),
        ("  TZ=Asia/Tokyo   0  9 * * * ", ""),
    ],
)
def test_the_zone_stands_in_the_line_or_beside_it(line: str, timezone: str) -> None:
    after_ms = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    (at,) = next_fires(line, timezone, after_ms, 1)
    assert datetime.fromtimestamp(at / 1000, UTC).isoformat() == "2026-01-02T00:00:00+00:00"


# What a rule refuses: (line, what is said, what the remedy says).
REFUSED: dict[str, list[tuple[str, str, str]]] = {
    "five fields": [
        ("0 9 * *", "4 fields", "MON-FRI"),
        ("", "1 field", "MON-FRI"),
        ("0 0 9 * * *", "seconds have no field", "MON-FRI"),
        ("0 0 9 * * ? 2026", "7 fields", "MON-FRI"),
        ("0 9 * * MON, TUE", "6 fields", "without spaces"),
        ("TZ=UTC TZ=UTC * * * * *", "6 fields", "MON-FRI"),
    ],
    "numbers within their bounds": [
        ("60 * * * *", "60 is no minute", "0 to 59"),
        ("* 24 * * *", "24 is no hour", "0 to 23"),
        ("* * 0 * *", "0 is no day of the month", "1 to 31"),
        ("* * 32 * *", "32 is no day", "1 to 31"),
        ("* * * 13 *", "13 is no month", "1 to 12, or JAN to DEC"),
        ("* * * 0 *", "0 is no month", "1 to 12"),
        ("* * * * 8", "8 is no day of the week", "0 to 7, or SUN to SAT"),
        ("* * * * 0-8", "8 is no day of the week", "0 to 7"),
        ("-1 * * * *", "'-1' is no minute", "0 to 59"),
        ("+5 * * * *", "'+5' is no minute", "0 to 59"),
        ("1.5 * * * *", "'1.5' is no minute", "0 to 59"),
        ("1e1 * * * *", "'1e1' is no minute", "0 to 59"),
        ("٣ * * * *", "'٣' is no minute", "0 to 59"),  # digits of other scripts
    ],
    "names where there are some, of three letters": [
        ("* * * * FUN", "'FUN' is no day of the week", "SUN to SAT"),
        ("* * * * MONDAY", "'MONDAY' is no day of the week", "write MON"),
        ("* * * January *", "'January' is no month", "write JAN"),
        ("JAN * * * *", "'JAN' is no minute", "0 to 59"),
        ("H * * * *", "'H' is no minute", "0 to 59"),
    ],
    "steps": [
        ("*/0 * * * *", "step of 0", "1 or more"),
        ("*/-5 * * * *", "'*/-5' is no minute", "a range"),
        ("*/5/2 * * * *", "'*/5/2' is no minute", "a range"),
    ],
    "ranges go upwards": [
        ("30-10 * * * *", "ends before it begins", "30-59,0-10"),
        ("0 22-2 * * *", "ends before it begins", "22-23,0-2"),
        ("0 0 * * FRI-MON", "ends before it begins", "FRI-SAT,SUN-MON"),
        ("*-5 * * * *", "no range", "two ends"),
        ("5- * * * *", "'5-' is no minute", "a range"),
        ("1-2-3 * * * *", "'1-2-3' is no minute", "a range"),
    ],
    "lists have no holes": [("1,,2 * * * *", "'' is no minute", "a list"), ("1, * * * *", "'' is no minute", "a list")],
    "no L, W and #": [
        ("0 0 L * *", "'L' is no day of the month", "no L, W and #"),
        ("0 0 LW * *", "'LW' is no day of the month", "no L, W and #"),
        ("0 0 L-3 * *", "'L-3' is no day of the month", "no L, W and #"),
        ("0 0 15W * *", "'15W' is no day of the month", "no L, W and #"),
        ("0 0 * * 5L", "'5L' is no day of the week", "no L, W and #"),
        ("0 0 * * FRIL", "'FRIL' is no day of the week", "no L, W and #"),
        ("0 0 * * 5#2", "'5#2' is no day of the week", "no L, W and #"),
        ("0 0 * * MON#2", "'MON#2' is no day of the week", "no L, W and #"),
    ],
    "a line that can never fire": [
        ("0 0 30 2 *", "no such day", "MON-FRI"),
        ("0 0 31 4,6 *", "no such day", "MON-FRI"),
    ],
    "named lines": [
        ("@fortnightly", "no @fortnightly", "@weekly"),
        ("@reboot", "no @reboot", "@daily"),
        ("@every", "no @every", "@every 90s"),
        ("@every 10ms", "every 10 ms", "1000 ms"),
    ],
}


@pytest.mark.parametrize(("line", "word", "remedy"), rows_of(REFUSED))
def test_what_is_no_line_is_refused_with_the_reason(line: str, word: str, remedy: str) -> None:
    with pytest.raises(BadDeclaration) as caught:
        parse_cron(line)
    assert caught.value.code == "cron_invalid"
    assert word in caught.value.what
    assert remedy in caught.value.do


def test_what_is_no_zone_is_refused() -> None:
    for line, zone in (("0 9 * * *", "Berlin"), ("TZ=../../etc/passwd 0 9 * * *", ""), ("0 9 * * *", "Mars/Olympus")):
        with pytest.raises(BadDeclaration) as caught:
            parse_cron(line, zone)
        assert caught.value.code == "timezone_invalid"
    with pytest.raises(BadDeclaration, match="another"):
        parse_cron("TZ=Asia/Tokyo 0 9 * * *", "Europe/Berlin")


_NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 6)}


@st.composite
def _field(draw: st.DrawFn, name: str) -> str:
    least, most = _NUMBERS[name]
    first = draw(st.integers(least, most))
    last = draw(st.integers(min(first + 1, most), most))
    ranges = [f"{first}-{last}", f"{first}-{last}/3"] if first < last else []
    return draw(st.sampled_from(["*", "*", f"{first}", f"{first},{last}", *ranges]))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*(_field(name) for name in _NUMBERS)), st.integers(1_500_000_000, 2_000_000_000))
def test_where_clocks_do_not_change_a_line_fires_as_croniter_says(fields: tuple[str, ...], after_s: int) -> None:
    line = " ".join(fields)
    oracle = croniter(line, datetime.fromtimestamp(after_s, UTC))
    expected = [int(oracle.get_next(float)) * 1000 for _ in range(5)]
    assert next_fires(line, "UTC", after_s * 1000, 5) == expected
