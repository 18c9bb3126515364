"""Order: code in several branches is handed its results one at a time, in the order in which they were recorded.

The first time, the branches of a `gather` see their results in the order of the commits. So that code which shares
something between its branches (a list, a counter, the next step's id) does the same when it is replayed, each result
is handed over only after the code has come to rest from the one before. Code in a single branch never comes here.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from headrace.execution.rest import at_rest, waits_for_steps_alone
from headrace.records.rows import split_step_name

if TYPE_CHECKING:
    from headrace.execution.live_run import LiveRun

_SCANNED_MAX = 64  # branches that are all looked at; with more, it is enough that nothing is seen to happen for a while
_QUIET_LOOKS = 3
_SPINS = 16  # looks in consecutive iterations of the loop, before looks a little later
_PAUSE_S = 0.001
_PAUSE_S_MAX = 0.064
_LOOKS_MAX = 32  # about a second: then a result is handed over out of turn, rather than never


class Order:
    """The results of one run that wait for their turn."""

    __slots__ = ("_activity", "_asked", "_live", "_looks", "_quiet", "_replayed", "_waiting", "_woken")

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._waiting: list[tuple[int, bytes]] = []  # a heap of (order, step)
        self._replayed: list[tuple[int, bytes]] | None = None  # recorded before this replay, the latest first
        self._asked = False
        self._looks = 0
        self._quiet = 0
        self._activity = -1
        self._woken: asyncio.Task[Any] | None = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, order: int, step: bytes) -> None:
        """Have the result of a step handed over when its turn comes."""
        heappush(self._waiting, (order, step))
        self._ask()

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._live.loop.call_soon(self._look)

    def _look(self) -> None:
        self._asked = False
        live = self._live
        if live.ended or not self._waiting:
            return
        order, step = self._waiting[0]
        ready = self._rests() and (not self._earlier_to_come(order) or waits_for_steps_alone(live))
        if not ready and self._looks < _LOOKS_MAX:
            self._look_again()
            return
        self._looks = self._quiet = 0
        heappop(self._waiting)
        self._skip_to(order)
        call = live.calls.get(step)
        if call is not None and call.waiter is not None and not call.waiter.done():
            self._woken = call.task
            call.waiter.set_result(live.memo[step])
        if self._waiting:
            self._ask()

    def _rests(self) -> bool:
        # To look at every branch of a wide gather before each of its results would take seconds for some thousands.
        live = self._live
        if len(live.branches) <= _SCANNED_MAX:
            return at_rest(live, live.branches)
        woken = () if self._woken is None or self._woken not in live.branches else (self._woken,)
        if live.activity != self._activity or not at_rest(live, woken):
            self._activity = live.activity
            self._quiet = 0
            return False
        self._quiet += 1
        return self._quiet >= _QUIET_LOOKS

    def _look_again(self) -> None:
        self._looks += 1
        if self._looks <= _SPINS:
            self._ask()
        elif not self._asked:
            self._asked = True
            pause_s = min(_PAUSE_S * (1 << (self._looks - _SPINS)), _PAUSE_S_MAX)
            self._live.loop.call_later(pause_s, self._look)

    def _earlier_to_come(self, order: int) -> bool:
        # A result that was recorded before this one and was not asked for yet: some branch is still on its way to it,
        # or the code was edited and never asks.
        replayed = self._left()
        return bool(replayed) and replayed[-1][0] < order

    def _left(self) -> list[tuple[int, bytes]]:
        live = self._live
        if self._replayed is None:
            self._replayed = sorted(
                ((order, step) for step, order in live.recorded.items() if order >= 0), reverse=True
            )
        while self._replayed:
            step_id, occurrence = split_step_name(self._replayed[-1][1])
            if live.occurrences.get(step_id, 0) <= occurrence:
                break
            self._replayed.pop()  # asked for
        return self._replayed

    def _skip_to(self, order: int) -> None:
        replayed = self._left()
        while replayed and replayed[-1][0] < order:
            replayed.pop()
