"""The narrow view of a partition that the pure rooms are given: typed tables, the time, and what they may ask for.

In:    keys without their table byte, values as the classes of `records/rows.py`.
Out:   the same; writes show at once to later reads of the turn, and become one commit at its end.
Rules: synchronous and deterministic; nothing here touches the world. A value that was put must not be changed in
       place afterwards: put a changed copy, or put it again in the same turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from headrace.records.commands import Travelling
from headrace.records.definitions import Definition
from headrace.records.rows import EventId, Run, Step, Timer

V = TypeVar("V")


class Table(Protocol[V]):
    """Rows of one kind, by key."""

    def get(self, key: bytes) -> V | None: ...

    def put(self, key: bytes, value: V) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, V]]:
        """Rows whose key starts with `prefix`, in key order, as they stand when asked for."""
        ...


class KeyTable(Table[bytes], Protocol):
    """Rows that say all by their key."""

    def first_keys(self, prefix: bytes, limit: int) -> list[bytes]:
        """Some live keys that start with `prefix`, at most `limit`, in no particular order."""
        ...


class RunTable(Table[Run], Protocol):
    """Live runs by id. Suspended ones stand apart, so that a new owner finds those it must start at once."""

    def suspend(self, key: bytes, run: Run) -> None:
        """Put the run, and note that its code need not be started."""
        ...

    def resume(self, key: bytes, run: Run) -> None:
        """Put the run, and note that its code must be started."""
        ...


class State(Protocol):
    """The tables of a partition."""

    @property
    def runs(self) -> RunTable: ...

    @property
    def steps(self) -> Table[Step]:
        """Key: run id (26 bytes), then the step's name."""
        ...

    @property
    def timers(self) -> Table[Timer]:
        """Key: `timer_key`, so in due order."""
        ...

    @property
    def definitions(self) -> Table[bytes]: ...

    @property
    def broadcasts(self) -> Table[bytes]:
        """What every partition knows beside definitions. Key: as on the functions topic (records/broadcasts.py)."""
        ...

    @property
    def event_ids(self) -> Table[EventId]: ...

    @property
    def event_id_expiry(self) -> KeyTable:
        """Key: minute (8 bytes, big endian), then the event id; the value is empty."""
        ...


class Turn(Protocol):
    """What happens now: the state, the time, and what shall happen once this turn's commit is honoured."""

    @property
    def state(self) -> State: ...

    @property
    def now_ms(self) -> int: ...

    @property
    def partition(self) -> int: ...

    @property
    def partitions(self) -> int:
        """How many there are."""
        ...

    def definition(self, function_id: str) -> Definition | None:
        """What the partition knows of a function; None for one that was removed."""
        ...

    def next_order(self) -> int:
        """A number greater than every one that this partition ever gave before."""
        ...

    def wanted(self, event_name: str) -> bool:
        """Whether any function would be started by an event of this name."""
        ...

    def history(self, kind: int, run_id: str, function_id: str, **more: Any) -> None:
        """Write a lifecycle record; `more` are fields of the schema."""
        ...

    def execute(self, run_id: str) -> None:
        """Start the run's code, from its beginning or from what is recorded of it."""
        ...

    def resolve(self, run_id: str, step: bytes, row: Step) -> None:
        """Tell the run's code what became of a step."""
        ...

    def stop(self, run_id: str) -> None:
        """Interrupt the run's code, if it is alive: the run has ended."""
        ...

    def publish(self, event_id: str, json: bytes, key: bytes | None, place: bytes) -> None:
        """Append an event to the events topic, once; it lands on the partition of `place`."""
        ...

    def broadcast(self, key: bytes, value: bytes | None) -> None:
        """Append a record to the functions topic: every partition takes it in, this one too, in a turn to come.

        It may arrive more than once; several of one partition arrive in their order.
        """
        ...

    def command(self, partition: int, command: Travelling) -> None:
        """Send a command to another partition, once and in order (or to this one, at once)."""
        ...
