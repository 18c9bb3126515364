"""The seams between the engine and the world: what a log, a store, a membership, a clock and a loop must do.

Everything here is called on the node's loop thread and calls back on it. Nothing blocks, nothing awaits. A callback is
never run from inside the call that asked for it: it comes in a later iteration of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol


class Record(NamedTuple):
    """One Kafka record as it was read. `timestamp_ms` is the broker's log-append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None


class Outgoing(NamedTuple):
    """One record to send. `partition` is always explicit: the engine places its own keys."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None = None


class ReadFailure(Enum):
    """Why a reading stopped. After a failure the reading is closed."""

    OUT_OF_RANGE = "out_of_range"  # the offset is below the log's start or beyond its end
    UNKNOWN_TOPIC = "unknown_topic"
    REFUSED = "refused"  # authorisation or another error that trying again does not mend


# report(offset, error): the offset at which the record landed, or -1 with (or without) an error text.
# An error does NOT say that the record is not in the log.
AppendReport = Callable[[int, str | None], None]
# report(first_failed): None when every record of the batch is in the log, else the index of the first that may not be.
BatchReport = Callable[[int | None], None]


class Handle(Protocol):
    """Something scheduled on the loop that can be taken back."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """The node's loop; an asyncio event loop fits as it is."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> Handle: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Handle: ...


class Clock(Protocol):
    """The node's own clock, in whole milliseconds."""

    def monotonic_ms(self) -> int:
        """Never goes back while the process lives; its zero means nothing."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump. Only for what people read."""
        ...


class Appender(Protocol):
    """One idempotent producer with `acks=all`. Per partition, records land in the order of the calls."""

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        """Send one record; reports of one partition come in the order of the appends."""
        ...

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        """Send a batch and report once. A later record may be in the log although an earlier one failed."""
        ...

    def renew(self) -> None:
        """Use a new producer from now on (after a fatal error); reports still open come as errors first."""
        ...

    @property
    def unreported(self) -> int:
        """How many appends and sends have not been reported yet."""
        ...

    def close(self, timeout_ms: int) -> None:
        """Send what is queued, wait at most `timeout_ms`, let go. May block; only at the end of a process."""
        ...


class Reading(Protocol):
    """One partition being read. After `close()` no callback comes any more, also none already queued."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class Reader(Protocol):
    """Reads partitions at exact offsets, with no group. Delivers in order, without leaving anything out."""

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        on_records: Callable[[list[Record]], None],
        on_failure: Callable[[ReadFailure, str], None],
    ) -> Reading:
        """Read from exactly `offset` on. An offset outside the log is a failure, never a reset."""
        ...

    def close(self) -> None: ...


class Partitions(Protocol):
    """What the log knows about its partitions, and trimming. Callbacks get (result, error text)."""

    def bounds(self, topic: str, partition: int, done: Callable[[tuple[int, int] | None, str | None], None]) -> None:
        """(first offset still there, next offset to be written)."""
        ...

    def offset_at(
        self, topic: str, partition: int, time_ms: int, done: Callable[[int | None, str | None], None]
    ) -> None:
        """The offset of the first record that is not older than a time; the end of the log if there is none."""
        ...

    def trim(self, topic: str, partition: int, before: int, done: Callable[[str | None], None]) -> None:
        """Delete every record below the offset `before`."""
        ...

    def topic_id(self, topic: str, done: Callable[[str | None, str | None], None]) -> None:
        """The id that Kafka gave the topic when it was made: another one means another topic of the same name."""
        ...


class Members(Protocol):
    """What a node is told about the partitions it may own; see `Membership`."""

    def assigned(self, partitions: Sequence[int]) -> None: ...

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        """Hand these over in good order and call `let_go`; it goes on without, after a bound (3 s)."""
        ...

    def lost(self, partitions: Sequence[int]) -> None:
        """These belong to others already: drop them."""
        ...

    def expelled(self, reason: str) -> None:
        """The group will not have this member again (fatal): let go, never claim in this process."""
        ...


class Membership(Protocol):
    """A member of the consumer group that decides who owns which partition. It never reads a record."""

    def join(self, members: Members) -> None: ...

    def holds(self, partition: int) -> bool:
        """Whether the group still assigns the partition to this node, as far as is known now."""
        ...

    def leave(self, left: Callable[[], None]) -> None:
        """Revoke everything in good order, leave the group at once (no wait for the session), then call."""
        ...


class StoreView(Protocol):
    """Rows in byte order of their keys."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end, ascending."""
        ...


class Snapshot(StoreView, Protocol):
    """The store as it stood at one moment, whatever is written later."""

    def close(self) -> None: ...


class Store(StoreView, Protocol):
    """One partition's local rows. A cache of the log: losing it loses nothing."""

    def write(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put (or delete, for None) all the rows, all or none."""
        ...

    def snapshot(self) -> Snapshot: ...

    def close(self) -> None: ...


class Stores(Protocol):
    """Opens the stores of one node."""

    def open(self, partition: int) -> Store: ...

    def wipe(self, partition: int) -> None:
        """Delete what is stored for a partition; its store must be closed."""
        ...
