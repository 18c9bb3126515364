"""Appends to the log in memory with one idempotent producer. The twin of `kafka_appender`.

Per partition there is a lane. What is appended in one instant flies together and lands together; flights of one lane
land in the order of the calls and are reported in it, whatever their delays. Between lanes there is no order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.adapters.memory_lane import Batch, Entry, Lane
from headrace.adapters.seams import AppendReport, Outgoing

if TYPE_CHECKING:
    from headrace.adapters.memory_node import MemoryNode
    from headrace.adapters.seams import BatchReport


class MemoryAppender:
    """One producer of one node. Implements `Appender`."""

    def __init__(self, node: MemoryNode) -> None:
        self.node = node
        self._cluster = node.cluster
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._calls = 0
        self._refusing = 0  # appends and sends that are about to be reported without a lane
        self._fatal: str | None = None
        self._closed = False

    @property
    def unreported(self) -> int:
        """How many appends and sends have not been reported yet."""
        return self._refusing + len({entry[0] for lane in self._lanes.values() for entry in lane.open_entries()})

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        """Send one record; reports of one partition come in the order of the appends."""
        self._enter()
        entry: Entry = (self._calls, report, -1, None, value, None)
        if self._fatal is not None:
            self._refuse([entry])
            return
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(self, topic, partition)
        lane.add(entry)

    def send(self, records: Sequence[Outgoing], report: BatchReport) -> None:
        """Send a batch and report once; a later record may be in the log although an earlier one failed."""
        self._enter()
        batch = Batch(report, len(records))
        if not records:
            self._refusing += 1
            self._cluster.loop.call_soon(self.node.call, self._tell_empty, batch)
            return
        calls, lanes = self._calls, self._lanes
        if self._fatal is not None:
            entries: list[Entry] = [(calls, batch, index, None, None, None) for index in range(len(records))]
            self._refuse(entries)
            return
        for index, (topic, partition, key, value, headers) in enumerate(records):
            lane = lanes.get((topic, partition))
            if lane is None:
                lane = lanes[topic, partition] = Lane(self, topic, partition)
            lane.add((calls, batch, index, key, value, headers))

    def renew(self) -> None:
        """Use a new producer from now on; what is still open is reported as failed first."""
        if self._fatal is None:
            self._end("the producer was replaced before this was acknowledged")
        self._fatal = None

    def close(self, timeout_ms: int) -> None:
        """Send what is queued at once, as no time can pass here; what is held up is reported as failed."""
        if self._closed:
            return
        self._closed = True
        held_up = [entry for lane in self._lanes.values() for entry in lane.hurry()]
        self._fail_soon(held_up, "the appender was closed before this was acknowledged")

    def die(self) -> None:
        """End with the process: no reports, and what was on its way may or may not arrive."""
        self._closed = True
        for lane in self._lanes.values():
            lane.die()
        self._lanes = {}

    # --- for the lanes ------------------------------------------------------------------------------------------

    def fail_fatally(self) -> None:
        """Let everything fail until the producer is renewed."""
        if self._fatal is None:
            self._end("fatal: the producer is fenced or out of order")
            self._fatal = "fatal: the producer failed before"

    def tell(self, lane: Lane) -> None:
        """Report the lane's next flight; runs as the node's code."""
        if lane.dead or not lane.landed:
            return
        flight = lane.landed[0]
        entries, offsets, errors = flight.entries, flight.offsets, flight.errors
        try:
            for place in range(flight.told, len(entries)):
                flight.told = place + 1
                _, report, index, _, _, _ = entries[place]
                error = None if errors is None else errors.get(place)
                if index < 0:
                    report(offsets[place], error)  # type: ignore[operator]
                elif report.note(index, error):  # type: ignore[union-attr]
                    report.report(report.failed)  # type: ignore[union-attr]
                if lane.dead:
                    return  # renewed by a report: the rest has been reported as failed
        except BaseException:
            if not lane.dead:
                self._cluster.loop.call_soon(self.node.call, self.tell, lane)
            raise
        lane.landed.popleft()

    # --- inside -------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        if self._closed:
            raise ValueError("the appender is closed")
        self._calls += 1

    def _end(self, text: str) -> None:
        """Give up the lanes, and report what is open as failed, in the order of the calls."""
        lanes, self._lanes = self._lanes, {}
        entries: list[Entry] = []
        for lane in lanes.values():
            entries += lane.open_entries()
            lane.die()
        self._fail_soon(entries, text)

    def _fail_soon(self, entries: list[Entry], text: str) -> None:
        if entries:
            entries.sort(key=_call_number)
            self._cluster.loop.call_soon(self.node.call, self._fail, entries, text)

    def _fail(self, entries: list[Entry], text: str) -> None:
        told = 0
        try:
            for _, report, index, _, _, _ in entries:
                told += 1
                if index < 0:
                    report(-1, text)  # type: ignore[operator]
                elif report.note(index, text):  # type: ignore[union-attr]
                    report.report(report.failed)  # type: ignore[union-attr]
        except BaseException:
            self._fail_soon(entries[told:], text)
            raise

    def _refuse(self, entries: list[Entry]) -> None:
        """Report what is asked of a dead producer as failed: one append, or one batch."""
        self._refusing += 1
        self._cluster.loop.call_soon(self.node.call, self._tell_refused, entries, self._fatal)

    def _tell_refused(self, entries: list[Entry], text: str) -> None:
        self._refusing -= 1
        self._fail(entries, text)

    def _tell_empty(self, batch: Batch) -> None:
        self._refusing -= 1
        batch.report(None)


def _call_number(entry: Entry) -> int:
    return entry[0]
