"""Limits of runs: published, and set by the operator of a cluster (docs/limits.md)."""

from __future__ import annotations

from dataclasses import dataclass

_DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may take; sizes in bytes, times in milliseconds. Beyond one of them that run fails, and no other."""

    steps: int = 10_000
    step_output_bytes: int = 4 << 20
    run_state_bytes: int = 64 << 20  # the results of all its steps together
    sleep_ms: int = 10 * 366 * _DAY_MS  # a sleep, or a time-out
    keyed_value_bytes: int = 1 << 20  # one value of the keyed state
    keyed_name_bytes: int = 512


DEFAULTS = RunLimits()
