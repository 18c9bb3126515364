"""What values look like on a terminal."""

from __future__ import annotations

from datetime import datetime

import pytest

from headrace.cli.tables import cell, duration, moment, short


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:00.045Z", "45 ms"),
        ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:01.500Z", "1.50 s"),
        ("2026-11-20T10:00:00.000Z", "2026-11-20T10:01:05.000Z", "1 min 05 s"),
        ("2026-11-20T10:00:00.000Z", "2026-11-20T12:03:00.000Z", "2 h 03 min"),
        (1_795_168_800_000, 1_795_168_800_007, "7 ms"),
        ("2026-11-20T10:00:00.000Z", None, ""),
        (None, "2026-11-20T10:00:00.000Z", ""),
        ("soon", "2026-11-20T10:00:00.000Z", ""),
    ],
)
def test_durations(start: object, end: object, shown: str) -> None:
    assert duration(start, end) == shown


def test_moments_are_local_and_show_the_day_unless_it_is_today() -> None:
    now = datetime.now().astimezone()
    assert moment(now.isoformat()) == now.strftime("%H:%M:%S")
    assert moment(now.timestamp() * 1000, precise=True).startswith(now.strftime("%H:%M:%S."))
    assert len(moment("2001-02-03T04:05:06Z")) == len("2001-02-03 04:05:06")
    assert moment(None) == moment(0) == moment("") == ""
    assert moment("soon") == "soon"


def test_values_are_cut_in_one_line() -> None:
    assert short({"a": "ä\n"}) == '{"a": "ä\\n"}'
    assert short("a\n  b") == "a b"
    assert short("x" * 100, 10) == "x" * 9 + "…"
    assert short(None) == ""


def test_only_our_own_words_are_coloured_and_markup_stays_text() -> None:
    assert str(cell("Failed").style) == "red"
    assert str(cell("[red]x[/red]")) == "[red]x[/red]"
    assert str(cell(7)) == "7"
