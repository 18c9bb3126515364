"""Creates the topics that are missing and checks those that are there: nothing starts on one that may lose state."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from headrace.adapters.kafka_admin import admin
from headrace.adapters.kafka_offsets import bounds_of, open_offsets
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topic_plans import SEGMENT_BYTES_KEPT, TopicPlan, plan_topics
from headrace.errors import HeadraceError, LogUnavailable, NotReady

DEFAULT_PARTITIONS = 16
_AGAIN_S = 0.01
_THREADS = 8
_PREFIX = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,199}")
_DENIED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})


class TopicFound(NamedTuple):
    """One topic as it stands; its id changes when it is deleted and made again. `retention_ms` -1 is for ever."""

    name: str
    topic_id: str
    partitions: int
    replicas: int
    retention_ms: int
    created: bool


@dataclass(frozen=True)
class TopicsFound:
    """All topics of a cluster, and what an operator should look at although it stops nothing."""

    partitions: int
    topics: Mapping[str, TopicFound]
    warnings: tuple[str, ...] = field(default=())


class _Described(NamedTuple):
    topic_id: str
    partitions: int
    replicas: int
    led: bool


def ensure_topics(
    settings: KafkaSettings,
    prefix: str = "headrace",
    partitions: int | None = None,
    *,
    default_partitions: int = DEFAULT_PARTITIONS,
    timeout_ms: int = 30_000,
) -> TopicsFound:
    """Create what is missing, check what exists; blocks for `timeout_ms` at most.

    The number of partitions is adopted from the topics that exist; `partitions` None asks for no particular number, and
    another number than the existing one is an error. A new cluster gets `partitions`, else `default_partitions`.

    Errors: NotReady for a topic or a number that must be mended first, LogUnavailable when Kafka does not answer.
    """
    _check_arguments(prefix, partitions)
    with admin(settings) as client:
        offsets = open_offsets(settings, f"{prefix}-readers")
        try:
            topics = _Topics(client, offsets, settings.bootstrap, prefix, time.monotonic() + timeout_ms / 1000)
            return topics.ensure(partitions, default_partitions)
        finally:
            offsets.close()


class _Topics:
    """One look at the topics, and what it takes to have them all."""

    def __init__(self, client: AdminClient, offsets: Consumer, bootstrap: str, prefix: str, deadline: float) -> None:
        self._offsets = offsets
        self._bootstrap = bootstrap
        self._deadline = deadline
        self._admin = client
        self._brokers = len(self._answer("the brokers", self._ask(self._admin.describe_cluster)).nodes)
        self._plans = plan_topics(prefix, self._brokers)

    def ensure(self, wanted: int | None, default: int) -> TopicsFound:
        """Create, adopt, check."""
        before = self._describe()
        partitions = self._settle_partitions(before, wanted, default)
        missing = [plan for plan in self._plans if plan.name not in before]
        if missing:
            self._create(missing, partitions)
        after = self._describe_until_all_lead()
        if missing:
            self._wait_until_readable({plan.name: after[plan.name].partitions for plan in missing})
            # Another node may have created them at the same moment, with another number in mind.
            partitions = self._settle_partitions(after, wanted, partitions)
        configured = self._configured()
        self._check_settings(configured)
        found = {
            plan.name: TopicFound(
                plan.name,
                after[plan.name].topic_id,
                after[plan.name].partitions,
                after[plan.name].replicas,
                int(configured[plan.name]["retention.ms"])
                if "delete" in configured[plan.name]["cleanup.policy"]
                else -1,
                plan in missing,
            )
            for plan in self._plans
        }
        return TopicsFound(partitions, found, tuple(self._warnings(after, configured)))

    def _settle_partitions(self, found: Mapping[str, _Described], wanted: int | None, default: int) -> int:
        counts = {plan.name: found[plan.name].partitions for plan in self._plans if plan.name in found}
        for plan in self._plans:
            if plan.single and counts.pop(plan.name, 1) != 1:
                raise _wrong_count(plan.name, found[plan.name].partitions, 1)
        if not counts:
            return wanted or default
        first, *others = counts.items()
        for name, count in others:
            if count != first[1]:
                raise NotReady(
                    "topic_partitions_differ",
                    f"topic {name} has {count} partitions, topic {first[0]} has {first[1]}",
                    why="partition n of each of these topics belongs to one state; the numbers must be equal",
                    do="delete the topic that was made by mistake (it must be empty) and start again: it is made anew",
                )
        if wanted is not None and wanted != first[1]:
            raise _wrong_count(first[0], first[1], wanted)
        return first[1]

    def _create(self, plans: Sequence[TopicPlan], partitions: int) -> None:
        replicas = min(3, self._brokers)
        topics = [
            NewTopic(plan.name, 1 if plan.single else partitions, replicas, config=dict(plan.settings))
            for plan in plans
        ]
        remaining_s = self._remaining_s()
        answers = self._admin.create_topics(topics, request_timeout=remaining_s, operation_timeout=remaining_s)
        for name, answer in answers.items():
            self._answer(f"topic {name}", answer, unless=KafkaError.TOPIC_ALREADY_EXISTS)

    def _describe(self) -> dict[str, _Described]:
        names = [plan.name for plan in self._plans]
        answers = self._ask(self._admin.describe_topics, TopicCollection(names))
        found = {}
        for name, answer in answers.items():
            topic = self._answer(f"topic {name}", answer, unless=KafkaError.UNKNOWN_TOPIC_OR_PART)
            if topic is not None:
                replicas = min((len(partition.replicas) for partition in topic.partitions), default=0)
                led = all(partition.leader is not None for partition in topic.partitions)
                found[name] = _Described(str(topic.topic_id), len(topic.partitions), replicas, led)
        return found

    def _describe_until_all_lead(self) -> dict[str, _Described]:
        """Wait until every topic is known and every partition has a leader: brokers learn of a new topic one by one."""
        while True:
            found = self._describe()
            waiting = [plan.name for plan in self._plans if plan.name not in found or not found[plan.name].led]
            if not waiting:
                return found
            if time.monotonic() >= self._deadline:
                raise LogUnavailable(
                    "topic_without_leader",
                    f"not every partition of {', '.join(waiting)} has a leader",
                    why="the brokers that hold these partitions are down, or have not heard of the topics yet",
                    do="see that all brokers are up, and start again",
                )
            time.sleep(_AGAIN_S)

    def _wait_until_readable(self, partitions: Mapping[str, int]) -> None:
        """Wait until the leaders know that they lead: they hear of it a moment after everybody else."""
        places = [TopicPartition(name, number) for name, count in partitions.items() for number in range(count)]
        while places and time.monotonic() < self._deadline:
            time.sleep(_AGAIN_S)
            with ThreadPoolExecutor(_THREADS) as threads:
                places = [place for place in threads.map(self._unreadable, places) if place is not None]

    def _unreadable(self, place: TopicPartition) -> TopicPartition | None:
        try:
            bounds_of(self._offsets, place.topic, place.partition, min(2.0, max(0.1, self._remaining_s())))
        except (KafkaException, OSError):
            return place
        return None

    def _configured(self) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, plan.name) for plan in self._plans]
        answers = self._ask(self._admin.describe_configs, resources)
        configured = {}
        for resource, answer in answers.items():
            entries = self._answer(f"topic {resource.name}", answer)
            configured[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
        return configured

    def _check_settings(self, configured: Mapping[str, Mapping[str, str]]) -> None:
        wrong = [
            (plan.name, rule, configured[plan.name].get(rule.setting, "not set"))
            for plan in self._plans
            for rule in plan.rules
            if not rule.permits(configured[plan.name].get(rule.setting, "-2"))
        ]
        if wrong:
            raise NotReady(
                "topic_setting",
                "; ".join(
                    f"topic {name}: {rule.setting} is {found}, wanted is {rule.demand}" for name, rule, found in wrong
                ),
                why="; ".join(dict.fromkeys(f"{rule.setting}: {rule.why}" for _, rule, _ in wrong)),
                do="\n         ".join(self._mend(name, rule.setting, rule.wanted) for name, rule, _ in wrong),
            )

    def _warnings(
        self, described: Mapping[str, _Described], configured: Mapping[str, Mapping[str, str]]
    ) -> Iterable[str]:
        replicas = min(3, self._brokers)
        for plan in self._plans:
            if described[plan.name].replicas < replicas:
                yield (
                    f"topic {plan.name} has {described[plan.name].replicas} replica(s), {replicas} are possible: "
                    "add some with kafka-reassign-partitions.sh"
                )
            segment_bytes = int(configured[plan.name].get("segment.bytes", 0))
            if plan.trimmed and segment_bytes > SEGMENT_BYTES_KEPT:
                mend = self._mend(plan.name, "segment.bytes", plan.settings["segment.bytes"])
                yield f"topic {plan.name}: trimming frees whole segments, and these have {segment_bytes} bytes: {mend}"

    def _mend(self, name: str, setting: str, wanted: str) -> str:
        return (
            f"kafka-configs.sh --bootstrap-server {self._bootstrap} --alter --entity-type topics "
            f"--entity-name {name} --add-config {setting}={wanted}"
        )

    def _remaining_s(self) -> float:
        return max(1.0, self._deadline - time.monotonic())

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        return question(*arguments, request_timeout=self._remaining_s())

    def _answer(self, what: str, answer: Future[Any], *, unless: int | None = None) -> Any:
        """Wait for an answer; None for the one error that is an answer too."""
        try:
            return answer.result(self._remaining_s() + 5)
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if unless is not None and error.code() == unless:
                return None
            raise self._failure(what, error) from None
        except TimeoutError:
            raise self._failure(what, None) from None

    def _failure(self, what: str, error: KafkaError | None) -> HeadraceError:
        text = error.str() if error is not None else "no answer"
        if error is not None and error.code() in _DENIED:
            return NotReady(
                "topic_access_denied",
                f"Kafka at {self._bootstrap} does not let this client at {what}",
                why=text,
                do="give it the rights that `headrace topics acls` lists",
            )
        if error is not None and error.code() in (KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG):
            return NotReady(
                "topic_refused",
                f"Kafka at {self._bootstrap} does not create {what} as it is asked to",
                why=text,
                do="create the topic by hand, as `headrace topics check` lists it, or have the brokers' policy changed",
            )
        return LogUnavailable(
            "topics_unreachable",
            f"Kafka at {self._bootstrap} did not answer about {what}",
            why=text,
            do="see that the brokers are up and reachable, and start again",
        )


def _check_arguments(prefix: str, partitions: int | None) -> None:
    if not _PREFIX.fullmatch(prefix):
        raise NotReady(
            "prefix_invalid",
            f"{prefix!r} cannot begin the names of topics",
            why="Kafka allows letters, digits, dots, underscores and hyphens",
            do="choose another --prefix (HEADRACE_PREFIX), for example headrace",
        )
    if partitions is not None and not 1 <= partitions <= 10_000:
        raise NotReady(
            "partitions_invalid",
            f"{partitions} is no number of partitions",
            why="a cluster has at least one and, for its own sake, at most 10000",
            do="choose another --partitions (HEADRACE_PARTITIONS), or none",
        )


def _wrong_count(name: str, found: int, wanted: int) -> NotReady:
    return NotReady(
        "topic_partitions",
        f"topic {name} has {found} partitions, wanted are {wanted}",
        why="the number is fixed when the topics are created: keys and state are spread by it",
        do=f"use --partitions {found}, or leave it out to take what there is"
        if wanted != 1 or found == 1
        else f"delete the topic {name} and start again: it is made anew with one partition",
    )
