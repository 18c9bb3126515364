"""What waits for an event: the words that travel between a run's home and the partition that decides, and their rows.

A *shape* is what waits have in common: an event name and the path whose value they wait for ("" for waits that are not
found by a value). A *digest* stands for a name, a path and a value; its partition decides all waits for that value.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import field

from headrace.records.rows import Failure, KnownEvent, Row

SHAPES = b"w"  # + shape key: what is forwarded, and what is known of it here
WAITS = b"v"  # + run id, step: what a run waits for, at its home
WAITERS = b"u"  # + digest, run id, step, index: at the partition that decides
RECENT = b"y"  # + digest, place: events that came a moment ago
RECENT_EXPIRY = b"V"  # + minute, key of a recent event
UNDECIDED = b"W"  # + shape key, number of a look-back, key of a waiter

# What became of a signal: the status of its verdict in the history; its explanation is "run <id>" then.
SIGNALLED, NOBODY_WAITS = "signalled", "nobody_waits"

# What a run wants that waits for a signal where another one does: to fail, or to take its place.
FAIL, REPLACE = "fail", "replace"
CONFLICTS = (FAIL, REPLACE)
SIGNAL_CONFLICT = "SignalConflict"  # the name of the failure

DIGEST_BYTES = 16
SHAPE_KEY_BYTES = 16


class Purpose(IntEnum):
    """What an event does that is matched."""

    RESOLVE = 0  # a step of the run
    CANCEL = 1  # the run ends
    SIGNAL = 2  # a step of the run, by the name of a signal


class Found(Row):
    """An event where it stands in the log: a partition of the events topic and an offset."""

    partition: int
    offset: int
    event: KnownEvent


class Waiter(Row):
    """One who waits, as the partition keeps it that decides: Matched, TimedOut or Withdrawn, once.

    `n` is the number of this registration: an answer to an earlier one is not meant any more.
    """

    run_id: str
    step: bytes
    index: int  # which of the step's waits
    n: int
    home: int
    purpose: int
    event: str  # "" for a signal
    path: str  # of the arriving event, "" when every event of the name has to be looked at
    expression: str  # CEL that has to be true as well; "" when equal values are enough
    stored: bytes  # what the expression sees as `event`: JSON; b"" without an expression
    from_ms: int  # log time; what is older does not match
    due_ms: int  # 0: no time-out
    asked_ms: int
    strict: bool = False  # it is an error when the log does not reach back to `from_ms` any more
    without: list[str] = field(default_factory=list)  # ids of events that do not match: the run knows them
    looked: bool = True  # False: what came before it was registered is not looked through yet
    job: int = 0  # the look-back that does so
    late: bool = False  # its time-out is over, and it is decided when the look-back ends
    best: Found | None = None  # the earliest match so far, until then
    confirm: bool = False  # its home is to be told when nothing was found of what came before
    conflict: str = ""  # of a signal: what becomes of it where another run waits for the same
    replaced: bool = False  # a signal is not given to it any more: another run took its place, until its time-out


class Register(Row, tag_field="t", tag=30):
    """A run's home asks the partition of the digest to wait."""

    digest: bytes
    waiter: Waiter


class Withdraw(Row, tag_field="t", tag=31):
    """The home asks no longer: the run has ended, or another of its waits came first."""

    digest: bytes
    run_id: str
    step: bytes
    index: int
    n: int


class WaitAnswer(Row, tag_field="t", tag=32):
    """What was decided: an event, a signal's JSON, a failure; nothing of these is a time-out.

    `clear` decides nothing: no event has come so far.
    """

    run_id: str
    step: bytes
    index: int
    n: int
    found: Found | None = None
    signal: bytes | None = None
    failure: Failure | None = None
    clear: bool = False


class ShapeKnown(Row, tag_field="t", tag=33):
    """A partition forwards the events of a shape from these offsets on (by partition of the events topic)."""

    event: str
    path: str
    generation: int
    partition: int
    floors: dict[int, int]
    at_ms: int  # log time up to which the offsets go, at least


class Seen(Row, tag_field="t", tag=34):
    """An event that is of a shape has come."""

    shape: bytes
    digest: bytes
    found: Found


class ShapeUsed(Row, tag_field="t", tag=35):
    """Somebody waits for events of a shape: the partition that keeps it sees to it that they are forwarded."""

    event: str
    path: str


class SendSignal(Row, tag_field="t", tag=36):
    """A signal was sent; `id` finds what became of it in the history."""

    id: str
    signal: str
    data: bytes  # JSON


class LookedBack(Row, tag_field="t", tag=37):
    """What a look-back has found so far; `done` with the last of it.

    `gone_ms`: log time before which events may have expired unseen, 0 for none.
    """

    shape: bytes
    job: int
    found: list[Found]
    done: bool = False
    gone_ms: int = 0


class CatchUpAsked(Row, tag_field="t", tag=38):
    """A partition that has a new owner asks another one to say when it has told everything that came before."""

    partition: int
    claim: int


class CaughtUp(Row, tag_field="t", tag=39):
    """A partition has applied what stood in its logs at its claim, and told what it forwards of that."""

    partition: int
    claim: int  # of who has asked


class ShapeRow(Row):
    """What a partition knows of a shape: as one that forwards, as one that decides, and as the one that keeps it."""

    event: str
    path: str
    generation: int = 0  # the latest broadcast
    forwarding: bool = False
    # Deciding:
    known: dict[int, int] = field(default_factory=dict)  # partition → generation from which on it forwards
    floors: dict[int, int] = field(default_factory=dict)  # partition of events → the index is complete from there
    since_ms: int = 0  # log time from which on it is
    waiters: int = 0
    told_ms: int = 0  # when its keeper was told that somebody waits
    job: int = 0  # the latest look-back
    looking: bool = False
    look_from_ms: int = 0
    look_floors: dict[int, int] = field(default_factory=dict)
    queued: int = 0  # waiters of the next look-back
    queued_from_ms: int = 0
    watch_ms: int = 0  # when it is looked after next; 0: no timer stands
    # Keeping:
    kept_ms: int = 0  # when it was last used; 0: never
    kept_generation: int = 0
    kept_up: bool = False


class RecentRow(Row):
    """An event that came a moment ago, for those who ask a moment later."""

    shape: bytes
    found: Found


class ShapeBroadcast(Row):
    """A shape as it stands on the functions topic."""

    event: str
    path: str
    generation: int
    up: bool


def waiter_key(digest: bytes, run_id: str, step: bytes, index: int) -> bytes:
    """Key of a waiter, without its table."""
    return digest + run_id.encode() + index.to_bytes(2, "big") + step


def recent_key(digest: bytes, found: Found) -> bytes:
    """Key of a recent event, without its table: by digest, then in the order in which the log has them."""
    return digest + found.event.at_ms.to_bytes(8, "big") + place_of(found)


def place_of(found: Found) -> bytes:
    """A place in the log as bytes, in order."""
    return found.partition.to_bytes(4, "big") + found.offset.to_bytes(8, "big")


def undecided_key(shape: bytes, job: int, key: bytes) -> bytes:
    """Key that says that a waiter is decided when a look-back ends."""
    return shape + job.to_bytes(4, "big") + key
