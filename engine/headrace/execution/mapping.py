"""Mapping: one callable over many items, each a step of its own, so many of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from headrace.execution.callables import callee_of
from headrace.execution.step_calls import run_step
from headrace.functions.errors import StepMisuse

if TYPE_CHECKING:
    from headrace.execution.live_run import LiveRun

PARALLEL = 16
PARALLEL_MAX = 1_000


async def map_steps(live: LiveRun, step_id: str, items: Iterable[Any], function: Any, parallel: int) -> list[Any]:
    """Run `function(item)` as the step `id[n]` for each item; give the results in order, or raise the first failure."""
    live.promised.discard(step_id)
    listed = list(items)
    check_parallel(step_id, parallel)
    callee = callee_of(function)
    results: list[Any] = [None] * len(listed)
    failures: dict[int, BaseException] = {}
    waiting = iter(range(len(listed)))
    branches = [
        asyncio.ensure_future(_work(live, step_id, waiting, listed, (callee, function), results, failures))
        for _ in range(min(parallel, len(listed)))
    ]
    if branches:
        await asyncio.gather(*branches)
    if failures:
        raise failures[min(failures)]
    return results


def _work(
    live: LiveRun,
    step_id: str,
    waiting: Iterator[int],
    items: list[Any],
    call: tuple[Any, Any],
    results: list[Any],
    failures: dict[int, BaseException],
) -> Coroutine[Any, Any, None]:
    async def work() -> None:
        callee, function = call
        for number in waiting:
            if failures:
                return
            try:
                results[number] = await run_step(live, item_id(step_id, number), callee, function, (items[number],), {})
            except Exception as error:
                failures[number] = error

    return work()


def item_id(step_id: str, number: int) -> str:
    """Name the step of one item."""
    return f"{step_id}[{number}]"


def check_parallel(step_id: str, parallel: int) -> None:
    """Refuse what is no number of branches."""
    if type(parallel) is int and 1 <= parallel <= PARALLEL_MAX:
        return
    raise StepMisuse(
        "parallel_invalid",
        f"map {step_id!r} has parallel={parallel!r}",
        why=f"it is how many items are worked on at once: a whole number from 1 to {PARALLEL_MAX}",
        do="write parallel=10, or leave it out",
    )
