"""GCRA, the generic cell rate algorithm (ITU-T I.371), in whole numbers.

A rate lets `room` starts go at once when it is idle, and one more each `period / limit` after that. All that has to be
kept is one time, the theoretical arrival time: when the rate will be idle again if nothing more comes.

Times are counted in ticks, `limit` to the millisecond, because a period divided by a limit is rarely a whole number of
milliseconds: the interval between two starts is `period_ms` ticks then, exactly.
"""

from __future__ import annotations

from headrace.records.admission_rows import Meter


class Rate:
    """At most `limit` starts in `period_ms` in the long run, and `room` at once."""

    __slots__ = ("interval", "limit", "period_ms", "room")

    def __init__(self, limit: int, period_ms: int, room: int) -> None:
        self.limit = max(limit, 1)
        self.period_ms = self.interval = max(period_ms, 1)
        self.room = max(room, 1)

    def tat(self, meter: Meter | None, now_ms: int) -> int:
        """Return the theoretical arrival time in this rate's ticks: now, for one that is idle.

        A meter of another rate (the limit was changed) keeps its time; but never further ahead than this rate's own
        starts could have brought it.
        """
        now = now_ms * self.limit
        if meter is None:
            return now
        tat = meter.tat
        if meter.per_ms != self.limit:
            tat = -(-tat * self.limit // meter.per_ms)
        return min(max(tat, now), now + self.room * self.interval)

    def free_ms(self, tat: int) -> int:
        """Return the first millisecond in which a start may go."""
        return -(-(tat - (self.room - 1) * self.interval) // self.limit)

    def idle_ms(self, tat: int) -> int:
        """Return the first millisecond in which the rate is idle again, and its meter says nothing."""
        return -(-tat // self.limit)
