"""The rows of a partition's state, as its changelog and snapshots carry them.

A key is one table byte and the key's own bytes; the table bytes stand below. Rows are positional msgpack: a field is
only ever added at the end, with a default.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

# Table bytes. `worker/` alone writes the upper case ones that concern the log itself (positions, outbox, order).
POSITIONS = b"P"
LAST_APPLIED = b"L"  # + source topic letter, source partition: the last seq applied from there
LAST_SENT = b"S"  # + target topic letter, target partition: the last seq sent there
OUTBOX = b"O"  # + seq
STORE = b"~"  # local only, never in the log: where this store stands
DEFINITIONS = b"d"
BACK_FILLS = b"l"
KEYED_STATE = b"m"  # + function id, place and name, see `keyed_state_key`
CRON_LINES = b"n"  # + function id, line
CANCELLATIONS = b"q"  # + id: bulk cancellations that are not through yet
RUNS = b"r"  # runs whose code a new owner must start
SUSPENDED_RUNS = b"z"  # runs whose code can do nothing until a timer or an answer comes
STEPS = b"s"
TIMERS = b"t"
EVENT_IDS = b"i"
EVENT_ID_EXPIRY = b"x"
BROADCASTS = b"H"  # + the record's key on the functions topic; its value as it stands there


class Row(msgspec.Struct, array_like=True, gc=False):
    """What every row has in common: positional, small."""


class Positions(Row):
    """How far the inputs are applied: the next offset to read from each, and the turn's time."""

    now_ms: int = 0
    commands: int = 0
    functions: int = 0  # next offset of the functions topic that this partition has taken in
    control: int = 0
    events: dict[int, int] = {}
    events_id: str = ""  # of the events topic that these are offsets of: one that was made anew has another


class Phase(IntEnum):
    """Why a live run is not ended yet."""

    QUEUED = 0
    EXECUTING = 1
    SLEEPING = 2
    WAITING = 3
    BACKING_OFF = 4
    PARKED = 5
    NO_CODE = 6


class Failure(Row):
    """An error as data: the class name, the message, the traceback as text, and whether trying again may help."""

    name: str
    message: str
    stack: str = ""
    retriable: bool = True
    retry_after_ms: int = -1  # >= 0: the user said when, whatever the back-off says
    run_id: str = ""  # of a step that invoked a run: that run
    more: bytes = b""  # JSON object: what else an SDK says of its error (cause, data, code), or nothing
    status: int = 0  # of the HTTP answer that said so


class KnownEvent(Row, tag_field="t", tag=1):
    """An event that was read, checked and given its identity.

    `id` is internal (a ULID); `given_id` the one its sender chose, or "". `json` is the record's value as its sender
    wrote it, checked to be {"name": string, "data": object or null, …}. `ts_ms` is its own time (the sender's `ts`, or
    the log's), `at_ms` the log's. `key` is the record key.
    """

    id: str
    name: str
    json: bytes
    ts_ms: int
    at_ms: int
    given_id: str = ""
    key: bytes | None = None


class Reply(Row):
    """Who waits for a run to end: a step of another run that invoked it, and the partition where that one lives.

    Without a run id it is the cron line `step` that started it.
    """

    partition: int
    run_id: str
    step: bytes


class Lock(Row):
    """A lock that a start takes along, and its run after it; the end of either gives it back."""

    partition: int
    key: bytes


class Gate(Row):
    """One limit on concurrency for one value of its key: who gives out its slots, and which limit it is."""

    id: bytes  # 16 bytes, see `functions/gates.py`
    partition: int
    limit: str  # the limit's name among those of the run's function
    share: bytes  # 8 bytes: its slots are given out fairly between these


class Slots(Row):
    """What a run that is limited needs to execute: a slot at each gate. They are asked for one after the other."""

    gates: list[Gate]  # in the order that all runs keep, so that no two wait for each other
    order_ms: int = 0  # its place in queues
    expires_ms: int = 0  # it is cancelled when it has not begun by then; 0: never
    number: int = 0  # grows each time it asks anew: what belongs to an earlier time is void
    asked: int = 0  # how many gates were asked this time
    granted: int = 0  # how many of these have answered
    begun: bool = False  # its code has executed before
    paused: bytes = b""  # its row among those that a pause holds
    told: bool = False  # the history says that it is queued
    news: list[bytes] = []  # steps that were resolved while it had no slots
    afresh: bool = False  # its code is to be started, beside what the news say


class Start(Row, tag_field="t", tag=12):
    """A run that is to be: what routing makes, admission passes from stage to stage, and `runs` begins.

    It is a command, and stands in the rows of the stages that hold it. `stage` is the last one that it has passed, by
    the numbers of `admission/plan.py`, so that a change of the function's options finds it where it is.
    """

    function_id: str
    run_id: str
    events: list[KnownEvent]
    accepted_ms: int  # when its event was routed: times in queues count from here
    stage: int = 0
    quiet: bool = False  # see Run
    replies: list[Reply] = []
    priority_ms: int = 0  # added to its place in a queue: it goes before those that came so much earlier
    locks: list[Lock] = []
    place: bytes | None = None  # the value of its first concurrency key, where it lives; None without such a key
    slots: Slots | None = None


class Run(Row):
    """One live run. Ended runs leave the state; their history stands on the history topic."""

    function_id: str
    created_ms: int
    events: list[KnownEvent]  # what started it
    phase: int = Phase.EXECUTING
    attempt: int = 0  # attempts of the function body used up since the last recorded step
    quiet: bool = False  # no lifecycle events for runs that were started by one (loop guard)
    retry_due_ms: int = 0  # the function body is tried again then
    suspended: bool = False  # which table it stands in
    announced: bool = False  # its RunScheduled is on the history topic, see `runs/announce.py`
    replies: list[Reply] = []
    place: bytes | None = None  # see Start; the state that its function keeps for this key is here
    finish_due_ms: int = 0  # it is cancelled then
    locks: list[Lock] = []
    waited: bool = False  # it has rows of waits or cancellations, see `records/wait_rows.py`
    slots: Slots | None = None  # None: nothing limits it
    request_version: int = -1  # of the SDK protocol, as the app chose it with its first answer; -1: not chosen


class StepState(IntEnum):
    """How far a step is."""

    PENDING = 0  # a sleep that is not over, a call to be tried again at `due_ms`, or an answer that has not come
    DONE = 1
    FAILED = 2


class StepOp(IntEnum):
    """What kind of step it is, and what `output` holds once it is done (as `records.values.pack_value` writes it)."""

    RUN = 0  # what the callable returned
    SLEEP = 1  # None
    SEND_EVENT = 2  # the events' ids
    WAIT = 3  # {"index": which of the waits, "event": as expressions see it}; None on time-out
    INVOKE = 4  # what the invoked run returned; its failure else, with its `run_id`
    SIGNAL = 5  # {"signal": its name, "data": what was sent along}; None on time-out
    STATE = 6  # of get: what is kept under the name, None if there is nothing
    GATEWAY = 7  # what a request came to that the engine made for an SDK's function
    DEFER = 8  # no step: a function that is to be run once the run has ended, with its data


class Step(Row):
    """What is recorded of one step of a live run."""

    id: str
    op: int
    state: int
    attempt: int = 0  # attempts used up
    order: int = 0  # grows with each recorded result of the partition: replays resolve in this order
    output: bytes | None = None  # as `execution/values.py` writes it
    failure: Failure | None = None
    due_ms: int = 0  # of a pending one: when it is tried again, wakes or times out; else when its result was recorded
    started_ms: int = 0


def is_waiting(row: Step) -> bool:
    """Tell whether nothing can be done about a step before a timer is due or an answer comes.

    An attempt of a callable that is outstanding is no such step, nor one whose result is not committed yet (due -1).
    """
    return row.state == StepState.PENDING and (row.due_ms > 0 or (row.due_ms == 0 and row.op in _ANSWERED))


_ANSWERED = (StepOp.WAIT, StepOp.INVOKE, StepOp.SIGNAL)


class TimerKind(IntEnum):
    """What a timer means when it is due."""

    STEP = 0  # wake the step: a sleep ends, or a call is tried again
    RUN = 1  # try the function body again
    EVENT = 2  # an event with a future `ts` starts its runs
    EVENT_ID_EXPIRY = 3  # a minute's worth of event ids is forgotten
    DEBOUNCE = 10  # a held start goes on, if none has come since
    BATCH = 11  # a batch goes on with what it has
    THROTTLE = 12  # the next start of a queue may go on
    ADMISSION_EXPIRY = 13  # rows of admission stages are looked at, and forgotten if they say nothing any more
    QUEUE = 20  # a run has not begun within the time that its function allows
    PAUSE = 21  # the next of the runs that a pause held may go on; `run_id` is the pause
    FINISH = 40  # a run has taken longer than its function allows
    CRON = 41  # a cron line fires; `run_id` is the function's id, `step` the line
    CRON_CANCEL = 42  # the run that a cron line waits for is cancelled once more
    CANCEL_RUNS = 43  # the next part of a bulk cancellation
    WAIT = 30  # a waiter's time is over
    RECENT_EXPIRY = 31  # a minute's worth of recent events is forgotten
    SHAPE = 32  # look whether anybody still waits for events of a shape
    CAUGHT_UP = 33  # tell a partition that asks that what came before is told; `step` is who asks


class Timer(Row):
    """A row in due order; firing is an input like any other."""

    kind: int
    run_id: str = ""
    step: bytes = b""
    event: KnownEvent | None = None  # for EVENT


class CronLineRow(Row):
    """What a cron line is about to do. Its key is the function's id, NUL, the line, NUL, its time zone."""

    due_ms: int  # when it fires next
    fire_ms: int  # that, with its jitter: the time of its timer
    running: str = ""  # the run that it started last, while it has not ended
    waiting: list[int] = []  # fires that wait for that one to end
    cancel_ms: int = 0  # that one is cancelled once more then


class Cancellation(Row):
    """A bulk cancellation on its way through the runs of a partition, in the order of their ids."""

    function_id: str
    after_ms: int  # runs made from here on
    before_ms: int  # and before
    expression: str  # CEL over `event`, or ""
    cursor: bytes = b""  # the run that was looked at last
    cancelled: int = 0


class BackFill(Row):
    """A new function runs over events that were in the log before. Its key is the function's id, NUL, the partition."""

    function_id: str
    partition: int  # of the events topic
    until: int  # behind the last one: from there on the function was known
    from_ms: int  # log time, if `from_offset` is -1
    from_offset: int
    defined_ms: int  # when it became known
    next: int = -1  # to be read; -1: not placed yet
    events: int = 0  # so far
    sources: dict[int, int] = {}  # sender of published events → the number of its last one


class EventId(Row):
    """Which functions an id that a user gave has started already."""

    functions: list[str]
    until_ms: int


def run_key(run_id: str) -> bytes:
    """Key of a run's row."""
    return RUNS + run_id.encode()


def step_name(step_id: str, occurrence: int) -> bytes:
    """Name a step within its run: its id and how often the id was asked for before."""
    # NUL cannot stand in a step id (checked where ids are declared), so no two steps share a name.
    return step_id.encode() if occurrence == 0 else step_id.encode() + b"\0%d" % occurrence


def split_step_name(name: bytes) -> tuple[str, int]:
    """Take a step's name apart into its id and its occurrence."""
    step_id, _, occurrence = name.partition(b"\0")
    return step_id.decode(), int(occurrence) if occurrence else 0


def timer_key(due_ms: int, kind: int, run_id: str = "", step: bytes = b"") -> bytes:
    """Key of a timer: in due order, unique per thing that waits."""
    return due_ms.to_bytes(8, "big") + bytes([kind]) + run_id.encode() + step


def keyed_state_key(function_id: str, place: bytes, name: str) -> bytes:
    """Key of what a function keeps under a name for one value of its concurrency key."""
    function = function_id.encode()
    return len(function).to_bytes(2, "big") + function + len(place).to_bytes(4, "big") + place + name.encode()


def cron_line_key(function_id: str, line: str, timezone: str) -> bytes:
    """Key of a cron line."""
    return f"{function_id}\0{line}\0{timezone}".encode()
