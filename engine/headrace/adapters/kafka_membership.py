"""Who owns which partition, decided by an ordinary consumer group: the seam `Membership`.

The consumer joins the group on the commands topic and never reads: its partitions are paused as they come. Its thread
does nothing but poll, so that nothing of the node's work can hold up the group. A revocation holds that thread until
the node has let go, at most `let_go_ms`; heartbeats go on meanwhile, librdkafka sends them from a thread of its own.

The membership is static (a node that restarts within its session keeps its partitions), and a static member that merely
closes its consumer keeps them until the session ends. A node that stops for good must therefore unsubscribe, which does
leave the group, and poll until that is done (librdkafka forgets its member id then) before it closes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from headrace.adapters.kafka_loop import ThreadsafeLoop, post
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import Members

logger = logging.getLogger("headrace.kafka")

_POLL_S = 0.1
_LEAVE_POLL_S = 0.02


@dataclass(frozen=True)
class MembershipLimits:
    """How patient the group is with this member, and the member with its node."""

    session_ms: int = 10_000
    heartbeat_ms: int = 300
    let_go_ms: int = 3_000
    leave_ms: int = 5_000


class KafkaMembership:
    """A static member of the group `group`, by the name `instance_id`."""

    def __init__(
        self,
        settings: KafkaSettings,
        loop: ThreadsafeLoop,
        *,
        group: str,
        instance_id: str,
        topic: str,
        limits: MembershipLimits | None = None,
        name: str = "kafka-membership",
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._group = group
        self._instance_id = instance_id
        self._topic = topic
        self._limits = limits or MembershipLimits()
        self._name = name
        self._held: frozenset[int] = frozenset()  # replaced as a whole, by the thread
        self._members: Members | None = None
        self._left: list[Callable[[], None]] = []  # the loop's alone
        self._gone = False  # the loop's alone too: the thread's last breath cannot tell whether it was heard
        self._leaving = threading.Event()
        self._fatal: KafkaError | None = None
        self._thread: threading.Thread | None = None

    def join(self, members: Members) -> None:
        """Join the group; `members` is told, on the loop, what this node may own."""
        if self._members is not None:
            raise ValueError("a membership is joined once")
        self._members = members
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def holds(self, partition: int) -> bool:
        """Whether the group still assigns the partition to this node, as far as is known now."""
        return partition in self._held

    def leave(self, left: Callable[[], None]) -> None:
        """Revoke everything in good order, leave the group at once, then call."""
        if self._thread is None or self._gone:
            self._loop.call_soon(left)
            return
        self._left.append(left)
        self._leaving.set()

    def _run(self) -> None:
        consumer = Consumer(self._settings.client(self._own_settings()))
        try:
            consumer.subscribe([self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
            while not self._leaving.is_set() and self._fatal is None:
                self._poll(consumer, _POLL_S)
                # The question wakes the client's main thread: left alone it sleeps up to a second, heartbeats with it.
                consumer.assignment()
            if self._fatal is not None:
                self._expel(self._fatal)
            else:
                self._unsubscribe(consumer)
        except Exception as problem:
            logger.exception("the thread that keeps the membership has failed")
            self._expel(problem)
        finally:
            consumer.close()
            self._leaving.wait()
            post(self._loop, self._tell_left)

    def _tell_left(self) -> None:
        self._gone = True
        left, self._left = self._left, []
        for callback in left:
            callback()

    def _poll(self, consumer: Consumer, timeout_s: float) -> None:
        try:
            message = consumer.poll(timeout_s)
            error = message.error() if message is not None else None
        except KafkaException as problem:
            self._fatal = problem.args[0]
            return
        if error is not None:
            self._take_error(error)

    def _unsubscribe(self, consumer: Consumer) -> None:
        try:
            consumer.unsubscribe()
        except KafkaException as problem:
            logger.info("kafka group %s: cannot leave: %s", self._group, problem)
            return
        deadline = time.monotonic() + (self._limits.let_go_ms + self._limits.leave_ms) / 1000
        while time.monotonic() < deadline and self._fatal is None:
            self._poll(consumer, _LEAVE_POLL_S)
            if not consumer.assignment() and consumer.memberid() is None:
                return

    def _take_error(self, error: KafkaError) -> None:
        # A fatal error comes as a message, without its mark, or is raised.
        if error.fatal() or error.code() in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
            self._fatal = error
        elif error.code() not in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            # The offsets of this consumer mean nothing, so nor do errors about them; the callbacks tell the rest.
            logger.warning("kafka group %s: %s", self._group, error.str())

    def _expel(self, reason: KafkaError | Exception) -> None:
        self._held = frozenset()
        assert self._members is not None
        text = reason.str() if isinstance(reason, KafkaError) else repr(reason)
        post(self._loop, self._members.expelled, text)

    def _assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # An explicit offset: without one the client would ask for committed offsets, and reset to one end or the other.
        explicit = [TopicPartition(place.topic, place.partition, 0) for place in places]
        try:
            consumer.incremental_assign(explicit)
            if explicit:
                consumer.pause(explicit)
        except KafkaException as problem:
            # The group has moved on before this was taken up: it will say so, and nothing was told to the node yet.
            logger.info("kafka group %s: assignment not taken up: %s", self._group, problem)
            return
        numbers = _numbers(places)
        self._held = self._held.union(numbers)
        assert self._members is not None
        post(self._loop, self._members.assigned, numbers)

    def _revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        numbers = _numbers(places)
        self._held = self._held.difference(numbers)
        let_go = threading.Event()
        assert self._members is not None
        if numbers and post(self._loop, self._members.revoked, numbers, let_go.set):
            let_go.wait(self._limits.let_go_ms / 1000)
        self._unassign(consumer, places)

    def _lose(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        numbers = _numbers(places)
        self._held = self._held.difference(numbers)
        assert self._members is not None
        post(self._loop, self._members.lost, numbers)
        self._unassign(consumer, places)

    def _unassign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        try:
            consumer.incremental_unassign(places)
        except KafkaException as problem:
            logger.info("kafka group %s: nothing left to give back: %s", self._group, problem)

    def _own_settings(self) -> dict[str, object]:
        return {
            "group.id": self._group,
            "group.instance.id": self._instance_id,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": self._limits.session_ms,
            "heartbeat.interval.ms": self._limits.heartbeat_ms,
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Between the assignment and the pause a fetch may slip out: it shall bring next to nothing.
            "fetch.message.max.bytes": 1,
            "queued.min.messages": 1,
            "error_cb": self._take_error,
        }


def _numbers(places: Sequence[TopicPartition]) -> list[int]:
    return sorted(place.partition for place in places)
