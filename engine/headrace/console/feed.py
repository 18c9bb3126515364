"""Feeds the projection: reads every partition of its topics, in batches, and keeps an eye on how far behind it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from headrace.adapters.seams import Clock, Handle, Loop, Partitions, Reader, ReadFailure, Reading, Record
from headrace.console.projection import Projection
from headrace.console.retention import Retention

logger = logging.getLogger("headrace.console")


class Source(NamedTuple):
    """A topic to read, with how many partitions it has."""

    topic: str
    partitions: int


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """How much is done at once, and how often things are looked after."""

    batch_records: int = 5_000  # one transaction
    batch_wait_ms: int = 25  # how long the first record of a batch waits for others
    measure_ms: int = 2_000  # between two questions for the ends of the logs; longer with many partitions
    measure_partition_ms: int = 50
    tidy_ms: int = 2_000  # between two looks for what is too old or too much
    tidy_again_ms: int = 50  # while there is something to delete
    again_ms_min: int = 1_000  # before a reading that failed is tried again; doubles
    again_ms_max: int = 30_000
    sample_behind: int = 1_000_000  # events behind, from which on only one in `sample_stride` is kept
    sample_stride: int = 10


class Feed:
    """Moves records from the topics into the projection, on the loop's thread.

    `on_error` is told what cannot be gone on after (the disk is full, say); the process ends then.
    """

    def __init__(
        self,
        projection: Projection,
        retention: Retention,
        sources: Sequence[Source],
        events_topic: str,
        *,
        reader: Reader,
        partitions: Partitions,
        loop: Loop,
        clock: Clock,
        on_error: Callable[[BaseException], None],
        limits: FeedLimits | None = None,
    ) -> None:
        self._projection = projection
        self._retention = retention
        self._places = [(source.topic, number) for source in sources for number in range(source.partitions)]
        self._events_topic = events_topic
        self._reader = reader
        self._partitions = partitions
        self._loop = loop
        self._clock = clock
        self._on_error = on_error
        self._limits = limits or FeedLimits()
        self._pending: list[Record] = []
        self._flushing: Handle | None = None
        self._readings: dict[tuple[str, int], Reading] = {}
        self._failures: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._closed = False

    def start(self) -> None:
        """Begin to read where the archive stands."""
        for place in self._places:
            if self._projection.position(*place) is None:
                self._seek(place)
            else:
                self._open(place)
        self._measure()
        self._tidy()

    def close(self) -> None:
        """Apply what has arrived and stop."""
        self._flush()
        self._closed = True
        for reading in self._readings.values():
            reading.close()

    def _open(self, place: tuple[str, int]) -> None:
        offset = self._projection.position(*place) or 0
        self._readings[place] = self._reader.read(*place, offset, self._take, partial(self._fail, place))

    def _seek(self, place: tuple[str, int]) -> None:
        """Begin at the start of the log: nothing is known yet, or what would come next is gone."""
        self._partitions.bounds(*place, partial(self._sought, place))

    def _sought(self, place: tuple[str, int], bounds: tuple[int, int] | None, error: str | None) -> None:
        if self._closed:
            return
        if bounds is None:
            self._try_again(place, f"Kafka did not say where the log begins: {error}")
            return
        stood = self._projection.position(*place)
        missed = max(0, bounds[0] - stood) if stood is not None else 0
        if missed:
            logger.warning(
                "%s[%d]: %d records had expired before the console could read them", place[0], place[1], missed
            )
        self._attempt(lambda: self._projection.start_at(*place, bounds[0], missed=missed))
        self._open(place)

    def _fail(self, place: tuple[str, int], failure: ReadFailure, text: str) -> None:
        self._flush()  # so that the position is that of the last record that came
        if self._closed:
            return
        if failure == ReadFailure.OUT_OF_RANGE:
            self._seek(place)
        else:
            self._try_again(place, text)

    def _try_again(self, place: tuple[str, int], text: str) -> None:
        failures = self._failures.get(place, 0)
        self._failures[place] = failures + 1
        delay_ms = min(self._limits.again_ms_min << min(failures, 10), self._limits.again_ms_max)
        logger.warning("%s[%d] cannot be read, again in %.0f s: %s", *place, delay_ms / 1000, text)
        again = self._open if self._projection.position(*place) is not None else self._seek
        self._loop.call_later(delay_ms / 1000, self._unless_closed, again, place)

    def _unless_closed(self, what: Callable[[tuple[str, int]], None], place: tuple[str, int]) -> None:
        if not self._closed:
            what(place)

    def _take(self, records: list[Record]) -> None:
        if self._closed:
            return
        self._failures.pop(records[0][:2], None)
        self._pending += records
        if len(self._pending) >= self._limits.batch_records:
            self._flush()
        elif self._flushing is None:
            self._flushing = self._loop.call_later(self._limits.batch_wait_ms / 1000, self._flush)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._pending and not self._closed:
            pending, self._pending = self._pending, []
            self._attempt(lambda: self._projection.apply(pending))

    def _measure(self) -> None:
        if self._closed:
            return
        behind = sum(
            end - (self._projection.position(topic, number) or 0)
            for (topic, number), end in self._ends.items()
            if topic == self._events_topic
        )
        far = behind > self._limits.sample_behind
        self._projection.event_stride = self._limits.sample_stride if far else 1
        self._attempt(lambda: self._projection.note_ends(self._ends, self._clock.wall_ms()))
        for place in self._places:
            self._partitions.bounds(*place, partial(self._measured, place))
        interval_ms = max(self._limits.measure_ms, self._limits.measure_partition_ms * len(self._places))
        self._loop.call_later(interval_ms / 1000, self._measure)

    def _measured(self, place: tuple[str, int], bounds: tuple[int, int] | None, _error: str | None) -> None:
        if bounds is not None:
            self._ends[place] = bounds[1]

    def _tidy(self) -> None:
        if self._closed:
            return
        deleted = self._attempt(lambda: self._retention.step(self._clock.wall_ms()))
        delay_ms = self._limits.tidy_again_ms if deleted else self._limits.tidy_ms
        self._loop.call_later(delay_ms / 1000, self._tidy)

    def _attempt(self, write: Callable[[], int | None]) -> int:
        try:
            return write() or 0
        except Exception as error:
            self._closed = True
            self._on_error(error)
            return 0
