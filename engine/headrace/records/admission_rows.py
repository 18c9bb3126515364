"""Rows of the admission stages: what holds a start, and what decides about the next one.

The key of nearly all is a *bucket*: function id, NUL, the stage's number, a digest of the stage's key (see
`admission/keys.py`). All live on the partition of that key.
"""

from __future__ import annotations

import msgspec

from headrace.records.rows import KnownEvent, Reply, Row, Start

ADMISSION_EXPIRY = b"a"  # + minute, table byte, key: what to look at then; the value is empty
BUFFERS = b"b"
CHUNKS = b"c"  # + bucket, number
REPEATS = b"e"
DEBOUNCES = b"f"
METERS = b"A"
QUEUED_STARTS = b"B"  # + bucket, place in time, order of arrival; or + NUL, run id
SINGLETONS = b"C"


class Repeat(Row):
    """A value of an idempotency key that has started the function."""

    run_id: str
    until_ms: int


class Meter(Row):
    """How much of a rate is used up: the theoretical arrival time of GCRA, in ticks, `per_ms` to the millisecond.

    A throttle's meter has a queue as well: how long it is, where its timer stands (0: it has none), and which place in
    it was served last. The meter of a lane (a concurrency key within a queue) counts what of it stands in the queue.
    """

    tat: int
    per_ms: int
    queued: int = 0
    timer_ms: int = 0
    served_ms: int = 0


class QueuedStart(Row):
    """A start in a throttle's queue; or, under its run id, where in the queue it stands."""

    start: Start | None
    at: bytes = b""
    lane: bytes = b""  # key of its lane's meter


class Debounced(Row):
    """The start that is held until no other has come for a while. Its timer may stand earlier than it is due."""

    start: Start
    first_ms: int
    due_ms: int
    timer_ms: int


class Buffer(Row):
    """A batch that is being gathered. The events stand in chunks; `start` is the first one's start, without its event.

    Chunks are numbered; the last one grows while the turn goes on in which it was begun, and never after, so an event
    is written once. One without a start is empty, and stays until its timer finds it so.
    """

    start: Start | None = None
    count: int = 0
    size: int = 0  # bytes of its events
    first_chunk: int = 0
    last_chunk: int = -1
    chunk_size: int = 0  # bytes of the last chunk
    turn: int = -1  # the turn that has begun the last chunk
    due_ms: int = 0
    timer_ms: int = 0  # 0: it has none


class Chunk(Row):
    """Events of a batch, and who waits for those of them that were invoked: (index of the event, who)."""

    events: list[KnownEvent]
    replies: list[tuple[int, Reply]] = msgspec.field(default_factory=list)


class Singleton(Row):
    """Who holds a singleton's lock, and who takes its place.

    `trail` lists the partitions where the holder may be, in the order in which it comes to them (see `CancelStart`).
    """

    run_id: str
    trail: list[int] = msgspec.field(default_factory=list)
    waiting: Start | None = None
    waiting_trail: list[int] = msgspec.field(default_factory=list)
