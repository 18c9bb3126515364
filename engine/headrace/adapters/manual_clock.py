"""A node's clock on virtual time, which may be wrong as real clocks are: it runs fast, is set wrong, or jumps."""

from __future__ import annotations

from collections.abc import Callable

# 2026-01-01T00:00:00Z: what the calendar shows at the loop's time 0.
EPOCH_MS = 1_767_225_600_000


class ManualClock:
    """Tell the time of one node. Implements `Clock`.

    `time` gives virtual seconds (a loop's `time`). `skew_ms` is how far the wall clock is ahead of the truth, `rate`
    how many of its seconds pass in a true one, `zero_ms` what the monotonic clock shows at first, which means nothing.
    """

    def __init__(
        self,
        time: Callable[[], float],
        *,
        skew_ms: int = 0,
        rate: float = 1.0,
        zero_ms: int = 0,
        epoch_ms: int = EPOCH_MS,
    ) -> None:
        self._time = time
        self._rate = rate
        self._since = time()
        self._monotonic = float(zero_ms)
        self._wall = epoch_ms + self._since * 1000 + skew_ms

    def monotonic_ms(self) -> int:
        """Return a time that never goes back, in whole milliseconds."""
        return _whole(self._monotonic + self._passed())

    def wall_ms(self) -> int:
        """Return the milliseconds since the epoch, as this node believes."""
        return _whole(self._wall + self._passed())

    def jump(self, by_ms: int) -> None:
        """Set the wall clock forward, or back; the monotonic one does not notice."""
        self._wall += by_ms

    def run(self, rate: float) -> None:
        """Go on with another rate; it must not be negative."""
        assert rate >= 0, f"a clock cannot run backwards: {rate}"
        passed = self._passed()
        self._monotonic += passed
        self._wall += passed
        self._since = self._time()
        self._rate = rate

    def _passed(self) -> float:
        return (self._time() - self._since) * 1000 * self._rate


def _whole(milliseconds: float) -> int:
    # A timer is due at a float that stands for a whole millisecond: without the half microsecond it reads as one less.
    return int(milliseconds + 0.0005)
