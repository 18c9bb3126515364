"""What every clock does. Goal: time that is measured never runs backwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.seams import Clock
from headrace.adapters.system_clock import SystemClock
from headrace.adapters.virtual_loop import VirtualLoop


@pytest.fixture(params=["memory", "system"])
def clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    with VirtualLoop() as loop:
        yield SystemClock() if request.param == "system" else ManualClock(loop.time)


def test_both_times_are_whole_milliseconds(clock: Clock) -> None:
    assert isinstance(clock.monotonic_ms(), int)
    assert isinstance(clock.wall_ms(), int)


def test_the_monotonic_time_never_goes_back(clock: Clock) -> None:
    times = [clock.monotonic_ms() for _ in range(10_000)]
    assert times == sorted(times)


def test_the_wall_time_is_in_milliseconds_since_1970(clock: Clock) -> None:
    year_2020_ms, year_2200_ms = 1_577_836_800_000, 7_258_118_400_000
    assert year_2020_ms < clock.wall_ms() < year_2200_ms


def test_the_system_clock_is_the_systems() -> None:
    clock = SystemClock()
    before_s, before_wall_s = time.monotonic(), time.time()
    monotonic_ms, wall_ms = clock.monotonic_ms(), clock.wall_ms()
    assert before_s * 1000 - 1 <= monotonic_ms <= time.monotonic() * 1000
    assert before_wall_s * 1000 - 1 <= wall_ms <= time.time() * 1000 + 1
