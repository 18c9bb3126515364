"""Back-fill: the log of events is read from an earlier place on, for a function that is new.

How far it is stands in its row and moves with the commit that holds what follows from the events, so each of them
counts once. The next ones are read when those before are committed, and while there is room for the code they start.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.adapters.seams import Handle, ReadFailure, Reading, Record
from headrace.errors import BadRecord
from headrace.records.commands import AnyCommand, BackFilled, FilledBack
from headrace.records.events import HEADER_SOURCE, read_event
from headrace.records.rows import BackFill
from headrace.worker.apply import Inputs
from headrace.worker.event_records import header_of, known_event
from headrace.worker.overlay import Overlay
from headrace.worker.surroundings import Surroundings

_AGAIN_S = 0.5
_ROOM_S = 0.05
_PART = 200  # events of one command
_TOLD_EVERY = 100_000  # records, between two notes for the operator


class BackFills:
    """All back-fills of one machine."""

    def __init__(
        self,
        around: Surroundings,
        overlay: Overlay,
        inputs: Inputs,
        submit: Callable[[AnyCommand], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self.around = around
        self.overlay = overlay
        self.inputs = inputs
        self.submit = submit
        self.tell = tell
        self._fills: dict[bytes, _Fill] = {}

    def start(self) -> None:
        """Go on where the owner before was."""
        for key, _ in self.overlay.back_fills.scan(b""):
            self.go_on(key)

    def go_on(self, key: bytes) -> None:
        """Begin a back-fill, read on what was committed of it, or end it."""
        row = self.overlay.back_fills.get(key)
        fill = self._fills.get(key)
        if row is None:
            if fill is not None:
                self._fills.pop(key).end()
        elif fill is None:
            fill = self._fills[key] = _Fill(self, key, row)
            fill.place()
        else:
            fill.committed(row)

    def close(self) -> None:
        """Stop reading."""
        for fill in self._fills.values():
            fill.close()
        self._fills.clear()


class _Fill:
    """One partition of events, read for one function."""

    def __init__(self, home: BackFills, key: bytes, row: BackFill) -> None:
        self._home = home
        self._key = key
        self._row = row
        self._asked = row.next  # up to where it was handed to the machine
        self._told = row.next
        self._reading: Reading | None = None
        self._timer: Handle | None = None
        self._closed = False

    def place(self) -> None:
        """Find where to read from, and begin."""
        if self._closed:
            return
        self._timer = None
        row, log, topic = self._row, self._home.around.log, self._home.around.topics.events

        def bounded(bounds: tuple[int, int] | None, error: str | None) -> None:
            if self._closed:
                return
            if bounds is None:
                self._later(_AGAIN_S, self.place)
            elif row.next >= 0 or row.from_offset >= 0:
                self._begin(bounds[0], max(row.next, row.from_offset))
            else:
                first = bounds[0]
                log.offset_at(topic, row.partition, row.from_ms, lambda at, problem: placed(first, at))

        def placed(first: int, at: int | None) -> None:
            if self._closed:
                return
            if at is None:
                self._later(_AGAIN_S, self.place)
            else:
                self._begin(first, at)

        log.bounds(topic, row.partition, bounded)

    def _begin(self, first: int, at: int) -> None:
        row = self._row
        at = min(max(first, at), row.until)
        if row.next < 0:
            self._told = at
            self._home.tell(
                "back_fill_begins",
                f"{row.function_id} runs over the events of partition {row.partition} from offset {at} up to "
                f"{row.until}, {row.until - at} records: it is new, and starts from there",
            )
        elif row.next < at:
            self._home.tell(
                "back_fill_gap",
                f"{at - row.next} records of partition {row.partition} have expired before {row.function_id} came to "
                "them",
            )
        if at >= row.until:
            self._hand_over(row.until, [], [])
            return
        topic = self._home.around.topics.events
        self._reading = self._home.around.reader.read(topic, row.partition, at, self._take, self._failed)

    def _take(self, records: list[Record]) -> None:
        events: list[BackFilled] = []
        sources: list[tuple[int, int]] = []
        until = self._row.until
        for record in records:
            if record.offset >= until:
                break
            late = self._read(record)
            if late is not None:
                events.append(late[0])
                sources.append(late[1])
            if len(events) == _PART:
                self._hand_over(record.offset + 1, events, sources)
                events, sources = [], []
        if events or self._asked < min(records[-1].offset + 1, until):
            self._hand_over(min(records[-1].offset + 1, until), events, sources)
        if self._reading is not None:
            self._reading.pause()  # until it is committed

    def _read(self, record: Record) -> tuple[BackFilled, tuple[int, int]] | None:
        source = header_of(record, HEADER_SOURCE)
        number = (-1, -1)
        try:
            fields = read_event(record.value, record.key, internal=source is not None)
            if source is not None:
                sender, seq, _ = (int(part) for part in source.split(b":"))
                number = (sender, seq)
        except (BadRecord, ValueError):
            return None
        if not self._home.inputs.routes.wanted(fields.name):
            return None
        cause = self._home.inputs.cause(record)
        return BackFilled(self._row.function_id, known_event(record, fields, cause), cause), number

    def _hand_over(self, upto: int, events: list[BackFilled], sources: list[tuple[int, int]]) -> None:
        self._home.submit(FilledBack(self._key, self._asked, upto, events, sources))
        self._asked = upto

    def committed(self, row: BackFill) -> None:
        """Read on when everything that was handed over is committed."""
        self._row = row
        if row.next != self._asked or self._timer is not None:
            return
        if row.next - self._told >= _TOLD_EVERY:
            self._told = row.next
            left = row.until - row.next
            self._home.tell("back_fill_goes_on", f"{row.function_id}: {left} records of partition {row.partition} left")
        if self._home.around.execution.full:
            self._later(_ROOM_S, self._look_for_room)
        elif self._reading is None:
            self.place()
        else:
            self._reading.resume()

    def _look_for_room(self) -> None:
        self._timer = None
        self.committed(self._row)

    def _failed(self, failure: ReadFailure, text: str) -> None:
        self._reading = None
        if not self._closed and self._row.next == self._asked:
            self._later(_AGAIN_S, self.place)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = self._home.around.loop.call_later(seconds, call)

    def end(self) -> None:
        """Say that it is through, and stop."""
        if not self._closed:
            row = self._row
            self._home.tell(
                "back_fill_done", f"{row.function_id} has come to offset {row.until} of partition {row.partition}"
            )
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._reading is not None:
            self._reading.close()
            self._reading = None
