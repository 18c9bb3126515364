"""Away: apps that cannot be reached, and the runs that wait for them.

A call that has not reached its app costs no attempt: the run waits, visibly, until the app is there again. One run at a
time tries, less and less often; when it gets through, all others follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.adapters.seams import Handle, Loop
from headrace.records.commands import CodeMissing

if TYPE_CHECKING:
    from headrace.execution.seams import Owner

_FIRST_S = 0.25
_LONGEST_S = 15.0
_SLICE = 500


class AppAway:
    """One app that cannot be reached."""

    __slots__ = ("delay_s", "reason", "timer", "trying", "waiting")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.delay_s = _FIRST_S
        self.timer: Handle | None = None  # of the next run that tries
        self.trying = False  # runs may call: it is to be seen whether the app is back
        self.waiting: dict[tuple[Owner, str], None] = {}  # runs, the longest waiting first


class Away:
    """All of them, by name."""

    def __init__(self, loop: Loop, tell: Callable[[str, str], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._apps: dict[str, AppAway] = {}

    def reason(self, app: str) -> str:
        """Say why an app cannot be reached; "" for one that can, or that has not been tried."""
        away = self._apps.get(app)
        return "" if away is None or away.trying else away.reason

    def add(self, app: str, owner: Owner, run_id: str, reason: str, *, tried: bool) -> None:
        """Have a run wait for its app; `tried` if a call was made and did not get through."""
        away = self._apps.get(app)
        if away is None:
            away = self._apps[app] = AppAway(reason)
            self._tell("app_unreachable", f"the app {app!r} cannot be called: {reason}; its runs wait until it can")
        away.reason = reason
        if (owner, run_id) not in away.waiting:
            away.waiting[owner, run_id] = None
            owner.submit(CodeMissing(run_id, True, f"the app {app!r} cannot be called: {reason}"))
        if tried:
            away.trying = False
        if away.timer is None:
            away.timer = self._loop.call_later(away.delay_s, self._try_one, app)

    def reached(self, app: str) -> None:
        """Note that the app has answered: all its runs go on."""
        away = self._apps.pop(app, None)
        if away is None:
            return
        if away.timer is not None:
            away.timer.cancel()
        self._tell("app_reached", f"the app {app!r} answers again; {len(away.waiting)} runs go on")
        self._release(list(away.waiting))

    def _release(self, runs: list[tuple[Owner, str]]) -> None:
        for owner, run_id in runs[:_SLICE]:
            owner.submit(CodeMissing(run_id, False))
        if len(runs) > _SLICE:
            self._loop.call_soon(self._release, runs[_SLICE:])

    def _try_one(self, app: str) -> None:
        away = self._apps.get(app)
        if away is None:
            return
        away.timer = None
        if not away.waiting:
            del self._apps[app]
            return
        owner, run_id = next(iter(away.waiting))
        del away.waiting[owner, run_id]
        away.trying = True
        away.delay_s = min(away.delay_s * 2, _LONGEST_S)
        # Nothing need come of it: the run may have ended, or go to another node. Then the next one tries.
        away.timer = self._loop.call_later(away.delay_s, self._try_one, app)
        owner.submit(CodeMissing(run_id, False))

    def forget(self, owner: Owner, run_id: str | None = None) -> None:
        """Forget a run that has ended, or all of an owner."""
        for away in self._apps.values():
            if run_id is not None:
                away.waiting.pop((owner, run_id), None)
            else:
                for key in [key for key in away.waiting if key[0] is owner]:
                    del away.waiting[key]
