"""What Kafka knows about its partitions, and trimming them: the seam `Partitions`.

The admin client answers on a thread of its own, bounds are asked for on a few of ours; each answer is posted to the
loop. Nothing here blocks it.

librdkafka (2.16) sends questions about offsets to the leader that it knows, with the leader's epoch, and learns nothing
from being refused: after a broker has restarted or a leader has moved it would be refused until its metadata expires, a
quarter of an hour later. Describing the topic refreshes what it knows, so that is done, and then it is asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.adapters.kafka_admin import open_admin, shut_admin
from headrace.adapters.kafka_loop import ThreadsafeLoop, post
from headrace.adapters.kafka_offsets import bounds_of, offset_at, open_offsets
from headrace.adapters.kafka_settings import KafkaSettings

_THREADS = 4  # a question for bounds blocks one of them for a millisecond or two
_LEADER_MOVED = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)


class KafkaPartitions:
    """Asks for bounds and topic ids, and trims; an answer that takes longer than `timeout_ms` is an error."""

    def __init__(self, settings: KafkaSettings, loop: ThreadsafeLoop, *, timeout_ms: int = 10_000) -> None:
        self._client: AdminClient | None = open_admin(settings)
        self._offsets = open_offsets(settings)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kafka-offsets")
        self._loop = loop
        self._timeout_s = timeout_ms / 1000
        # Whom to tell, by the number of the question: the client's thread is never left with the last reference to it.
        self._asking: dict[int, Callable[..., None]] = {}
        self._questions = 0
        self._closed = False

    def bounds(self, topic: str, partition: int, done: Callable[[tuple[int, int] | None, str | None], None]) -> None:
        """Tell the first offset still there and the next one to be written."""
        self._ask(topic, partial(self._ask_blocking, partial(bounds_of, self._offsets, topic, partition)), done)

    def offset_at(
        self, topic: str, partition: int, time_ms: int, done: Callable[[int | None, str | None], None]
    ) -> None:
        """Tell the offset of the first record that is not older than a time; the end if there is none."""
        self._ask(
            topic, partial(self._ask_blocking, partial(offset_at, self._offsets, topic, partition, time_ms)), done
        )

    def _ask_blocking(self, question_of: Callable[[float], object], done: Callable[..., None]) -> None:
        _, question = self._begin(done)

        def ask() -> None:
            problem: BaseException | None = None
            found: object = None
            try:
                found = question_of(self._timeout_s)
            except (KafkaException, OSError, RuntimeError) as error:
                problem = error
            self._end(question, problem, found)

        self._threads.submit(ask)

    def trim(self, topic: str, partition: int, before: int, done: Callable[[str | None], None]) -> None:
        """Delete every record below the offset `before`; nothing is done where that is gone already."""
        if before < 0:
            # -1 stands for "everything" in the protocol; nobody here means that.
            raise ValueError(f"an offset is not negative: {before}")
        place = TopicPartition(topic, partition, before)
        self._ask(topic, partial(self._ask_trim, place), lambda _, error: done(error))

    def _ask_trim(self, place: TopicPartition, done: Callable[..., None]) -> None:
        client, question = self._begin(done)
        answers = client.delete_records([place], request_timeout=self._timeout_s, operation_timeout=self._timeout_s)
        for answer in answers.values():
            answer.add_done_callback(lambda ended: self._end(question, ended.exception(), None))

    def topic_id(self, topic: str, done: Callable[[str | None, str | None], None]) -> None:
        """Tell the id of a topic, which changes when the topic is deleted and made again."""
        self._describe(topic, lambda problem, found: done(found, _text(problem)))

    def _describe(self, topic: str, done: Callable[..., None]) -> None:
        client, question = self._begin(done)
        answer = client.describe_topics(TopicCollection([topic]), request_timeout=self._timeout_s)[topic]

        def end(ended: Future[Any]) -> None:
            problem = ended.exception()
            self._end(question, problem, None if problem is not None else str(ended.result().topic_id))

        answer.add_done_callback(end)

    def _ask(self, topic: str, ask: Callable[[Callable[..., None]], None], done: Callable[..., None]) -> None:
        """Ask, and once more if the leader that was asked is not the leader any more."""

        def tell(problem: BaseException | None, found: Any) -> None:
            done(found, _text(problem))

        def look(problem: BaseException | None, found: Any) -> None:
            if self._closed or not _leader_moved(problem):
                tell(problem, found)
                return
            self._describe(topic, lambda *_: tell(problem, found) if self._closed else ask(tell))

        ask(look)

    def close(self) -> None:
        """Let go of the client when what is being asked has been answered."""
        self._closed = True
        self._shut_if_idle()

    def _begin(self, done: Callable[..., None]) -> tuple[AdminClient, int]:
        if self._client is None or self._closed:
            raise ValueError("closed")
        self._questions += 1
        self._asking[self._questions] = done
        return self._client, self._questions

    def _end(self, question: int, *answer: Any) -> None:
        """Post an answer, from the client's thread."""
        post(self._loop, self._tell, question, answer)

    def _tell(self, question: int, answer: tuple[Any, ...]) -> None:
        done = self._asking.pop(question)
        self._shut_if_idle()
        done(*answer)

    def _shut_if_idle(self) -> None:
        if self._closed and not self._asking and self._client is not None:
            shut_admin(self._client)
            self._client = None
            self._threads.submit(self._offsets.close)
            self._threads.shutdown(wait=False)


def _leader_moved(problem: BaseException | None) -> bool:
    return isinstance(problem, KafkaException) and problem.args[0].code() in _LEADER_MOVED


def _text(problem: BaseException | None) -> str | None:
    if problem is None:
        return None
    return str(problem.args[0].str()) if isinstance(problem, KafkaException) else str(problem)
