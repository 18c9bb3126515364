"""One consumer on one thread, reading many partitions at exact offsets, with no group.

The thread does everything that touches the consumer. It takes commands from a queue between two rounds, so that a
record read before a command can never be taken for one read after it; librdkafka drops what it had fetched for a
partition when that is unassigned. A round waits for the first record with `poll` and takes the others that are there
with `consume(n, 0)`: `consume(n, t)` alone would wait for n records.

Back-pressure has two causes. A loop that is late has too many bytes on their way to it: the thread waits. A reading
that is paused holds too many: the partition is taken off the consumer, and put back when half of them are gone. (The
client's own `pause` and `resume` are not used: a consumer with nothing else to fetch takes a second to resume, and 5 ms
to be assigned anew.) Both are looked at in every round; neither waits for a message that could get lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.adapters.kafka_doubts import Doubts
from headrace.adapters.kafka_loop import ThreadsafeLoop, post
from headrace.adapters.kafka_reading import Delivery, KafkaReading, Key
from headrace.adapters.kafka_records import build_records, split_runs
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import ReadFailure, Record

logger = logging.getLogger("headrace.kafka")


@dataclass(frozen=True)
class ReaderLimits:
    """How much and how fast a reader reads."""

    idle_ms: int = 10  # how long a command may wait for a quiet consumer
    fetch_wait_ms: int = 50  # how long a new or resumed partition may wait for the fetch that is out
    round_records: int = 1000  # about 1.5 ms of the interpreter at a time
    queued_kilobytes: int = 16_384  # fetched by the client ahead of the thread
    fetch_bytes: int = 16 * 1024 * 1024  # of one fetch answer; a single larger record still comes
    loop_bytes: int = 8 * 1024 * 1024  # of all partitions, on their way to the loop
    pending_bytes: int = 4 * 1024 * 1024  # of one paused partition, held for it
    grace_ms: int = 10_000  # for an error that may pass: a broker that starts knows no topics at first
    silence_ms: int = 30_000  # after which a partition is looked up: it may be gone


_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION})
# After these the client goes on behind the records that it could not read, and leaves them out.
_REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError.INVALID_MSG,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)
_LATE_S = 0.001


class Lane:
    """A consumer and its thread. `open` and `shut` are called on the loop, in the order that shall hold."""

    def __init__(
        self, settings: KafkaSettings, loop: ThreadsafeLoop, group: str, limits: ReaderLimits, name: str
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._commands: deque[tuple[str, KafkaReading]] = deque()
        self._ending = False
        # Of the loop: whether the thread runs, what is being read here, and how many bytes have come.
        self.alive = True
        self.opened: dict[Key, KafkaReading] = {}
        self._arrived_bytes = 0
        # Below, of the thread only.
        self._posted_bytes = 0
        self._readings: dict[Key, KafkaReading] = {}
        self._stopped: set[KafkaReading] = set()
        self._doubts = Doubts(limits.grace_ms / 1000, limits.silence_ms / 1000)
        self._consumer = Consumer(settings.client(_own_settings(group), _default_settings(limits)))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def open(self, reading: KafkaReading) -> None:
        """Begin to read."""
        self.opened[reading.key] = reading
        self._commands.append(("open", reading))

    def shut(self, reading: KafkaReading) -> None:
        """Stop reading; the partition may be opened again at once."""
        self.opened.pop(reading.key, None)
        self._commands.append(("shut", reading))

    def end(self) -> None:
        """Let go of the consumer, soon."""
        self._ending = True

    def _run(self) -> None:
        try:
            while not self._ending:
                self._obey()
                if self._posted_bytes - self._arrived_bytes > self._limits.loop_bytes:
                    time.sleep(_LATE_S)
                    continue
                self._round()
                if self._stopped:
                    self._go_on()
                self._give_up_hopeless()
        except Exception as problem:
            # A reading that ends without a word would hang its partition for ever.
            logger.exception("the thread that reads from Kafka has failed")
            post(self._loop, self._fail_all, f"the reader failed: {problem!r}")
        finally:
            self._consumer.close()

    def _fail_all(self, text: str) -> None:
        """Run on the loop, where readings are opened, so that none of them slips through."""
        self.alive = False
        self._deliver([_failed(reading, ReadFailure.REFUSED, text) for reading in self.opened.values()])

    def _obey(self) -> None:
        """Carry out the commands in order; neighbours of one kind go to the consumer together."""
        while self._commands:
            kind, reading = self._commands.popleft()
            together = [reading]
            while self._commands and self._commands[0][0] == kind:
                together.append(self._commands.popleft()[1])
            if kind == "open":
                # The `shut` of one that was closed before it was opened here will find nothing to do.
                self._assign([reading for reading in together if not reading.closed])
            else:
                self._unassign(together)

    def _assign(self, readings: list[KafkaReading]) -> None:
        if not readings:
            return
        now = time.monotonic()
        for reading in readings:
            self._readings[reading.key] = reading
            self._doubts.begin(reading, now)
        try:
            self._consumer.incremental_assign(
                [TopicPartition(reading.key[0], reading.key[1], reading.position) for reading in readings]
            )
        except KafkaException as problem:
            for reading in readings:
                del self._readings[reading.key]
                self._doubts.forget(reading)
            text = problem.args[0].str()
            self._hand_over([_failed(reading, ReadFailure.REFUSED, text) for reading in readings])

    def _unassign(self, readings: Iterable[KafkaReading]) -> None:
        mine = [reading for reading in readings if self._readings.get(reading.key) is reading]
        assigned = [TopicPartition(*reading.key) for reading in mine if reading not in self._stopped]
        for reading in mine:
            del self._readings[reading.key]
            self._stopped.discard(reading)
            self._doubts.forget(reading)
        if assigned:
            self._consumer.incremental_unassign(assigned)

    def _round(self) -> None:
        first = self._consumer.poll(self._limits.idle_ms / 1000)
        if first is None:
            return
        messages = [first, *self._consumer.consume(self._limits.round_records - 1, 0)]
        deliveries: list[Delivery] = []
        begin = 0
        for index, error in enumerate(map(Message.error, messages)):
            if error is not None:
                self._gather(messages[begin:index], deliveries)
                self._take_error(messages[index], error, deliveries)
                begin = index + 1
        self._gather(messages[begin:] if begin else messages, deliveries)
        self._hand_over(deliveries)
        for delivery in deliveries:
            reading = delivery.reading
            if reading.holding and reading.pending_bytes > self._limits.pending_bytes:
                self._stop(reading)

    def _gather(self, messages: list[Message], deliveries: list[Delivery]) -> None:
        for key, run in split_runs(messages):
            reading = self._readings.get(key)
            if reading is None or reading.closed:
                continue
            records, size = build_records(*key, run)
            if records[0].offset < reading.position:
                records = [record for record in records if record.offset >= reading.position]
                if not records:
                    continue
            reading.position = records[-1].offset + 1
            reading.posted_bytes += size
            self._posted_bytes += size
            self._doubts.forget(reading)
            deliveries.append(Delivery(reading, records, size, None, ""))

    def _take_error(self, message: Message, error: KafkaError, deliveries: list[Delivery]) -> None:
        reading = self._readings.get((message.topic() or "", message.partition() or 0))
        if reading is None:
            logger.info("kafka: %s", error.str())
        elif (code := error.code()) in _OUT_OF_RANGE or code in _REFUSED:
            failure = ReadFailure.OUT_OF_RANGE if code in _OUT_OF_RANGE else ReadFailure.REFUSED
            self._unassign([reading])
            deliveries.append(_failed(reading, failure, error.str()))
        elif code != KafkaError._PARTITION_EOF:
            self._doubts.note(reading, error, time.monotonic())

    def _give_up_hopeless(self) -> None:
        now = time.monotonic()
        self._doubts.notice_silence(self._readings.values(), now)
        for reading, failure, text in self._doubts.settle(self._consumer, now):
            self._unassign([reading])
            self._hand_over([_failed(reading, failure, text)])

    def _stop(self, reading: KafkaReading) -> None:
        if self._readings.get(reading.key) is reading and reading not in self._stopped:
            self._consumer.incremental_unassign([TopicPartition(*reading.key)])
            self._stopped.add(reading)

    def _go_on(self) -> None:
        drained = [reading for reading in self._stopped if reading.pending_bytes <= self._limits.pending_bytes // 2]
        if drained:
            self._stopped.difference_update(drained)
            self._assign(drained)

    def _hand_over(self, deliveries: list[Delivery]) -> None:
        if deliveries and not post(self._loop, self._deliver, deliveries):
            self._ending = True

    def _deliver(self, deliveries: list[Delivery]) -> None:
        """Run on the loop: give each reading what came for it."""
        for index, delivery in enumerate(deliveries):
            self._arrived_bytes += delivery.size
            try:
                delivery.reading.accept(delivery)
            except BaseException:
                # One reading's mistake must not swallow the records of the others, nor let later ones overtake them.
                self._deliver(deliveries[index + 1 :])
                raise


def _failed(reading: KafkaReading, failure: ReadFailure, text: str) -> Delivery:
    records: list[Record] = []
    return Delivery(reading, records, 0, failure, text)


def _own_settings(group: str) -> dict[str, object]:
    return {
        "group.id": group,  # the client wants one; nothing joins it or commits to it here
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": False,
        "isolation.level": "read_committed",  # users' topics may have transactions
        "check.crcs": True,
    }


def _default_settings(limits: ReaderLimits) -> dict[str, object]:
    return {
        "fetch.min.bytes": 1,
        "fetch.wait.max.ms": limits.fetch_wait_ms,
        "fetch.error.backoff.ms": 100,
        "fetch.max.bytes": limits.fetch_bytes,
        # The default of a second stalls a busy consumer whenever its queue has been full.
        "fetch.queue.backoff.ms": 1,
        "queued.max.messages.kbytes": limits.queued_kilobytes,
        "message.max.bytes": min(limits.fetch_bytes, 16 * 1024 * 1024),
        "topic.metadata.propagation.max.ms": min(limits.grace_ms, 5_000),
    }
