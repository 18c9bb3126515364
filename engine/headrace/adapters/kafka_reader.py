"""Reads partitions of Kafka at exact offsets, with no group: the seam `Reader`.

A consumer can read a partition at one place only. So readings are spread over lanes (a lane is one consumer on one
thread): nearly always there is one lane; a second reading of the same partition, elsewhere in its log, opens another.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.adapters.kafka_lane import Lane, ReaderLimits
from headrace.adapters.kafka_loop import ThreadsafeLoop
from headrace.adapters.kafka_reading import KafkaReading
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import ReadFailure, Record

DEFAULT_GROUP = "headrace-readers"


class KafkaReader:
    """Delivers records in order, without leaving anything out, as callbacks on the loop.

    A paused reading gets nothing until it is resumed; what was on its way is kept, bounded, and comes first then.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        loop: ThreadsafeLoop,
        *,
        group: str = DEFAULT_GROUP,
        limits: ReaderLimits | None = None,
        name: str = "kafka-reader",
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._group = group
        self._limits = limits or ReaderLimits()
        self._name = name
        self._lanes: list[Lane] = []
        self._readings: dict[KafkaReading, Lane] = {}
        self._closed = False

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        on_records: Callable[[list[Record]], None],
        on_failure: Callable[[ReadFailure, str], None],
    ) -> KafkaReading:
        """Read from exactly `offset` on; an offset outside the log is a failure, never a reset."""
        if self._closed:
            raise ValueError("the reader is closed")
        if offset < 0:
            # librdkafka takes small negative numbers for words such as "beginning" and "end".
            raise ValueError(f"an offset is not negative: {offset}")
        reading = KafkaReading(self._loop, (topic, partition), offset, on_records, on_failure, self._shut)
        lane = self._lane_for(reading)
        self._readings[reading] = lane
        lane.open(reading)
        return reading

    def close(self) -> None:
        """Close every reading and let go of the consumers."""
        self._closed = True
        for reading in list(self._readings):
            reading.close()
        for lane in self._lanes:
            lane.end()
        self._lanes.clear()

    def _lane_for(self, reading: KafkaReading) -> Lane:
        self._lanes = [lane for lane in self._lanes if lane.alive]
        for lane in self._lanes:
            if reading.key not in lane.opened:
                return lane
        lane = Lane(self._settings, self._loop, self._group, self._limits, f"{self._name}-{len(self._lanes)}")
        self._lanes.append(lane)
        return lane

    def _shut(self, reading: KafkaReading) -> None:
        lane = self._readings.pop(reading)
        lane.shut(reading)
        if not lane.opened and lane in self._lanes[1:]:
            self._lanes.remove(lane)
            lane.end()
