"""Durations and moments as people write them."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from headrace.errors import BadDeclaration
from headrace.expressions import format_duration, parse_duration_ms, parse_when_ms
from headrace.expressions.durations import DURATION_MS_MAX, WHEN_MS_MAX, WHEN_MS_MIN, nearest_unit

# By the rules that they show; of the page of the protocol: units joined, the largest first or not, fractions as well.
READ: dict[str, list[tuple[Any, int]]] = {
    "a number and a unit: ms, s, m, h, d, w": [
        ("1500ms", 1_500), ("1ms", 1), ("1s", 1_000), ("30m", 1_800_000), ("1h", 3_600_000), ("7d", 604_800_000),
        ("2w", 1_209_600_000), ("007s", 7_000),
    ],
    "nothing is a duration as well": [("0s", 0), ("0ms", 0), ("0w", 0), (0, 0), (0.0, 0), (timedelta(0), 0)],
    "units are joined, in any order, and add up": [
        ("1d12h", 129_600_000), ("1h30m", 5_400_000), ("1h30m15s250ms", 5_415_250), ("30m1h", 5_400_000),
        ("1m1m", 120_000), ("1w1d1h1m1s1ms", 694_861_001), ("1ms1w", 604_800_001), ("90s", 90_000),
    ],
    "numbers may have decimals": [("1.5h", 5_400_000), ("1.5s", 1_500), ("0.1s", 100), ("0.5d", 43_200_000)],
    "milliseconds are whole, rounded to the nearest, once": [
        ("0.0005s", 1), ("0.0004s", 0), ("0.4ms", 0), ("0.4ms0.4ms", 1), ("0.5ms", 1), (0.0005, 1),
        (timedelta(microseconds=500), 1), (timedelta(microseconds=499), 0),
    ],
    "white space around it is nothing": [("  30s ", 30_000), ("\n1h\t", 3_600_000)],
    "a century at most": [("36525d", DURATION_MS_MAX), (timedelta(days=36_525), DURATION_MS_MAX)],
    "a number is seconds": [(1, 1_000), (90, 90_000), (1.5, 1_500)],
    "a timedelta": [(timedelta(seconds=1), 1_000), (timedelta(days=2, milliseconds=5), 172_800_005)],
}  # fmt: skip


def rows_of(rules: dict[str, list[Any]]) -> list[Any]:
    """List the rows of a table by rules; each is named after its rule."""
    return [pytest.param(*row, id=f"{rule}: {row[0]!r}") for rule, rows in rules.items() for row in rows]


@pytest.mark.parametrize(("value", "duration_ms"), rows_of(READ))
def test_a_duration_is_read(value: Any, duration_ms: int) -> None:
    read = parse_duration_ms(value)
    assert read == duration_ms
    assert type(read) is int


REFUSED: dict[str, list[tuple[Any, str]]] = {
    "empty": [("", "empty"), ("   ", "empty")],
    "never negative": [
        ("-5s", "never negative"), ("-0.5h", "never negative"), (-1, "never negative"), (-0.0001, "never negative"),
        (timedelta(seconds=-1), "never negative"), (timedelta(microseconds=-1), "never negative"),
    ],
    "a text without a unit": [("30", '"30s"'), ("1.5", '"1.5s"'), ("0", '"0s"')],
    "other units, with the nearest": [
        ("5min", '"5m"'), ("2hours", '"2h"'), ("3sec", '"3s"'), ("10days", '"10d"'), ("1M", '"1m"'), ("1H", '"1h"'),
        ("1.5hr", '"1.5h"'), ("100us", '"100ms"'), ("1mo", '"1d"'), ("1y", '"1d"'), ("1fortnight", '"1s"'),
        ("5MS", '"5ms"'), ("1e3s", "there is no unit 'e'"), ("1,5h", "there is no unit ',"),
    ],
    "nothing between numbers and units": [
        ("1h30", "nothing between"), ("1h 30m", "nothing between"), ("30 s", "nothing between"),
        ("s", "nothing between"), (".5h", "nothing between"), ("1.h", "nothing between"),
        ("1..5h", "nothing between"), ("+5s", "nothing between"), ("1h-5m", "there is no unit 'h-'"),
    ],
    "digits of other scripts, and other notations": [("٣s", "nothing between"), ("PT30S", "nothing between")],
    "more than a century": [
        ("36526d", "century"), ("99999999999999w", "century"), (10**12, "milliseconds"), (1e300, "century"),
        (timedelta.max, "century"),
    ],
    "no end": [(math.nan, "finite"), (math.inf, "finite"), (-math.inf, "finite")],
    "other types": [
        (True, "bool"), (False, "bool"), (None, "NoneType"), (["1s"], "list"), (Decimal(1), "Decimal"),
        (b"1s", "bytes"), ({"seconds": 1}, "dict"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("value", "says"), rows_of(REFUSED))
def test_a_duration_is_refused_in_four_parts(value: Any, says: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        parse_duration_ms(value, option="debounce")
    error = refused.value
    assert error.code == "bad_duration"
    assert error.what.startswith(f"debounce is {value!r}")
    assert error.why
    assert error.do
    assert says in str(error)


@pytest.mark.parametrize(
    ("unit", "nearest"),
    [
        ("seconds", "s"), ("S", "s"), ("minutes", "m"), ("Min", "m"), ("hrs", "h"), ("DAY", "d"), ("weeks", "w"),
        ("MS", "ms"), ("millis", "ms"), ("milliseconds", "ms"), ("µs", "ms"), ("ns", "ms"), ("months", "d"),
        ("years", "d"), ("q", "s"), ("", "s"),
    ],
)  # fmt: skip
def test_the_nearest_unit(unit: str, nearest: str) -> None:
    assert nearest_unit(unit) == nearest


WRITTEN = [
    (0, "0s"),
    (1, "1ms"),
    (250, "250ms"),
    (999, "999ms"),
    (1_000, "1s"),
    (1_500, "1.5s"),
    (1_005, "1.005s"),
    (60_000, "1m"),
    (90_500, "1m30.5s"),
    (5_400_000, "1h30m"),
    (3_600_001, "1h0.001s"),
    (86_400_000, "1d"),
    (129_600_000, "1d12h"),
    (1_209_600_000, "14d"),
    (-90_000, "-1m30s"),
]


@pytest.mark.parametrize(("duration_ms", "text"), WRITTEN)
def test_a_duration_is_written(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@given(some.integers(0, DURATION_MS_MAX))
def test_what_is_written_is_read_back(duration_ms: int) -> None:
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms


@given(some.integers(0, DURATION_MS_MAX))
def test_every_form_of_a_duration_means_the_same(duration_ms: int) -> None:
    assert parse_duration_ms(f"{duration_ms}ms") == duration_ms
    assert parse_duration_ms(timedelta(milliseconds=duration_ms)) == duration_ms
    assert parse_duration_ms(duration_ms / 1000) == duration_ms


@given(some.lists(some.tuples(some.integers(0, 999), some.sampled_from(["w", "d", "h", "m", "s", "ms"])), min_size=1))
def test_joined_units_add_up(parts: list[tuple[int, str]]) -> None:
    total_ms = sum(parse_duration_ms(f"{count}{unit}") for count, unit in parts)
    joined = "".join(f"{count}{unit}" for count, unit in parts)
    if total_ms <= DURATION_MS_MAX:
        assert parse_duration_ms(joined) == total_ms
    else:
        with pytest.raises(BadDeclaration, match="century"):
            parse_duration_ms(joined)


@given(some.text(max_size=12) | some.from_regex(r"-?[0-9.]{0,4}[a-zA-Z ]{0,3}", fullmatch=True))
def test_no_text_is_a_crash(text: str) -> None:
    for parse in (parse_duration_ms, parse_when_ms):
        with suppress(BadDeclaration):
            assert parse(text) >= 0


NOON_MS = 1_787_400_000_000
MOMENTS = [
    (datetime(2026, 8, 22, 12, 0, tzinfo=UTC), NOON_MS),
    (datetime(2026, 8, 22, 14, 0, tzinfo=timezone(timedelta(hours=2))), NOON_MS),
    (datetime(2026, 8, 22, 12, 0, 0, 1_500, tzinfo=UTC), NOON_MS + 2),
    (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1_000),
    ("2026-08-22T12:00:00Z", NOON_MS),
    ("2026-08-22t12:00:00z", NOON_MS),
    ("2026-08-22 12:00:00Z", NOON_MS),
    ("2026-08-22T12:00Z", NOON_MS),
    ("2026-08-22T14:00:00+02:00", NOON_MS),
    ("2026-08-22T14:00:00+0200", NOON_MS),
    ("2026-08-22T06:30:00-05:30", NOON_MS),
    ("2026-08-22T12:00:00.123Z", NOON_MS + 123),
    ("2026-08-22T12:00:00.1234567Z", NOON_MS + 123),
    (" 2026-08-22T12:00:00Z ", NOON_MS),
    (NOON_MS, NOON_MS),
    (float(NOON_MS), NOON_MS),
    (NOON_MS + 0.5, NOON_MS + 1),
    (WHEN_MS_MIN, WHEN_MS_MIN),
    (WHEN_MS_MAX, WHEN_MS_MAX),
]


@pytest.mark.parametrize(("value", "when_ms"), MOMENTS)
def test_a_moment_is_read(value: Any, when_ms: int) -> None:
    read = parse_when_ms(value)
    assert read == when_ms
    assert type(read) is int


REFUSED_MOMENTS = [
    (datetime(2026, 8, 22, 12, 0), "naive"),
    ("2026-08-22T12:00:00", "naive"),
    ("2026-08-22", "naive"),
    ("2026-08-22 12:00", "naive"),
    ("tomorrow", "ISO 8601"),
    ("", "ISO 8601"),
    ("1h", "ISO 8601"),
    ("1787400000000", "ISO 8601"),
    ("2026-02-30T00:00:00Z", "ISO 8601"),
    ("2026-08-22T25:00:00Z", "ISO 8601"),
    ("2026-08-22T12:60:00Z", "ISO 8601"),
    ("2026-08-22T12:00:00+24:00", "ISO 8601"),
    ("2026-08-22T12:00:00 Europe/Paris", "ISO 8601"),
    (1_787_400_000, "seconds: give sleep_until=1787400000000"),
    (1_787_400_000.5, "seconds"),
    (0, "seconds"),
    (WHEN_MS_MIN - 1, "seconds"),
    (-1, "from 1980"),
    (NOON_MS * 1_000, "microseconds"),
    (WHEN_MS_MAX + 1, "9999"),
    (math.nan, "epoch milliseconds"),
    (math.inf, "epoch milliseconds"),
    (True, "bool"),
    (None, "NoneType"),
    (timedelta(hours=1), "timedelta"),
]


@pytest.mark.parametrize(("value", "says"), REFUSED_MOMENTS)
def test_a_moment_is_refused_in_four_parts(value: Any, says: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        parse_when_ms(value, option="sleep_until")
    error = refused.value
    assert error.code == "bad_time"
    assert error.what.startswith(f"sleep_until is {value!r}")
    assert error.why
    assert error.do
    assert says in str(error)


@given(some.integers(WHEN_MS_MIN, WHEN_MS_MAX), some.integers(-23 * 60, 23 * 60))
def test_every_form_of_a_moment_means_the_same(when_ms: int, offset_minutes: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=when_ms)
    try:
        moment = moment.astimezone(timezone(timedelta(minutes=offset_minutes)))
    except OverflowError:  # the year 10000 in that zone
        return
    assert parse_when_ms(moment) == when_ms
    assert parse_when_ms(moment.isoformat()) == when_ms
    assert parse_when_ms(when_ms) == when_ms
