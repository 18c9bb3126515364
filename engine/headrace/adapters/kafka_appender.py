"""Appends to Kafka with one idempotent producer: the seam `Appender`.

Order is what this file is about. Per partition, records go to the client in the order of the calls: what the
client's full queue refuses is held back with everything behind it. Reports of one partition's appends come in the
order of the appends, also where the client reports a record that timed out in its queue before one still in flight.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, Producer

from headrace.adapters.kafka_loop import ThreadsafeLoop, post
from headrace.adapters.kafka_producing import Append, Batch, Producing
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import AppendReport, BatchReport, Outgoing

_RETRY_S = 0.005
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class AppenderLimits:
    """How an appender sends."""

    linger_ms: float = 0  # 0 for what somebody waits for (commits), a few for what nobody does (history)
    compression: str = "none"  # or lz4
    message_timeout_ms: int = 30_000  # when a record that could not be delivered is reported as failed
    message_bytes: int = 16 * 1024 * 1024  # of one record, at most
    queue_records: int = 500_000
    queue_kilobytes: int = 512 * 1024


class KafkaAppender:
    """Appends records with `acks=all`; every report comes on the loop, and never from inside the call."""

    def __init__(
        self,
        settings: KafkaSettings,
        loop: ThreadsafeLoop,
        *,
        limits: AppenderLimits | None = None,
        name: str = "kafka-appender",
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._limits = limits or AppenderLimits()
        self._name = name
        self._open: dict[Append | Batch, None] = {}  # not reported yet, in the order of the calls
        self._waiting: dict[tuple[str, int], deque[Append]] = {}  # appends per partition, in order
        self._held: deque[tuple[Append | Batch, int, Outgoing]] = deque()  # refused by the full queue
        self._retrying = False
        self._closed = False
        self._generation = 0
        self._producing = self._begin()

    @property
    def unreported(self) -> int:
        """How many appends and sends have not been reported yet."""
        return len(self._open)

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        """Send one record; reports of one partition come in the order of the appends."""
        entry = Append(report, (topic, partition))
        self._enter(entry)
        waiting = self._waiting.get(entry.key)
        if waiting is None:
            waiting = self._waiting[entry.key] = deque()
        waiting.append(entry)
        if self._producing.dead is None:
            self._place(entry, 0, Outgoing(topic, partition, None, value))

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        """Send a batch and report once; a later record may be in the log although an earlier one failed."""
        entry = Batch(report, batch)
        self._enter(entry)
        producing = self._producing
        if not batch:
            self._loop.call_soon(self._take_ended, producing, [entry])
            return
        if producing.dead is not None:
            return
        if self._held:
            self._held.extend((entry, index, record) for index, record in enumerate(batch))
            return
        produce, take = producing.produce, entry.take
        for index, (topic, partition, key, value, headers) in enumerate(batch):
            try:
                produce(topic, value, key, partition, take, None, 0, _listed(headers))
            except BufferError:
                self._held.extend((entry, later, batch[later]) for later in range(index, len(batch)))
                self._retry_later()
                return
            except KafkaException as problem:
                self._refuse(entry, index, problem)

    def renew(self) -> None:
        """Use a new producer from now on; what is still open is reported as failed first."""
        self._give_up(self._producing, "the producer was replaced before this was acknowledged")
        self._producing.drop()
        self._producing = self._begin()

    def close(self, timeout_ms: int) -> None:
        """Send what is queued, wait at most `timeout_ms`, let go; blocks.

        Reports that are on their way still come, if the loop runs on; what was not sent in time is reported as failed.
        """
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + timeout_ms / 1000
        while self._held and self._producing.dead is None and time.monotonic() < deadline:
            self._send_held()
            if self._held:
                time.sleep(_RETRY_S)  # the polling thread makes room meanwhile
        self._producing.finish(max(0.0, deadline - time.monotonic()))
        # Behind the reports that the thread has posted until now.
        post(self._loop, self._give_up, self._producing, "the appender was closed before this was acknowledged")

    def _begin(self) -> Producing:
        self._generation += 1
        return Producing(
            _make_producer(self._settings, self._limits),
            self._loop,
            self._take_ended,
            self._give_up,
            f"{self._name}-{self._generation}",
        )

    def _enter(self, entry: Append | Batch) -> None:
        if self._closed:
            raise ValueError("the appender is closed")
        producing = self._producing
        entry.producing = producing
        self._open[entry] = None
        if producing.dead is not None:
            entry.fail(producing.dead)
            self._loop.call_soon(self._take_ended, producing, [entry])

    def _place(self, entry: Append | Batch, index: int, record: Outgoing) -> None:
        """Hand one record to the client, or hold it back behind those that wait already."""
        if self._held:
            self._held.append((entry, index, record))
            return
        topic, partition, key, value, headers = record
        try:
            self._producing.produce(topic, value, key, partition, entry.take, None, 0, _listed(headers))
        except BufferError:
            self._held.append((entry, index, record))
            self._retry_later()
        except KafkaException as problem:
            self._refuse(entry, index, problem)

    def _refuse(self, entry: Append | Batch, index: int, problem: KafkaException) -> None:
        """Let a record fail that the client did not take (too large, no such partition, dead producer)."""
        if isinstance(entry, Batch):
            self._producing.refuse(entry, index)
        else:
            entry.fail(problem.args[0].str())
            self._loop.call_soon(self._take_ended, self._producing, [entry])

    def _retry_later(self) -> None:
        if not self._retrying:
            self._retrying = True
            self._loop.call_later(_RETRY_S, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        if self._closed:
            return
        self._send_held()
        if self._held:
            self._retry_later()

    def _send_held(self) -> None:
        produce = self._producing.produce
        held = self._held
        while held:
            entry, index, (topic, partition, key, value, headers) = held[0]
            try:
                produce(topic, value, key, partition, entry.take, None, 0, _listed(headers))
            except BufferError:
                return
            except KafkaException as problem:
                self._refuse(entry, index, problem)
            held.popleft()

    def _take_ended(self, producing: Producing, ended: list[Append | Batch]) -> None:
        """Report what has ended; runs on the loop."""
        reports: list[Callable[[], None]] = []
        for entry in ended:
            if entry not in self._open:
                continue  # given up before: what it brought comes too late
            if isinstance(entry, Batch):
                del self._open[entry]
                reports.append(entry.tell)
                continue
            entry.landed = True
            waiting = self._waiting[entry.key]
            while waiting and waiting[0].landed:
                first = waiting.popleft()
                del self._open[first]
                reports.append(first.tell)
        self._report(reports)

    def _give_up(self, producing: Producing, text: str) -> None:
        """Report everything open as failed, in order, and let nothing more through; runs on the loop."""
        if producing.dead is not None:
            return
        producing.dead = text
        if producing is not self._producing:
            return
        open_entries = list(self._open)
        self._open.clear()
        self._waiting.clear()
        self._held.clear()
        for entry in open_entries:
            entry.fail(text)
        self._loop.call_soon(self._report, [entry.tell for entry in open_entries])

    def _report(self, reports: Sequence[Callable[[], None]]) -> None:
        for index, report in enumerate(reports):
            try:
                report()
            except BaseException:
                # One caller's mistake must not swallow the reports of the others, nor let later ones overtake them.
                self._report(reports[index + 1 :])
                raise


def _listed(headers: Headers | None) -> Any:
    """Give the client a list; it takes no other sequence."""
    return headers if headers is None or type(headers) is list else list(headers)


def _make_producer(settings: KafkaSettings, limits: AppenderLimits) -> Producer:
    own: dict[str, object] = {
        "acks": "all",
        "enable.idempotence": True,
        "message.max.bytes": limits.message_bytes,
    }
    defaults: dict[str, object] = {
        "linger.ms": limits.linger_ms,
        "compression.type": limits.compression,
        "message.timeout.ms": limits.message_timeout_ms,
        "queue.buffering.max.messages": limits.queue_records,
        "queue.buffering.max.kbytes": limits.queue_kilobytes,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 200,
        "socket.timeout.ms": min(10_000, limits.message_timeout_ms),
    }
    return Producer(settings.client(own, defaults))
