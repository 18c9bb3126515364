"""One call that a worker has: to whom it belongs, until when, and what becomes of it. Pure.

Until the worker acknowledges it, nothing of it counts: it can be given to another one. From then on it is the worker's
as long as it renews its lease, even through another connection than the one that it came by.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.sdk.seams import AppCall
from headrace.records.ids import ulid_time


class Fate(Enum):
    """What becomes of a call."""

    WAITS = "waits"
    ANEW = "anew"  # nobody has taken it: it is to be given to a worker again
    BROKEN = "broken"  # a worker had taken it and is not heard of any more


class HeldCall:
    """A call given to the instance of a worker. `fresh` gives the sixteen last characters of a ULID."""

    __slots__ = ("_absent_by_ms", "_fresh", "_given_ms", "_settings", "_taken_by_ms", "_until_ms", "call", "instance",
                 "lease", "previous", "taken")  # fmt: skip

    def __init__(
        self,
        call: AppCall,
        instance: str,
        settings: ConnectSettings,
        fresh: Callable[[], str],
        now_ms: int,
        wall_ms: int,
    ) -> None:
        self.call = call
        self.instance = instance
        self.taken = False
        self._given_ms = now_ms
        self.previous = ""  # the lease before this one
        self._settings = settings
        self._fresh = fresh
        self._taken_by_ms: int | None = None  # sooner than the lease's end
        self._absent_by_ms: int | None = None  # the worker lost its connection, and is to be back by then
        self.lease = ""
        self._until_ms = 0
        self._grant(now_ms, wall_ms)

    def take(self) -> None:
        """Note that the worker has it."""
        self.taken = True

    def renew(self, lease: str, instance: str, now_ms: int, wall_ms: int) -> str | None:
        """Let the worker keep it; the lease from now on, or None where this is not the worker who has it.

        The lease before the present one is answered with the present one: that answer was lost on its way.
        """
        if instance != self.instance or lease not in (self.lease, self.previous):
            return None
        self.taken = True  # whatever became of the acknowledgement
        self._absent_by_ms = None
        if lease == self.lease:
            self._grant(now_ms, wall_ms)
        return self.lease

    def pause(self, now_ms: int) -> None:
        """Note that the worker takes nothing more: what it has not acknowledged soon it never got."""
        self._taken_by_ms = now_ms + self._settings.pause_ms

    def heartbeat(self, now_ms: int) -> None:
        """Note that the worker lives: what it has had for so long and not acknowledged it never got.

        What a worker is sent it reads in order, and acknowledges before anything else. SDKs in the middle of becoming
        ready have been seen to drop a call.
        """
        if not self.taken and now_ms - self._given_ms >= self._settings.unheard_ms:
            self._taken_by_ms = now_ms

    def lose(self, now_ms: int) -> Fate:
        """Note that the connection which it came by is gone."""
        if not self.taken:
            return Fate.ANEW
        self._absent_by_ms = now_ms + self._settings.return_ms
        return Fate.WAITS

    def find(self, now_ms: int) -> None:
        """Note that the worker, or one of its name, is back: if it still has the call, it renews the lease."""
        if self._absent_by_ms is not None:
            self._absent_by_ms = None
            self._until_ms = min(self._until_ms, now_ms + self._settings.extend_ms + self._settings.grace_ms)

    def fate(self, now_ms: int) -> Fate:
        """Look at the time."""
        if not self.taken and self._taken_by_ms is not None and now_ms >= self._taken_by_ms:
            return Fate.ANEW
        if self._absent_by_ms is not None and now_ms >= self._absent_by_ms:
            return Fate.BROKEN
        if now_ms >= self._until_ms + self._settings.grace_ms:
            return Fate.BROKEN if self.taken else Fate.ANEW
        return Fate.WAITS

    def _grant(self, now_ms: int, wall_ms: int) -> None:
        self.previous = self.lease
        self._until_ms = now_ms + self._settings.lease_ms
        # As leases of this protocol are: the time that a ULID tells is when it ends.
        self.lease = ulid_time(wall_ms + self._settings.lease_ms) + self._fresh()
