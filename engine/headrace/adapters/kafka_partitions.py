"""What Kafka knows about its partitions, and trimming them: the seam `Partitions`.

The admin client answers on a thread of its own; each answer is posted to the loop. Nothing here blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from headrace.adapters.kafka_connection import admin_client
from headrace.adapters.kafka_loop import ThreadsafeLoop, post
from headrace.adapters.kafka_settings import KafkaSettings

_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class KafkaPartitions:
    """Asks for bounds and topic ids, and trims; an answer that takes longer than `timeout_ms` is an error."""

    def __init__(self, settings: KafkaSettings, loop: ThreadsafeLoop, *, timeout_ms: int = 10_000) -> None:
        self._admin = admin_client(settings)
        self._loop = loop
        self._timeout_s = timeout_ms / 1000

    def bounds(self, topic: str, partition: int, done: Callable[[tuple[int, int] | None, str | None], None]) -> None:
        """Tell the first offset still there and the next one to be written."""
        place = TopicPartition(topic, partition)
        _Bounds(self._loop, done).ask(
            self._admin.list_offsets({place: _EARLIEST}, request_timeout=self._timeout_s)[place],
            self._admin.list_offsets({place: _LATEST}, request_timeout=self._timeout_s)[place],
        )

    def trim(self, topic: str, partition: int, before: int, done: Callable[[str | None], None]) -> None:
        """Delete every record below the offset `before`; nothing is done where that is gone already."""
        if before < 0:
            # -1 stands for "everything" in the protocol; nobody here means that.
            raise ValueError(f"an offset is not negative: {before}")
        place = TopicPartition(topic, partition, before)
        (answer,) = self._admin.delete_records(
            [place], request_timeout=self._timeout_s, operation_timeout=self._timeout_s
        ).values()
        answer.add_done_callback(lambda ended: post(self._loop, done, _error(ended)))

    def topic_id(self, topic: str, done: Callable[[str | None, str | None], None]) -> None:
        """Tell the id of a topic, which changes when the topic is deleted and made again."""
        answer = self._admin.describe_topics(TopicCollection([topic]), request_timeout=self._timeout_s)[topic]

        def tell(ended: Future[Any]) -> None:
            error = _error(ended)
            post(self._loop, done, None if error is not None else str(ended.result().topic_id), error)

        answer.add_done_callback(tell)


class _Bounds:
    """Two answers that make one; they come on the admin client's one thread, one after the other."""

    def __init__(self, loop: ThreadsafeLoop, done: Callable[[tuple[int, int] | None, str | None], None]) -> None:
        self._loop = loop
        self._done = done
        self._start: int | None = None
        self._error: str | None = None

    def ask(self, earliest: Future[Any], latest: Future[Any]) -> None:
        """Wait for both, the start first: a log that is trimmed in between still has start <= end."""
        earliest.add_done_callback(lambda start: self._take_start(start, latest))

    def _take_start(self, ended: Future[Any], latest: Future[Any]) -> None:
        self._error = _error(ended)
        if self._error is None:
            self._start = ended.result().offset
        latest.add_done_callback(self._take_end)

    def _take_end(self, ended: Future[Any]) -> None:
        error = self._error or _error(ended)
        if error is not None or self._start is None:
            post(self._loop, self._done, None, error or "the broker told no offset")
        else:
            post(self._loop, self._done, (self._start, ended.result().offset), None)


def _error(ended: Future[Any]) -> str | None:
    problem = ended.exception()
    if problem is None:
        return None
    return str(problem.args[0].str()) if isinstance(problem, KafkaException) else str(problem)
