"""What a contract needs of the world: topics, adapters on them, and a loop that runs until something is true.

The bodies of the tests know only this. `KafkaWorld` runs them on a real broker; the memory twins bring their own world.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol
from uuid import uuid4

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec  # type: ignore[attr-defined]

from headrace.adapters.kafka_admin import open_admin, shut_admin
from headrace.adapters.kafka_appender import AppenderLimits, KafkaAppender
from headrace.adapters.kafka_lane import ReaderLimits
from headrace.adapters.kafka_membership import KafkaMembership
from headrace.adapters.kafka_partitions import KafkaPartitions
from headrace.adapters.kafka_reader import KafkaReader
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import (
    Appender,
    Loop,
    Membership,
    Partitions,
    Reader,
    ReadFailure,
    Reading,
    Record,
)

RECORD_BYTES_MAX = 8 * 1024 * 1024

_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class World(Protocol):
    """One log with its clients, on one loop."""

    @property
    def loop(self) -> Loop: ...

    def topic(self, partitions: int = 1, *, record_bytes_max: int = RECORD_BYTES_MAX) -> str:
        """Make a topic and return its name; appenders made afterwards refuse larger records."""
        ...

    def appender(self) -> Appender: ...

    def reader(self) -> Reader: ...

    def partitions(self) -> Partitions: ...

    def membership(self, group: str, instance_id: str, topic: str) -> Membership: ...

    def until(self, condition: Callable[[], bool], what: str = "", *, within_s: float = 30) -> None:
        """Run the loop until the condition holds; fails when it does not in good time."""
        ...


class KafkaWorld:
    """The real adapters on a real broker, on an asyncio loop that runs only within `until`."""

    def __init__(self, bootstrap: str) -> None:
        self.settings = KafkaSettings(bootstrap)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._remember)
        self._record_bytes_max = RECORD_BYTES_MAX
        self._raised: list[BaseException] = []
        self._closing: list[Callable[[], None]] = []
        self._admin = open_admin(self.settings)

    def topic(
        self,
        partitions: int = 1,
        *,
        record_bytes_max: int = RECORD_BYTES_MAX,
        batch_bytes_max: int = RECORD_BYTES_MAX,
    ) -> str:
        """Make a topic; the broker refuses batches over `batch_bytes_max` as a whole."""
        self._record_bytes_max = min(self._record_bytes_max, record_bytes_max)
        name = f"contract.{uuid4().hex[:12]}"
        config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(batch_bytes_max)}
        topic = NewTopic(name, partitions, 1, config=config)
        self._admin.create_topics([topic], operation_timeout=30)[name].result(30)
        self._wait_until_led(name, partitions)
        return name

    def _wait_until_led(self, name: str, partitions: int) -> None:
        """Ask until the leaders know that they lead: they hear of it a moment after the answer to the creation."""
        deadline = time.monotonic() + 30
        places = [TopicPartition(name, number) for number in range(partitions)]
        while places:
            answers = self._admin.list_offsets(dict.fromkeys(places, _LATEST))
            places = [place for place, answer in answers.items() if answer.exception(30) is not None]
            assert time.monotonic() < deadline, f"no leader for {places}"

    def delete_topic(self, name: str) -> None:
        self._admin.delete_topics([name])[name].result(30)

    def appender(self, *, limits: AppenderLimits | None = None, **passthrough: str) -> KafkaAppender:
        limits = limits or AppenderLimits(message_bytes=self._record_bytes_max)
        appender = KafkaAppender(self._with(passthrough), self.loop, limits=limits)
        self._closing.append(lambda: appender.close(2_000))
        return appender

    def reader(self, *, limits: ReaderLimits | None = None, **passthrough: str) -> KafkaReader:
        limits = limits or ReaderLimits(grace_ms=1_000)
        reader = KafkaReader(self._with(passthrough), self.loop, limits=limits)
        self._closing.append(reader.close)
        return reader

    def partitions(self) -> KafkaPartitions:
        partitions = KafkaPartitions(self.settings, self.loop)
        self._closing.append(partitions.close)
        return partitions

    def membership(self, group: str, instance_id: str, topic: str) -> KafkaMembership:
        membership = KafkaMembership(self.settings, self.loop, group=group, instance_id=instance_id, topic=topic)
        self._closing.append(lambda: self._leave(membership))
        return membership

    def until(self, condition: Callable[[], bool], what: str = "", *, within_s: float = 30) -> None:
        self.loop.run_until_complete(self._poll(condition, what, within_s))

    def close(self) -> None:
        with ExitStack() as rest:  # whatever fails, the rest is closed: else it would fail some later test
            rest.callback(self.loop.close)
            rest.callback(lambda: self.loop.run_until_complete(asyncio.sleep(0)))
            rest.callback(shut_admin, self._admin)
            for close in self._closing:
                rest.callback(close)
        assert not self._raised, self._raised

    async def _poll(self, condition: Callable[[], bool], what: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while True:
            if self._raised:
                raise self._raised.pop()
            if condition():
                return
            assert time.monotonic() < deadline, f"not in {within_s} s: {what or condition}"
            await asyncio.sleep(0.001)

    def _leave(self, membership: KafkaMembership) -> None:
        left: list[bool] = []
        membership.leave(lambda: left.append(True))
        self.until(lambda: bool(left), "the member leaves")

    def _with(self, passthrough: dict[str, str]) -> KafkaSettings:
        named = {name.replace("_", "."): value for name, value in passthrough.items()}
        return KafkaSettings(self.settings.bootstrap, named)

    def _remember(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._raised.append(context.get("exception") or AssertionError(context["message"]))


class Gathered:
    """A reading and everything that it has brought."""

    def __init__(self, reader: Reader, topic: str, partition: int = 0, offset: int = 0) -> None:
        self.records: list[Record] = []
        self.failures: list[tuple[ReadFailure, str]] = []
        self.inside = True
        self.reading: Reading = reader.read(topic, partition, offset, self._take, self._fail)
        self.inside = False

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    @property
    def offsets(self) -> list[int]:
        return [record.offset for record in self.records]

    def _take(self, records: list[Record]) -> None:
        assert not self.inside, "called back from inside the call"
        assert records
        assert not self.failures
        self.records += records

    def _fail(self, failure: ReadFailure, text: str) -> None:
        assert not self.inside, "called back from inside the call"
        assert not self.failures
        self.failures.append((failure, text))


def wait_for(world: World, read: Gathered, records: int) -> None:
    """Run until a reading has brought that many records."""
    world.until(lambda: len(read.records) >= records, f"{records} records")


def append_all(
    world: World, appender: Appender, topic: str, values: list[bytes], partition: int = 0
) -> list[tuple[int, str | None]]:
    """Append the values, wait for all reports, return them in the order in which they came."""
    reports: list[tuple[int, str | None]] = []
    for value in values:
        before = len(reports)
        appender.append(topic, partition, value, lambda offset, error: reports.append((offset, error)))
        assert len(reports) == before, "called back from inside the call"
    world.until(lambda: len(reports) == len(values), "every append is reported")
    return reports
