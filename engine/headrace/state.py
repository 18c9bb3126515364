"""The narrow view of a partition that the pure rooms are given: typed tables, the time, and what they may ask for.

In:    keys without their table byte, values as the classes of `records/rows.py`.
Out:   the same; writes show at once to later reads of the turn, and become one commit at its end.
Rules: synchronous and deterministic; nothing here touches the world. A value that was put must not be changed in
       place afterwards: put a changed copy, or put it again in the same turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from headrace.records.admission_rows import Buffer, Chunk, Debounced, Meter, QueuedStart, Repeat, Singleton
from headrace.records.commands import Travelling
from headrace.records.definitions import Definition
from headrace.records.gate_rows import QueuedRun, SlotClaim
from headrace.records.limits import RunLimits
from headrace.records.rows import Cancellation, CronLineRow, EventId, Positions, Run, Step, Timer
from headrace.records.wait_rows import WaitRow
from headrace.records.waits import RecentRow, ShapeRow, Waiter

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

    def page(self, after: bytes, limit: int) -> list[tuple[bytes, Run]]:
        """Live runs behind this key, by id, at most `limit`; less than that only at the end."""
        ...


class StepTable(Table[Step], Protocol):
    """Steps of live runs. Key: run id (26 bytes), then the step's name."""

    def weight(self, run_key: bytes) -> tuple[int, int]:
        """How many steps the run has, and the bytes of their results."""
        ...


class Waiting(Protocol):
    """The tables of waits; their keys are made in `records/waits.py` and `records/wait_rows.py`."""

    @property
    def shapes(self) -> Table[ShapeRow]: ...

    @property
    def asked(self) -> Table[WaitRow]:
        """What the runs of this partition wait for."""
        ...

    @property
    def waiters(self) -> Table[Waiter]:
        """Those who wait for what this partition decides."""
        ...

    @property
    def recent(self) -> Table[RecentRow]: ...

    @property
    def recent_expiry(self) -> KeyTable: ...

    @property
    def undecided(self) -> KeyTable: ...


class QueueTable(Table[V], Protocol[V]):
    """Rows in queues: those whose keys share all but their last 16 bytes, which say their places, are one queue."""

    def first(self, queue: bytes) -> bytes | None:
        """Key of the first row of a queue, or None when it is empty."""
        ...

    def begin(self, queue: bytes) -> None:
        """Note that a queue is empty now, before something is put into it: it costs less to look into then."""
        ...


class Admission(Protocol):
    """The tables of the admission stages; their keys are made in `admission/keys.py`."""

    @property
    def expiry(self) -> KeyTable:
        """Key: minute (8 bytes, big endian), then table byte and key of the row to be looked at; the value is empty."""
        ...

    @property
    def repeats(self) -> Table[Repeat]: ...

    @property
    def meters(self) -> Table[Meter]: ...

    @property
    def debounces(self) -> Table[Debounced]: ...

    @property
    def buffers(self) -> Table[Buffer]: ...

    @property
    def chunks(self) -> Table[Chunk]: ...

    @property
    def singletons(self) -> Table[Singleton]: ...

    @property
    def queued(self) -> QueueTable[QueuedStart]: ...


class ClaimTable(Table[SlotClaim], Protocol):
    """Runs at gates. Key: gate (16 bytes), then run id."""

    def given(self, gate: bytes) -> int:
        """How many runs have a slot of this gate."""
        ...


class TurnTable(Table[int], Protocol):
    """Shares that wait at gates. Key: gate (16 bytes), then share; each value is greater than all before it."""

    def gates(self) -> list[bytes]:
        """The gates at which runs wait."""
        ...

    def shares(self, gate: bytes) -> Collection[bytes]:
        """The shares that wait at a gate, in the order of their values."""
        ...


class Gates(Protocol):
    """The tables of gates and pauses; their keys are made in `admission/gates.py` and `runs/pauses.py`."""

    @property
    def claims(self) -> ClaimTable: ...

    @property
    def queue(self) -> QueueTable[QueuedRun]: ...

    @property
    def turns(self) -> TurnTable: ...

    @property
    def paused(self) -> QueueTable[bytes]: ...


class State(Protocol):
    """The tables of a partition."""

    @property
    def admission(self) -> Admission: ...

    @property
    def waiting(self) -> Waiting: ...

    @property
    def gates(self) -> Gates: ...

    @property
    def positions(self) -> Table[Positions]:
        """One row, under the key b"": how far the inputs are applied."""
        ...

    @property
    def runs(self) -> RunTable: ...

    @property
    def steps(self) -> StepTable: ...

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
    def keyed_state(self) -> Table[bytes]:
        """What functions keep for the values of their concurrency key, as `pack_value` writes it."""
        ...

    @property
    def cron_lines(self) -> Table[CronLineRow]: ...

    @property
    def cancellations(self) -> Table[Cancellation]: ...

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
    def number(self) -> int:
        """Greater than the number of every turn before."""
        ...

    @property
    def partition(self) -> int: ...

    @property
    def partitions(self) -> int:
        """How many there are."""
        ...

    @property
    def limits(self) -> RunLimits:
        """How large runs may become."""
        ...

    def definition(self, function_id: str) -> Definition | None:
        """What the partition knows of a function, live limits included; None for one that was removed."""
        ...

    def paused(self, function_id: str, place: bytes | None) -> str:
        """Name of the pause that holds new runs of a function whose key is `place`, or ""."""
        ...

    def queued(self, run_id: str) -> None:
        """Note that the run waits for a slot: if it still does in a moment, it is to be seen (`AnnounceRuns`)."""
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

    def dead(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        """Put a record that nobody can use on the dead-letter topic, with its reason in headers."""
        ...

    def broadcast(self, key: bytes, value: bytes | None) -> None:
        """Append a record to the functions topic: every partition takes it in, this one too, in a turn to come.

        It may arrive more than once; several of one partition arrive in their order.
        """
        ...

    def look_back(self, shape: bytes) -> None:
        """Have the log read for the look-back that the shape's row says; `LookedBack` brings what is found."""
        ...

    def command(self, partition: int, command: Travelling) -> None:
        """Send a command to another partition, once and in order (or to this one, at once)."""
        ...
