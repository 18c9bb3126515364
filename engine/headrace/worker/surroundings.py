"""What machines are given: the seams of one node, its settings, where user code runs, whom they tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from headrace.adapters.seams import Appender, Clock, Loop, Partitions, Reader, ReadFailure
from headrace.records.commands import AnyCommand
from headrace.records.rows import Run, Step
from headrace.worker.counters import Counters
from headrace.worker.layout import Limits, Topics
from headrace.worker.neighbours import Neighbours


class Owner(Protocol):
    """The machine, as execution sees it."""

    @property
    def partition(self) -> int: ...

    def time_ms(self) -> int:
        """Give the partition's time."""
        ...

    def submit(self, command: AnyCommand) -> None:
        """Take a result as an input; it is applied in a later turn."""
        ...

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        """Read a live run and what is committed of its steps, by name."""
        ...


class Execution(Protocol):
    """Where user code runs (`execution/`). Everything is asked for after the commit that permits it is honoured."""

    @property
    def full(self) -> bool:
        """Whether so much code is alive that no more events should be taken for now."""
        ...

    def start(self, owner: Owner, run_id: str, run: Run, steps: dict[bytes, Step]) -> None:
        """Begin a run's code, or go on from what is recorded of it."""
        ...

    def resolve(self, owner: Owner, run_id: str, step: bytes, row: Step) -> None:
        """Tell the code what became of a step; code that is not alive is started."""
        ...

    def stop(self, owner: Owner, run_id: str) -> None:
        """Interrupt the code: its run has ended."""
        ...

    def drain(self, owner: Owner, done: Callable[[], None], within_ms: int) -> None:
        """Start nothing, let what executes finish, cancel the rest, then call."""
        ...

    def drop(self, owner: Owner) -> None:
        """Cancel everything of this owner at once."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machines of one node share: the seams, the settings, where user code runs."""

    node: str
    partitions: int
    topics: Topics
    limits: Limits
    loop: Loop
    clock: Clock
    commits: Appender
    outbox: Appender
    reader: Reader
    execution: Execution
    log: Partitions
    counters: Counters = field(default_factory=Counters)
    neighbours: Neighbours = field(default_factory=Neighbours)


class Watcher(Protocol):
    """Who is told what becomes of a machine."""

    def fenced(self, reason: str) -> None: ...

    def broken(self, error: Exception) -> None: ...

    def tell(self, code: str, sentence: str) -> None: ...

    def stopped_source(self, topic: str, partition: int, failure: ReadFailure, text: str) -> None: ...

    def snapshot_honoured(self, upto: int, begin: int, commands_upto: int) -> None: ...
