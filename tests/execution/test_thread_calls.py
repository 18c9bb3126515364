"""How a thread and the loop pass a step call between them, in every order in which they may come to it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from headrace.execution.threads import _Box


def test_a_thread_that_comes_late_to_its_call_still_does_what_the_loop_asked_for() -> None:
    async def call() -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        box = _Box(cast(Any, SimpleNamespace(loop=loop, thread=None)))
        handed_back = asyncio.ensure_future(box.hand_back(lambda: 7))
        await asyncio.sleep(0)  # the loop has asked; only now the thread looks what there is to do
        thread = loop.run_in_executor(None, box.wait)
        try:
            value = await asyncio.wait_for(handed_back, 5)
        finally:
            box.end(lambda: "over")
        return value, await thread

    assert asyncio.run(call()) == (7, "over")
