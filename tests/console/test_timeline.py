"""The scale of a timeline. Goal: moments keep their order, and short work beside long waits can be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.console.steps import tell_run
from headrace.console.timeline import Gap, Timeline, draw_timeline
from headrace.records.history import decode_lifecycle
from tests.console.histories import NOW_MS, History

DAY_MS = 86_400_000


def test_an_even_scale_is_even() -> None:
    line = Timeline(1_000, 2_000, [])
    assert [line.place(moment) for moment in (1_000, 1_250, 2_000)] == [0.0, 25.0, 100.0]


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=12, unique=True), st.lists(st.integers(-100, 11_000)))
def test_a_later_moment_is_never_drawn_before_an_earlier_one(edges: list[int], moments: list[int]) -> None:
    edges.sort()
    gaps = [Gap(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    line = Timeline(0, 10_000, gaps)
    places = [line.place(moment) for moment in sorted(moments)]
    assert places == sorted(places)
    assert all(0 <= place <= 100.000001 for place in places)
    assert line.place(0) == 0
    assert line.place(10_000) == pytest.approx(100)


def draw(history: History, end_ms: int, *, even: bool = False) -> Timeline:
    told = tell_run([decode_lifecycle(record.value or b"") for record in history.records], end_ms)
    return draw_timeline(told, NOW_MS, end_ms, even=even)


def test_a_day_of_sleep_does_not_hide_a_second_of_work() -> None:
    history = History(1)
    run = history.run("f", ["e"], NOW_MS)
    run.step("before", NOW_MS + 1, NOW_MS + 400).sleep("day", NOW_MS + 400, NOW_MS + 400 + DAY_MS)
    run.step("after", NOW_MS + 400 + DAY_MS, NOW_MS + 1_000 + DAY_MS).complete(NOW_MS + 1_000 + DAY_MS)
    line = draw(history, NOW_MS + 1_000 + DAY_MS)
    assert line.gaps == [Gap(NOW_MS + 400, NOW_MS + 400 + DAY_MS)]
    assert line.place(NOW_MS + 400) > 30
    assert line.place(NOW_MS + 1_000 + DAY_MS) - line.place(NOW_MS + 400 + DAY_MS) > 40
    assert [(part.length_ms, part.cut) for part in line.parts()] == [(400, False), (DAY_MS, True), (600, False)]
    assert line.parts()[-1].end == pytest.approx(100)
    assert draw(history, NOW_MS + 1_000 + DAY_MS, even=True).gaps == []


def test_short_waits_are_drawn_as_long_as_they_are() -> None:
    history = History(1)
    run = history.run("f", ["e"], NOW_MS)
    run.step("a", NOW_MS, NOW_MS + 400).sleep("nap", NOW_MS + 400, NOW_MS + 600).complete(NOW_MS + 1_000)
    assert draw(history, NOW_MS + 1_000).gaps == []


def test_a_run_that_only_waits_is_drawn_all_the_same() -> None:
    history = History(1)
    history.run("f", ["e"], NOW_MS, phase="queued", started_ms=0)
    line = draw(history, NOW_MS + DAY_MS)
    assert line.place(NOW_MS + DAY_MS) == 100


@pytest.mark.parametrize("length_ms", [1, 7, 999, 60_000, 3_600_000, 90 * DAY_MS, 4_000 * DAY_MS])
def test_the_axis_has_a_few_marks_at_round_times(length_ms: int) -> None:
    ticks = Timeline(NOW_MS, NOW_MS + length_ms, []).ticks()
    assert 1 <= len(ticks) <= 12
    assert ticks[0] == (0.0, 0)
    assert [tick.place for tick in ticks] == sorted(tick.place for tick in ticks)
