"""Look-back: the log of events is read for those who asked before their partition was told of everything.

What is to be read stands in the shape's row, so a new owner begins it anew; what is found comes back as an input, and a
repeat of it changes nothing. One partition of events is read at a time, from the time asked for to exactly the offset
from which on the row says that the index has everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headrace.adapters.seams import Handle, ReadFailure, Reading, Record
from headrace.errors import BadRecord
from headrace.records.commands import AnyCommand
from headrace.records.events import HEADER_SOURCE, read_event
from headrace.records.waits import Found, LookedBack, ShapeRow
from headrace.worker.apply import Inputs
from headrace.worker.back_fill import BackFills
from headrace.worker.event_records import header_of, known_event
from headrace.worker.overlay import Overlay
from headrace.worker.surroundings import Surroundings
from headrace.worker.turn import FILL

_AGAIN_S = 0.5
_SHOWN_RECORDS = 100_000  # to be read, from which on the operator is told


class LookBacks:
    """All look-backs of one machine."""

    def __init__(
        self,
        around: Surroundings,
        overlay: Overlay,
        inputs: Inputs,
        submit: Callable[[AnyCommand], None],
        now_ms: Callable[[], int],
        tell: Callable[[str, str], None],
    ) -> None:
        self.around = around
        self.inputs = inputs
        self.submit = submit
        self.now_ms = now_ms
        self.tell = tell
        self._overlay = overlay
        self._searches: dict[bytes, _Search] = {}
        self._fills = BackFills(around, overlay, inputs, submit, tell)

    def start(self) -> None:
        """Begin what the owner before has not ended."""
        self._fills.start()
        for key, row in self._overlay.waiting.shapes.scan(b""):
            if row.looking:
                self.begin(key)

    def begin(self, shape: bytes, what: str = "") -> None:
        """Begin the look-back that the shape's row says, in place of one under way; or go on with a back-fill."""
        if what == FILL:
            self._fills.go_on(shape)
            return
        row = self._overlay.waiting.shapes.get(shape)
        if row is None or not row.looking:
            return
        known = self._searches.get(shape)
        if known is not None:
            if known.job == row.job:
                return
            known.close()
        search = self._searches[shape] = _Search(self, shape, row)
        search.start()

    def close(self) -> None:
        """Stop reading."""
        for search in self._searches.values():
            search.close()
        self._searches.clear()
        self._fills.close()


class _Search:
    """One look-back."""

    def __init__(self, home: LookBacks, shape: bytes, row: ShapeRow) -> None:
        self.job = row.job
        self._home = home
        self._shape = shape
        self._event = row.event
        self._needle = row.event.encode()
        self._from_ms = row.look_from_ms
        self._left = deque(sorted(row.look_floors.items()))
        self._gone_ms = 0
        self._reading: Reading | None = None
        self._again: Handle | None = None
        self._closed = False

    def start(self) -> None:
        """Go on with the next partition of events; say so when there is none left."""
        if self._closed:
            return
        if not self._left:
            self._closed = True
            self._home.submit(LookedBack(self._shape, self.job, [], True, self._gone_ms))
            return
        partition, floor = self._left[0]
        topic = self._home.around.topics.events

        def bounded(bounds: tuple[int, int] | None, error: str | None) -> None:
            if self._closed:
                return
            if bounds is None:
                self._try_again()
                return
            first = bounds[0]
            self._home.around.log.offset_at(
                topic, partition, self._from_ms, lambda at, problem: placed(first, at, problem)
            )

        def placed(first: int, at: int | None, error: str | None) -> None:
            if self._closed:
                return
            if at is None:
                self._try_again()
                return
            if first > 0 and at <= first:  # the log does not reach back so far, or begins just there
                self._gone_ms = max(self._gone_ms, self._home.now_ms() - self._home.around.limits.events_retention_ms)
            self._read(partition, max(first, at), floor)

        self._home.around.log.bounds(topic, partition, bounded)

    def _try_again(self) -> None:
        self._again = self._home.around.loop.call_later(_AGAIN_S, self.start)

    def _read(self, partition: int, offset: int, floor: int) -> None:
        if offset >= floor:
            self._next()
            return
        if floor - offset >= _SHOWN_RECORDS:
            self._home.tell(
                "looking_back",
                f"{floor - offset} events of partition {partition} are read for runs that wait for {self._event!r} "
                "and asked before it was known that anybody does",
            )
        self._reading = self._home.around.reader.read(
            self._home.around.topics.events,
            partition,
            offset,
            lambda records: self._take(records, floor),
            lambda failure, text: self._failed(failure),
        )

    def _failed(self, failure: ReadFailure) -> None:
        self._reading = None
        if not self._closed:
            self._try_again()  # from the bounds on: what is gone meanwhile is not read

    def _next(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        self._left.popleft()
        self.start()

    def _take(self, records: list[Record], floor: int) -> None:
        found: list[Found] = []
        for record in records:
            if record.offset < floor and record.value is not None and self._needle in record.value:
                self._look_at(record, found)
        if found:
            self._home.submit(LookedBack(self._shape, self.job, found))
        if records[-1].offset >= floor - 1:
            self._next()

    def _look_at(self, record: Record, found: list[Found]) -> None:
        internal = header_of(record, HEADER_SOURCE) is not None
        try:
            fields = read_event(record.value, record.key, internal=internal)
        except BadRecord:
            return
        event = known_event(record, fields, self._home.inputs.cause(record))
        if event.name == self._event and event.at_ms >= self._from_ms:
            found.append(Found(record.partition, record.offset, event))

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        if self._again is not None:
            self._again.cancel()
