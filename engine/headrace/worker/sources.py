"""The sources of a partition: its events and its commands, read from exact offsets, held until they are applied."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headrace.adapters.seams import Reader, ReadFailure, Reading, Record
from headrace.records.rows import Positions
from headrace.worker.apply import Inputs
from headrace.worker.layout import Topics

_RECORD_OVERHEAD = 64  # bytes that a record takes beside its value, roughly


def _size(records: list[Record]) -> int:
    return sum([len(record.value or b"") for record in records]) + _RECORD_OVERHEAD * len(records)


def _first_of(records: list[Record], budget: int) -> list[Record]:
    """Take the first records that fill a budget, the one that goes beyond it included."""
    taken = 0
    for number, record in enumerate(records, 1):
        taken += len(record.value or b"") + _RECORD_OVERHEAD
        if taken >= budget:
            return records[:number]
    return records


class _Source:
    """One partition of one topic."""

    __slots__ = ("caught_up_at", "paused", "position", "reading")

    def __init__(self, position: int, caught_up_at: int) -> None:
        self.position = position  # the next offset to be applied
        self.caught_up_at = caught_up_at  # what stood in the log at the claim ends here
        self.reading: Reading | None = None
        self.paused = False


class Sources:
    """Everything that one machine reads. Memory is bounded: beyond `pending_bytes` the events are paused."""

    def __init__(
        self,
        reader: Reader,
        topics: Topics,
        partition: int,
        positions: Positions,
        inputs: Inputs,
        pending_bytes: int,
        arrived: Callable[[], None],
        failed: Callable[[str, int, ReadFailure, str], None],
    ) -> None:
        self._reader = reader
        self._topics = topics
        self._partition = partition
        self._positions = positions
        self._inputs = inputs
        self._pending_bytes_max = pending_bytes
        self._arrived = arrived
        self._failed = failed
        self._events: dict[int, _Source] = {}
        self._commands = _Source(positions.commands, 0)
        self._skipped: dict[int, int] = {}  # partitions of events of which records below an offset are gone unread
        self._index = 0  # of the next record in the first batch
        self._pending_bytes = 0
        self.waiting: deque[list[Record]] = deque()  # read, not applied yet

    def start(self, ends: dict[tuple[str, int], int], events_partitions: list[int]) -> None:
        """Begin to read; `ends` says where the logs ended at the claim."""
        for q in events_partitions:
            end = ends[(self._topics.events, q)]
            source = self._events[q] = _Source(self._positions.events.get(q, 0), end)
            self._read(source, self._topics.events, q, source.position)
        self._commands.caught_up_at = ends[(self._topics.commands, self._partition)]
        self._read(self._commands, self._topics.commands, self._partition, self._commands.position)

    def begin_anew(self, events_partitions: list[int]) -> None:
        """Read the events from their first on: their topic is another one than before."""
        self._positions.events.clear()
        self._skipped = dict.fromkeys(events_partitions, 0)

    def _read(self, source: _Source, topic: str, partition: int, offset: int) -> None:
        source.paused = False
        source.reading = self._reader.read(
            topic,
            partition,
            offset,
            self._take,
            lambda failure, text: self._failed(topic, partition, failure, text),
        )

    def skip_to(self, topic: str, partition: int, offset: int) -> None:
        """Go on at a later offset: what was before is gone from the log."""
        source = self._commands if topic == self._topics.commands else self._events[partition]
        source.position = offset
        if topic == self._topics.events:
            self._skipped[partition] = offset
        self._read(source, topic, partition, offset)

    def read_again(self, topic: str, partition: int) -> None:
        """Go on reading where it stopped."""
        source = self._commands if topic == self._topics.commands else self._events[partition]
        lasts = [records[-1] for records in self.waiting]  # a batch is of one partition
        waiting = [last.offset + 1 for last in lasts if (last.topic, last.partition) == (topic, partition)]
        self._read(source, topic, partition, max([source.position, *waiting]))

    def _take(self, records: list[Record]) -> None:
        self.waiting.append(records)
        self._pending_bytes += _size(records)
        if self._pending_bytes > self._pending_bytes_max:
            self._pause(True)
        self._arrived()

    def _pause(self, pause: bool) -> None:
        # Commands are paused later and go on earlier: what other partitions wait for must not be held up by events.
        sources = [*self._events.values()]
        if not pause or self._pending_bytes > 4 * self._pending_bytes_max:
            sources.append(self._commands)
        for source in sources:
            if source.reading is not None and source.paused != pause:
                source.paused = pause
                if pause:
                    source.reading.pause()
                else:
                    source.reading.resume()

    def apply(self, left: int, budget: int) -> None:
        """Apply up to `left` records of about `budget` bytes to the open turn, and move the positions on."""
        index = self._index
        commands_topic = self._topics.commands
        taken = 0
        while self.waiting and left > 0 and taken < budget:
            records = self.waiting[0]  # of one partition
            part = records[index : index + left]
            size = _size(part)
            if taken + size > budget:  # the first one fits always
                part = _first_of(part, budget - taken)
                size = _size(part)
            if part[0].topic == commands_topic:
                for record in part:
                    self._inputs.commands_record(record)
                self._commands.position = self._positions.commands = part[-1].offset + 1
            else:
                self._apply_events(part)
            taken += size
            left -= len(part)
            index += len(part)
            if index == len(records):
                self.waiting.popleft()
                index = 0
        self._index = index
        self._pending_bytes -= taken
        if self._pending_bytes < self._pending_bytes_max // 2:
            self._pause(False)

    def _apply_events(self, records: list[Record]) -> None:
        partition = records[0].partition
        first = records[0].offset
        if self._skipped and self._skipped.get(partition, first + 1) <= first:
            self._skipped.pop(partition)
            self._inputs.forgive_gaps(partition)
        self._inputs.event_records(records)
        self._events[partition].position = self._positions.events[partition] = records[-1].offset + 1

    def caught_up(self) -> bool:
        """Whether everything that stood in the logs at the claim is applied."""
        return self._commands.position >= self._commands.caught_up_at and all(
            source.position >= source.caught_up_at for source in self._events.values()
        )

    @property
    def progress(self) -> int:
        """A number that grows with every record applied."""
        return self._commands.position + sum(source.position for source in self._events.values())

    @property
    def backlog(self) -> int:
        """Records that were read and are not applied yet."""
        return sum(map(len, self.waiting)) - self._index

    def close(self) -> None:
        """Read no more, and forget what is not applied."""
        for source in (self._commands, *self._events.values()):
            if source.reading is not None:
                source.reading.close()
                source.reading = None
        self.waiting.clear()
        self._index = self._pending_bytes = 0
