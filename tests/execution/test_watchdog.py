"""The watchdog: code that blocks the loop is named, with its line."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace.adapters.system_clock import SystemClock
from headrace.execution import Context, InProcess, Settings
from headrace.execution.watchdog import find_user_code
from headrace.records.commands import AnyCommand, RunReport
from headrace.records.rows import KnownEvent, Run, Step
from tests.execution.declared import function

RUN_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Hand:
    """An owner that resolves nothing and notes when the body has ended."""

    partition = 0

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def time_ms(self) -> int:
        return 0

    def submit(self, command: AnyCommand) -> None:
        if isinstance(command, RunReport):
            self.ended.set()

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        return None


def block_until(condition: Callable[[], bool]) -> None:
    """Block the loop, as a careless function does."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        pass


async def run_once(body: Any, holder: list[InProcess], blocked_ms: int) -> None:
    declared = function(body)
    loop = asyncio.get_running_loop()
    execution = InProcess({declared.id: declared}, loop, SystemClock(), settings=Settings(blocked_ms=blocked_ms))
    holder.append(execution)
    owner = Hand()
    try:
        # The loop shows a sign of life first, so that the watchdog knows its thread.
        execution.start(owner, RUN_ID, Run("shop-f", 1, [KnownEvent(RUN_ID, "x", b'{"name":"x"}', 1, 1)]), {})
        await owner.ended.wait()
    finally:
        execution.drop(owner)
        execution.close()


@pytest.mark.parametrize("in_step", [False, True], ids=["body", "branch"])
def test_who_blocks_the_loop_is_reported_once_with_the_line(caplog: pytest.LogCaptureFixture, in_step: bool) -> None:
    holder: list[InProcess] = []

    def reported() -> bool:
        watchdog = holder[0]._watchdog
        return watchdog is not None and watchdog.blocked > 0

    async def body(ctx: Context) -> None:
        deadline = asyncio.get_running_loop().time() + 30
        while not holder[0]._watchdog._ident:  # type: ignore[union-attr]
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0)
        if in_step:
            await asyncio.gather(branch())
        else:
            block_until(reported)

    async def branch() -> None:
        block_until(reported)

    with caplog.at_level(logging.WARNING):
        asyncio.run(run_once(body, holder, 30))
    (record,) = [record for record in caplog.records if vars(record).get("code") == "loop_blocked"]
    assert vars(record)["function_id"] == "shop-f"
    file, _, line = vars(record)["place"].rpartition(":")
    assert file == __file__
    assert int(line) > 0
    assert "loop_blocked" in record.getMessage()


def test_a_loop_that_answers_is_not_reported() -> None:
    holder: list[InProcess] = []

    async def body(ctx: Context) -> None:
        while not holder[0]._watchdog._ident:  # type: ignore[union-attr]
            await asyncio.sleep(0)

    asyncio.run(run_once(body, holder, 500))
    watchdog = holder[0]._watchdog
    assert watchdog is not None
    assert watchdog.blocked == 0
    assert not watchdog._thread.is_alive()


def test_code_that_is_nobodys_is_not_reported() -> None:
    assert find_user_code(sys._getframe(), {}) is None
    assert find_user_code(None, {}) is None


def test_it_can_be_switched_off() -> None:
    async def main() -> None:
        execution = InProcess({}, asyncio.get_running_loop(), SystemClock(), settings=Settings(blocked_ms=0))
        assert execution._watchdog is None
        execution.close()

    asyncio.run(main())
