"""Readings that may never get a record, and finding out which of them never will.

The client waits in silence for a topic or partition that is not there, and tells of other errors again and again
while they last. A broker that has just started knows no topics at first, and errors pass. So a reading is doubted for
a while, until a record comes, and only then given up. One that has long been silent is looked up: its topic may be
gone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException

from headrace.adapters.kafka_reading import KafkaReading, Key
from headrace.adapters.seams import ReadFailure

UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
# What a look at the topic can end with; other errors say only that nobody can tell now.
_ANSWERS = UNKNOWN | {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION}
_ANSWER_S = 1.0


class _Doubt(NamedTuple):
    """Since when, when it was last seen, what it says; no error: the partition may not be there."""

    since: float
    seen: float
    error: KafkaError | None


class GivenUp(NamedTuple):
    """A reading that will get nothing, and why."""

    reading: KafkaReading
    failure: ReadFailure
    text: str


class Doubts:
    """Keeps the doubts of one lane; times are in seconds, from the caller's clock."""

    def __init__(self, grace_s: float, silence_s: float) -> None:
        self._grace_s = grace_s
        self._silence_s = silence_s
        self._doubts: dict[KafkaReading, _Doubt] = {}
        self._positions: dict[KafkaReading, int] = {}
        self._looked_at = 0.0

    def begin(self, reading: KafkaReading, now: float) -> None:
        """Doubt a reading that begins."""
        self._doubts[reading] = _Doubt(now, now, None)

    def note(self, reading: KafkaReading, error: KafkaError, now: float) -> None:
        """Note an error that may pass."""
        earlier = self._doubts.get(reading)
        self._doubts[reading] = _Doubt(now if earlier is None else earlier.since, now, error)

    def forget(self, reading: KafkaReading) -> None:
        """Drop the doubt: a record has come, or the reading has ended."""
        self._doubts.pop(reading, None)
        self._positions.pop(reading, None)

    def notice_silence(self, readings: Collection[KafkaReading], now: float) -> None:
        """Doubt, now and then, those that have not moved since the last time."""
        if now - self._looked_at < self._silence_s:
            return
        self._looked_at = now
        for reading in readings:
            if self._positions.get(reading) == reading.position and reading not in self._doubts:
                self._doubts[reading] = _Doubt(now - self._grace_s, now, None)
        self._positions = {reading: reading.position for reading in readings}

    def settle(self, consumer: Consumer, now: float) -> list[GivenUp]:
        """Decide the doubts that have lasted long enough; may wait a second for an answer."""
        due = [reading for reading, doubt in self._doubts.items() if now - doubt.since >= self._grace_s]
        given_up = []
        answers: dict[str, set[int] | KafkaError] = {}
        for reading in due:
            doubt = self._doubts[reading]
            if doubt.error is not None and doubt.error.code() not in UNKNOWN:
                # Such an error comes again every half second while it lasts.
                error = doubt.error if now - doubt.seen < self._grace_s / 2 else None
            else:
                error = _look_up(consumer, reading.key, answers)
                if error is not None and error.code() not in _ANSWERS:
                    self._doubts[reading] = _Doubt(now, now, error)
                    continue
            del self._doubts[reading]
            if error is not None:
                unknown = error.code() in UNKNOWN
                failure = ReadFailure.UNKNOWN_TOPIC if unknown else ReadFailure.REFUSED
                given_up.append(GivenUp(reading, failure, error.str()))
        return given_up


def _look_up(consumer: Consumer, key: Key, answers: dict[str, set[int] | KafkaError]) -> KafkaError | None:
    """Ask, once per topic, whether the partition is there; None when it is."""
    topic, partition = key
    if topic not in answers:
        try:
            found = consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
            answers[topic] = found.error or set(found.partitions)
        except KafkaException as problem:
            answers[topic] = problem.args[0]
    answer = answers[topic]
    if isinstance(answer, KafkaError):
        return answer
    if partition in answer:
        return None
    return KafkaError(KafkaError._UNKNOWN_PARTITION, f"{topic} has no partition {partition}")
