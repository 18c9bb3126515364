"""Commands: everything that can happen to a partition, whoever asks for it.

Some travel over `headrace.commands` from one partition to another (or from the console), in an `Envelope`; most are
handed to the partition in the process that owns it: results of executions. A due timer is `TimerFired`.
"""

from __future__ import annotations

import msgspec

from headrace.records.codec import Packed
from headrace.records.command import Command as Command
from headrace.records.gate_commands import Acquire as Acquire
from headrace.records.gate_commands import Granted as Granted
from headrace.records.gate_commands import Release as Release
from headrace.records.rows import Failure, KnownEvent, Row, Start
from headrace.records.sdk_commands import NoteMetadata as NoteMetadata
from headrace.records.sdk_commands import VersionChosen as VersionChosen
from headrace.records.waits import (
    CatchUpAsked,
    CaughtUp,
    LookedBack,
    Register,
    Seen,
    SendSignal,
    ShapeKnown,
    ShapeUsed,
    WaitAnswer,
    Withdraw,
)


class CancelRun(Command, tag=2):
    """End a run now; its code is interrupted and its steps are dropped."""

    run_id: str
    reason: str


class Broadcast(Command, tag=3):
    """A record of the functions topic: a definition, or what else every partition must know (records/broadcasts.py).

    `value` is None when it was removed.
    """

    key: bytes
    value: bytes | None


class StepReport(Command, tag=4):
    """One attempt of a step has ended. `output` or `failure`, never both."""

    run_id: str
    step: bytes
    op: int
    attempt: int
    started_ms: int
    output: bytes | None = None
    failure: Failure | None = None
    output_json: str = ""  # for people: the same value as JSON
    retries: int = -1  # this step's own number of retries, or -1 for the function's


class SleepAsked(Command, tag=5):
    """The code asked to sleep until `due_ms`, or, when that is 0, for `duration_ms` from the time on when it asked.

    `asked_ms` is that time, by the partition's clock; 0: the turn's.
    """

    run_id: str
    step: bytes
    due_ms: int
    duration_ms: int
    asked_ms: int = 0


class EventsAsked(Command, tag=6):
    """The code asked to publish events; each is JSON, with its record key (or None)."""

    run_id: str
    step: bytes
    events: list[tuple[bytes, bytes | None]]


class RunReport(Command, tag=7):
    """One attempt of the function body has ended.

    `dead` are the places, among the run's events, of those that go to the dead letters if this fails the run.
    """

    run_id: str
    attempt: int
    output: bytes | None = None
    failure: Failure | None = None
    output_json: str = ""
    dead: list[int] = msgspec.field(default_factory=list)


class Suspended(Command, tag=10):
    """The code can do nothing until one of these steps is resolved: a new owner need not start it before."""

    run_id: str
    waiting: list[bytes]


class AnnounceRuns(Command, tag=11):
    """These runs were started a moment ago: those that are still alive are to be seen."""

    run_ids: list[str]


class CodeMissing(Command, tag=8):
    """No code for the run's function is loaded here (True), or it is there again (False).

    `reason` says why the app of an SDK cannot be called.
    """

    run_id: str
    missing: bool
    reason: str = ""


class Answer(Command, tag=13):
    """What an invoked run came to, for the step that waits for it; `run_id` and `step` are the caller's.

    `failure` as well when a stage dropped what was to be a run: then it names the stage.
    """

    run_id: str
    step: bytes
    child_run_id: str
    output: bytes | None = None
    failure: Failure | None = None


class InvokeAsked(Command, tag=14):
    """The code asked to run another function and wait for its result.

    `data` is JSON, `meta` too: that of the event; timeout 0: no time-out.
    """

    run_id: str
    step: bytes
    function_id: str
    data: bytes
    timeout_ms: int
    meta: bytes = b"null"


class DeferAsked(Command, tag=24):
    """The code wants another function to be run once the run has ended. `data` and `meta` are JSON, of its event.

    `step` is what `records.invoked.deferred_name` makes of its hash.
    """

    run_id: str
    step: bytes
    function_id: str
    data: bytes
    meta: bytes


class DeferDropped(Command, tag=25):
    """The code does not want it any more."""

    run_id: str
    step: bytes


class Wait(Row):
    """An event that the code waits for: by name, and by a path that is equal on both sides or an expression."""

    event: str
    match: str = ""
    expression: str = ""


class WaitAsked(Command, tag=15):
    """The code asked to wait for the first of these events. `since_run`: also those since the run's first event."""

    run_id: str
    step: bytes
    waits: list[Wait]
    timeout_ms: int
    since_run: bool = False


class SignalAsked(Command, tag=16):
    """The code asked to wait for a signal, which anybody may send by its name."""

    run_id: str
    step: bytes
    signal: str
    timeout_ms: int
    conflict: str = ""  # where another run waits for it: one of waits.CONFLICTS; "": both may


class StateAsked(Command, tag=17):
    """The code asked for the keyed state of its function: `verb` is get, set or delete."""

    run_id: str
    step: bytes
    verb: str
    name: str
    value: bytes | None = None


class TakenUp(Command, tag=18):
    """The partition has a new owner, and waits are decided here: the other partitions are to say what has come."""

    claim: int


class ResumeRun(Command, tag=23):
    """An operator lets a parked run go on: what has used up its retries has all of them again."""

    run_id: str


class ReleaseLock(Command, tag=60):
    """What held a singleton's lock has ended, or was dropped on its way; `run_id` says who that was."""

    key: bytes
    run_id: str


class CancelStart(Command, tag=61):
    """Cancel what a start has become: it is held by a stage, or is a run, on the first partition of `trail`.

    Where it is neither it has gone on, and the command follows it to the next one, behind it on the same way.
    """

    function_id: str
    run_id: str
    reason: str
    trail: list[int]


class Gathered(Command, tag=62):
    """Events that go into the batch of a function, which is gathered elsewhere; no other start can become of them."""

    function_id: str
    events: list[KnownEvent]


class CancelRuns(Command, tag=50):
    """Cancel the runs of a function that were made from `after_ms` on and before `before_ms`, and match; `id` names it.

    `expression` is CEL over `event`, or "" for all of them.
    """

    id: str
    function_id: str
    after_ms: int
    before_ms: int
    expression: str


class BackFilled(Command, tag=51):
    """An event from before a function was known, which is to start it; `cause` is its place in the log, or -1."""

    function_id: str
    event: KnownEvent
    cause: int = -1


class FilledBack(Command, tag=52):
    """What was read of a back-fill, from the offset `first` (-1: its beginning) up to `next`.

    Of an event that a step published `sources` has the sender and the number that it had there, else two -1.
    """

    key: bytes
    first: int
    next: int
    events: list[BackFilled]
    sources: list[tuple[int, int]]


class TimerFired(Command, tag=9):
    """A timer is due."""

    key: bytes


AnyCommand = (
    KnownEvent
    | CancelRun
    | Broadcast
    | StepReport
    | SleepAsked
    | EventsAsked
    | RunReport
    | Suspended
    | AnnounceRuns
    | CodeMissing
    | CancelRuns
    | BackFilled
    | FilledBack
    | TimerFired
    | Start
    | Answer
    | InvokeAsked
    | DeferAsked
    | DeferDropped
    | WaitAsked
    | SignalAsked
    | StateAsked
    | Acquire
    | Granted
    | Release
    | ResumeRun
    | ReleaseLock
    | CancelStart
    | Gathered
    | VersionChosen
    | NoteMetadata
    | Register
    | Withdraw
    | WaitAnswer
    | ShapeKnown
    | Seen
    | ShapeUsed
    | SendSignal
    | LookedBack
    | TakenUp
    | CatchUpAsked
    | CaughtUp
)
# What goes from one partition to another.
Travelling = (
    KnownEvent
    | CancelRun
    | CancelRuns
    | BackFilled
    | Acquire
    | Granted
    | Release
    | ResumeRun
    | ReleaseLock
    | CancelStart
    | Gathered
    | NoteMetadata
    | Start
    | Answer
    | Register
    | Withdraw
    | WaitAnswer
    | ShapeKnown
    | Seen
    | ShapeUsed
    | SendSignal
    | CatchUpAsked
    | CaughtUp
)


class Envelope(msgspec.Struct, array_like=True, gc=False):
    """A command on its way. `source` is the sending partition, or -1 for the console, whose commands carry an `id`.

    `prev` is the seq sent before this one from the same source to the same target (-1: none).
    """

    source: int
    seq: int
    prev: int
    command: Travelling
    id: str = ""


ENVELOPE: Packed[Envelope] = Packed("command", Envelope)
