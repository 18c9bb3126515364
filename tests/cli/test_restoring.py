"""Progress of a restore. Goal: a long one is seen, a short one is not."""

from __future__ import annotations

import logging

import pytest

from headrace.adapters.manual_clock import ManualClock
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.cli.restoring import RestoreWatch, Standing

NOTHING = Standing((), 0, 0)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """List what was told."""
    return [getattr(record, "code", "") for record in caplog.records]


def watch(standings: list[tuple[float, Standing]], caplog: pytest.LogCaptureFixture) -> None:
    """Play a restore whose standing is as given from those seconds on, for half a minute."""
    caplog.set_level(logging.INFO)
    with VirtualLoop() as loop:
        look = lambda: next(s for at, s in reversed(standings) if loop.time() >= at)  # noqa: E731
        looking = RestoreWatch(loop, ManualClock(loop.time), look)
        loop.advance(30)
        looking.close()
        assert loop.run_until_idle(60)


def test_a_short_one_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    watch([(0, Standing((0, 1), 3, 9)), (0.7, NOTHING)], caplog)
    assert told(caplog) == []


def test_a_long_one_is_told_now_and_then_and_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    watch([(0, Standing((0, 1), 0, 1000)), (6, Standing((1,), 700, 1000)), (12, NOTHING)], caplog)
    assert told(caplog) == ["restoring", "restoring", "restored"]
    first, second, last = caplog.messages
    assert first == "2 partitions are restored: 0 of 1000 records"
    assert second == "1 partitions are restored: 700 of 1000 records"
    assert last.startswith("2 partitions are restored, in 1")


def test_a_second_one_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    some = Standing((0,), 0, 10)
    watch([(0, some), (3, NOTHING), (10, some), (10.5, NOTHING)], caplog)
    assert told(caplog) == ["restored"]
