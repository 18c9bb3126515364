"""What the room asks of the worker, and its settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from headrace.records.commands import AnyCommand
from headrace.records.rows import Run, Step


class Owner(Protocol):
    """The machine of a partition, under one claim. Compared by identity."""

    @property
    def partition(self) -> int: ...

    def time_ms(self) -> int:
        """Give the partition's time, which the records of its runs go by; no clock of a node."""
        ...

    def submit(self, command: AnyCommand) -> None:
        """Take an input; it is applied in a later iteration of the loop, in the order of the calls."""
        ...

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        """Read a live run and its steps by name; one whose result is not committed yet is pending with `due_ms` -1."""
        ...


def _threads() -> int:
    return min(32, (os.cpu_count() or 1) + 4)


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of one process."""

    live_max: int = 10_000  # runs whose code is kept in memory; beyond it waiting ones are evicted
    threads: int = _threads()  # for plain `def` functions and steps
    blocked_ms: int = 500  # a function that blocks the loop for longer is reported; 0: nobody watches
    output_bytes_max: int = 4 << 20  # of one step or run, as recorded
    output_json_bytes_max: int = 64 << 10  # of the text for people beside it
