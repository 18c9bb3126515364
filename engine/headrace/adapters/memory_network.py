"""What goes wrong between nodes and the log, and how long everything takes: drawn from one seed, and counted.

The default loses nothing and takes no time. Faults that strike one record or one question are drawn here; those that
strike a whole partition, broker or node (`freeze`, `restart_broker`, `crash`, …) are methods of what they strike, so
that whoever plays the world decides when. `struck` counts all of them by name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from random import Random


class Fate(Enum):
    """What becomes of a record that was sent."""

    LOST = "append_lost"  # not in the log; reported as failed
    UNKNOWN = "append_unknown"  # in the log; reported as failed
    LATE = "append_late"  # reported as failed; comes into the log afterwards
    TWICE = "append_twice"  # in the log twice, as when the broker has forgotten its producer; the second is reported
    FATAL = "producer_fatal"  # this record and all after it fail until the producer is renewed; it may be in the log


@dataclass(frozen=True)
class Faults:
    """How likely each fault is, from 0 to 1, and the range of each delay, in milliseconds."""

    append_lost: float = 0.0
    append_unknown: float = 0.0
    append_late: float = 0.0
    append_twice: float = 0.0
    producer_fatal: float = 0.0
    offset_gap: float = 0.0  # an offset without a record before a record, as a control record leaves it
    landed_after_death: float = 0.0  # a record on its way when its producer ended still arrives
    bounds_failed: float = 0.0
    trim_failed: float = 0.0  # reported as failed; done, or not
    fetch_short: float = 0.0  # a delivery of a few records only
    delay_ms: tuple[float, float] = (0.0, 0.0)
    slow: float = 0.0  # how often a delay is a long one
    slow_delay_ms: tuple[float, float] = (0.0, 0.0)
    failure_delay_ms: tuple[float, float] = (0.0, 0.0)  # until a failure is reported
    late_delay_ms: tuple[float, float] = (0.0, 0.0)  # until a record lands that was reported as failed


CALM = Faults()


class Network:
    """Draw delays and faults; `faults` may be replaced at any time, by `CALM` to let the world come to rest."""

    def __init__(self, seed: int = 0, faults: Faults = CALM, *, fetch_records_max: int = 1000) -> None:
        self.random = Random(seed)
        self.struck: Counter[str] = Counter()
        self.fetch_records_max = fetch_records_max
        self.faults = faults

    @property
    def faults(self) -> Faults:
        """Return how likely each fault is now."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._fates: list[tuple[float, Fate]] = []
        total = 0.0
        for fate in Fate:
            total += getattr(faults, fate.value)
            self._fates.append((total, fate))
        assert total <= 1.0, f"the faults of appends add up to {total}"
        self._fate_total = total
        self._slow = faults.slow
        self._delay_min = faults.delay_ms[0] / 1000
        self._delay_span = (faults.delay_ms[1] - faults.delay_ms[0]) / 1000
        self._still = faults.delay_ms == (0.0, 0.0) and not faults.slow
        self.reliable = total == 0.0 and not faults.offset_gap

    def delay(self) -> float:
        """Draw how long something takes on its way, in seconds."""
        if self._still:
            return 0.0
        drawn = self.random.random()
        if drawn < self._slow:
            self.struck["slow"] += 1
            return self.between(self._faults.slow_delay_ms)
        return self._delay_min + self._delay_span * drawn

    def between(self, range_ms: tuple[float, float]) -> float:
        """Draw from a range in milliseconds, in seconds."""
        low, high = range_ms
        return (low + (high - low) * self.random.random()) / 1000

    def fate(self) -> Fate | None:
        """Draw what becomes of a record; None: it lands, and is reported so."""
        drawn = self.random.random()
        if drawn >= self._fate_total:
            return None
        fate = next(fate for limit, fate in self._fates if drawn < limit)
        self.struck[fate.value] += 1
        return fate

    def strikes(self, fault: str) -> bool:
        """Draw whether a fault strikes now; it is counted if so."""
        likely: float = getattr(self._faults, fault)
        if not likely or self.random.random() >= likely:
            return False
        self.struck[fault] += 1
        return True

    def coin(self) -> bool:
        """Draw one of two outcomes that are both to be expected."""
        return self.random.random() < 0.5

    def fetch_size(self) -> int:
        """Draw how many records come at once, at most."""
        if self._faults.fetch_short and self.strikes("fetch_short"):
            return self.random.randint(1, 5)
        return self.fetch_records_max
