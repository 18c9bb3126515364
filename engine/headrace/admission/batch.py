"""Batch: events are gathered, and start one run together: when there are enough, or enough bytes, or time is over.

An event is written once, in a chunk with those that arrived in the same turn; the buffer's own row says how many there
are, so an event costs the same whether it is the first or the ten-thousandth. The run's id is that of the first event's
start: the same batch makes the same run.

With `partitioned` there is one buffer for each partition, wherever an event happens to be: no key, no hop.
"""

from __future__ import annotations

from headrace.admission.gathering import append, begin, fire
from headrace.admission.keys import StageKey, bucket_of, bucket_prefix
from headrace.admission.plan import StageNumber, place_partition
from headrace.errors import BadDeclaration
from headrace.expressions import Expression, compile_expression
from headrace.functions.bindings import event_bindings
from headrace.records.admission_rows import Buffer
from headrace.records.commands import Gathered
from headrace.records.definitions import Batch, Definition
from headrace.records.events import RESERVED_PREFIX
from headrace.records.rows import KnownEvent, Start
from headrace.state import Turn

EVENTS_MAX = 10_000
TIMEOUT_MS_MIN = 10
_FIRED = "inngest/scheduled.timer"
# A batch becomes one row, which has to fit into a record of Kafka (16 MiB) with the event that fills it (3 MiB).
BYTES_MAX = 10 << 20


class BatchStage:
    """Gathers the events of each key."""

    number = StageNumber.BATCH

    def __init__(self, definition: Definition, option: Batch) -> None:
        self._function_id = definition.id
        self._partitioned = option.partitioned
        self._key = StageKey(definition.id, self.number, "" if option.partitioned else option.key)
        self._here = bucket_of(bucket_prefix(definition.id, self.number), b"partition")
        self._if = _read_condition(option.expression)
        self._events_max = min(max(option.max_size, 1), EVENTS_MAX)
        self._bytes_max = min(option.max_bytes or BYTES_MAX, BYTES_MAX)
        self._timeout_ms = max(option.timeout_ms, TIMEOUT_MS_MIN)
        self._by_clock = definition.kind != "sdk"  # there, a run that a cron line starts is no event of a batch
        self._event: KnownEvent | None = None
        self._gathered = True

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Where the key's value belongs; an event that starts alone, or any if partitioned, stays where it is."""
        if self._partitioned or not self.is_gathered(start):
            return None
        return self._key.shared_place(start)

    def decide(self, turn: Turn, start: Start) -> bool:
        """Add it to the buffer; it passes alone where `if_` is not true."""
        if not self.is_gathered(start):
            return True
        bucket = self._here if self._partitioned else self._key.shared_bucket(start)
        event = start.events[0]
        size = len(event.json) if event.key is None else len(event.json) + len(event.key)
        buffers = turn.state.admission.buffers
        buffer = buffers.get(bucket)
        if buffer is None:
            buffer = Buffer()
        elif buffer.count and (buffer.size + size > self._bytes_max or buffer.count >= self._events_max):
            fire(turn, bucket, buffer)
        if not buffer.count:
            begin(turn, bucket, buffer, start, self._timeout_ms)
        append(turn, bucket, buffer, start.replies, [event], size)
        if start.quiet and buffer.start is not None:
            buffer.start.quiet = True
        if buffer.count >= self._events_max or buffer.size >= self._bytes_max:
            fire(turn, bucket, buffer)
        buffers.put(bucket, buffer)
        return False

    def gather(self, turn: Turn, events: list[KnownEvent]) -> int:
        """Add events of one name to a buffer that has been begun here, without starts of their own; return how many.

        What `place` and `decide` come to for most events of a busy function, at a fraction of the time. Only for a
        stage that is the first one, and for events that nobody has invoked.
        """
        if self._if is not None or events[0].name[: len(RESERVED_PREFIX)] == RESERVED_PREFIX:
            return 0
        if self._partitioned:
            return self._gather(turn, self._here, events)
        if not self._key.is_shared:
            events = events[:1]  # the next one may have another key
        event = events[0]
        place = self._key.shared_place_of(event, turn.now_ms)
        if place_partition(place, turn.partitions) != turn.partition:
            return 0
        return self._gather(turn, self._key.shared_bucket_of(event, turn.now_ms), events)

    def forward(self, turn: Turn, events: list[KnownEvent]) -> bool:
        """Send events of one name to where they are gathered, all in one command; False if that is here.

        Only what `gather` would take there, and only for events whose own ids say where they stood in the log.
        """
        if self._if is not None or self._partitioned or not self._key.is_shared:
            return False
        target = place_partition(self._key.shared_place_of(events[0], turn.now_ms), turn.partitions)
        if target == turn.partition:
            return False
        turn.command(target, Gathered(self._function_id, events))
        return True

    def _gather(self, turn: Turn, bucket: bytes, events: list[KnownEvent]) -> int:
        buffers = turn.state.admission.buffers
        buffer = buffers.get(bucket)
        if buffer is None or not buffer.count:
            return 0
        taken = events[: self._events_max - buffer.count]
        size = sum([len(event.json) if event.key is None else len(event.json) + len(event.key) for event in taken])
        if buffer.size + size > self._bytes_max:
            taken = events[:1]
            size = len(taken[0].json) + len(taken[0].key or b"")
            if buffer.size + size > self._bytes_max:
                return 0
        append(turn, bucket, buffer, (), taken, size)
        if buffer.count >= self._events_max or buffer.size >= self._bytes_max:
            fire(turn, bucket, buffer)
        buffers.put(bucket, buffer)
        return len(taken)

    def is_gathered(self, start: Start) -> bool:
        """Tell whether it becomes part of a batch, or starts a run of its own."""
        if len(start.events) != 1:
            return False  # a batch already, which is started again
        event = start.events[0]
        if not self._by_clock and event.name == _FIRED:
            return False
        if self._if is None:
            return True
        if event is not self._event:
            self._event = event
            try:
                self._gathered = self._if.matches({"event": event_bindings(event)}, start.accepted_ms)
            except (ValueError, RecursionError):  # JSON by its form, but no value: it matches no expression
                self._gathered = False
        return self._gathered


def _read_condition(expression: str) -> Expression | None:
    if not expression:
        return None
    try:
        return compile_expression(expression, variables=("event",), option="if_")
    except BadDeclaration:  # checked where it is declared; it must not stop the partition: no event is gathered
        return compile_expression("false", variables=("event",), option="if_")


def make_batch(definition: Definition) -> BatchStage | None:
    """Make the stage of a function that declares it."""
    option = definition.batch
    return None if option is None else BatchStage(definition, option)
