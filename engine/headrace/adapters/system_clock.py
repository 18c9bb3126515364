"""The clock of a real node."""

from __future__ import annotations

import time


class SystemClock:
    """Read the operating system's clocks, in whole milliseconds."""

    __slots__ = ()

    def monotonic_ms(self) -> int:
        """Return a time that never goes back while the process lives; its zero means nothing."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Return the milliseconds since the epoch; may jump when somebody sets the clock."""
        return time.time_ns() // 1_000_000
