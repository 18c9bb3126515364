"""Creating and checking topics. Goal: a node never starts on topics that could lose its state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from headrace.adapters.kafka_acls import required_acls
from headrace.adapters.kafka_admin import admin
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topic_plans import plan_topics
from headrace.adapters.kafka_topics import ensure_topics
from headrace.errors import LogUnavailable, NotReady

pytestmark = pytest.mark.kafka

PARTITIONED = ["events", "commands", "changelog", "snapshots", "history", "dead"]
SINGLE = ["functions", "control"]


@pytest.fixture
def settings(kafka_bootstrap: str) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap)


@pytest.fixture
def client(settings: KafkaSettings) -> Iterator[AdminClient]:
    with admin(settings) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return f"topics-{uuid4().hex[:12]}"


def alter(client: AdminClient, topic: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client.incremental_alter_configs([resource])[resource].result(30)


def create(client: AdminClient, topic: str, partitions: int) -> None:
    client.create_topics([NewTopic(topic, partitions, 1)], operation_timeout=30)[topic].result(30)
    # The answer comes a moment before the broker tells others of the topic.
    deadline = time.monotonic() + 30
    while client.list_topics(topic, timeout=10).topics[topic].error is not None:
        assert time.monotonic() < deadline, f"{topic} does not appear"


def configured(client: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return {name: entry.value for name, entry in client.describe_configs([resource])[resource].result(30).items()}


def test_missing_topics_are_created_as_planned(settings: KafkaSettings, client: AdminClient, prefix: str) -> None:
    found = ensure_topics(settings, prefix, 3)
    assert found.partitions == 3
    assert {topic.name: topic.partitions for topic in found.topics.values()} == {
        **{f"{prefix}.{name}": 3 for name in PARTITIONED},
        **{f"{prefix}.{name}": 1 for name in SINGLE},
    }
    assert all(topic.created for topic in found.topics.values())
    assert len({topic.topic_id for topic in found.topics.values()}) == 8
    for name in ("commands", "changelog", "snapshots"):
        topic = configured(client, f"{prefix}.{name}")
        assert (topic["cleanup.policy"], topic["retention.ms"], topic["retention.bytes"]) == ("delete", "-1", "-1")
        assert int(topic["segment.bytes"]) <= 16 * 1024 * 1024
    for topic_found in found.topics.values():
        topic = configured(client, topic_found.name)
        assert topic["message.timestamp.type"] == "LogAppendTime"
        assert topic["max.message.bytes"] == str(16 * 1024 * 1024)
        assert topic["unclean.leader.election.enable"] == "false"
        assert int(topic["segment.bytes"]) >= int(topic["max.message.bytes"]), "a record must fit into a segment"
    days_ms = 24 * 3_600_000
    kept = {name: found.topics[f"{prefix}.{name}"].retention_ms for name in PARTITIONED + SINGLE}
    assert kept == {
        "events": 7 * days_ms,
        "history": 7 * days_ms,
        "dead": 30 * days_ms,
        **dict.fromkeys(["commands", "changelog", "snapshots", "functions", "control"], -1),
    }
    assert found.warnings == ()


def test_what_exists_is_left_alone_and_its_partitions_adopted(settings: KafkaSettings, prefix: str) -> None:
    first = ensure_topics(settings, prefix, 5)
    again = ensure_topics(settings, prefix)
    assert again.partitions == 5
    assert not any(topic.created for topic in again.topics.values())
    assert {topic.topic_id for topic in again.topics.values()} == {topic.topic_id for topic in first.topics.values()}
    assert ensure_topics(settings, prefix, 5).partitions == 5


def test_only_an_explicit_other_number_of_partitions_is_an_error(settings: KafkaSettings, prefix: str) -> None:
    ensure_topics(settings, prefix, 2)
    with pytest.raises(NotReady) as raised:
        ensure_topics(settings, prefix, 3)
    assert raised.value.code == "topic_partitions"
    assert "2 partitions" in raised.value.what
    assert "--partitions 2" in raised.value.do
    assert ensure_topics(settings, prefix, None, default_partitions=9).partitions == 2


def test_a_new_cluster_gets_the_default_number(settings: KafkaSettings, prefix: str) -> None:
    assert ensure_topics(settings, prefix, default_partitions=4).partitions == 4


def test_what_is_missing_is_added_with_the_number_that_the_others_have(
    settings: KafkaSettings, client: AdminClient, prefix: str
) -> None:
    create(client, f"{prefix}.events", 3)
    for setting, value in plan_topics(prefix, 1)[0].settings.items():
        alter(client, f"{prefix}.events", setting, value)
    found = ensure_topics(settings, prefix)
    assert found.partitions == 3
    assert [topic.name for topic in found.topics.values() if not topic.created] == [f"{prefix}.events"]


def test_topics_with_different_numbers_of_partitions_are_an_error(
    settings: KafkaSettings, client: AdminClient, prefix: str
) -> None:
    create(client, f"{prefix}.changelog", 3)
    create(client, f"{prefix}.events", 4)
    with pytest.raises(NotReady) as raised:
        ensure_topics(settings, prefix)
    assert raised.value.code == "topic_partitions_differ"
    assert f"{prefix}.changelog has 3" in raised.value.what


def test_a_compacted_topic_has_one_partition(settings: KafkaSettings, client: AdminClient, prefix: str) -> None:
    create(client, f"{prefix}.control", 2)
    with pytest.raises(NotReady) as raised:
        ensure_topics(settings, prefix)
    assert raised.value.code == "topic_partitions"
    assert f"{prefix}.control" in raised.value.what


@pytest.mark.parametrize(
    ("topic", "setting", "value", "wanted"),
    [
        ("changelog", "cleanup.policy", "compact", "delete"),
        ("changelog", "retention.ms", "604800000", "-1"),
        ("commands", "retention.ms", "604800000", "-1"),
        ("snapshots", "retention.bytes", "1000000000", "-1"),
        ("commands", "message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("events", "cleanup.policy", "compact,delete", "delete"),
        ("events", "max.message.bytes", "1000000", "16777216"),
        ("functions", "cleanup.policy", "compact,delete", "compact"),
        ("history", "unclean.leader.election.enable", "true", "false"),
    ],
)
def test_a_setting_that_endangers_state_stops_the_start(
    settings: KafkaSettings, client: AdminClient, prefix: str, topic: str, setting: str, value: str, wanted: str
) -> None:
    ensure_topics(settings, prefix, 1)
    alter(client, f"{prefix}.{topic}", setting, value)
    with pytest.raises(NotReady) as raised:
        ensure_topics(settings, prefix)
    error = raised.value
    assert error.code == "topic_setting"
    assert f"{prefix}.{topic}: {setting} is {value}, wanted is" in error.what
    assert error.why
    assert "kafka-configs.sh" in error.do
    assert f"--entity-name {prefix}.{topic} --add-config {setting}={wanted}" in error.do
    alter(client, f"{prefix}.{topic}", setting, wanted)
    assert ensure_topics(settings, prefix).partitions == 1


def test_all_that_is_wrong_is_said_at_once(settings: KafkaSettings, client: AdminClient, prefix: str) -> None:
    ensure_topics(settings, prefix, 1)
    alter(client, f"{prefix}.changelog", "retention.ms", "1000")
    alter(client, f"{prefix}.commands", "retention.ms", "1000")
    with pytest.raises(NotReady) as raised:
        ensure_topics(settings, prefix)
    assert raised.value.do.count("kafka-configs.sh") == 2


def test_an_operator_may_keep_events_longer_and_is_told_of_large_segments(
    settings: KafkaSettings, client: AdminClient, prefix: str
) -> None:
    ensure_topics(settings, prefix, 1)
    alter(client, f"{prefix}.events", "retention.ms", "99999999999")
    alter(client, f"{prefix}.changelog", "segment.bytes", "1073741824")
    found = ensure_topics(settings, prefix)
    assert found.topics[f"{prefix}.events"].retention_ms == 99_999_999_999
    (warning,) = found.warnings
    assert f"{prefix}.changelog" in warning
    assert "segment.bytes=16777216" in warning


def test_nodes_that_start_together_agree(settings: KafkaSettings, prefix: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        nodes = [pool.submit(ensure_topics, settings, prefix, default_partitions=3) for _ in range(4)]
        ids = {frozenset(topic.topic_id for topic in node.result().topics.values()) for node in nodes}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("bad_prefix", "partitions"), [("", None), ("a b", None), ("-a", None), ("a", 0), ("a", 10**6)]
)
def test_names_and_numbers_that_kafka_would_refuse_are_refused_first(
    settings: KafkaSettings, bad_prefix: str, partitions: int | None
) -> None:
    with pytest.raises(NotReady) as raised:
        ensure_topics(settings, bad_prefix, partitions)
    assert raised.value.code in ("prefix_invalid", "partitions_invalid")


def test_a_broker_that_does_not_answer_is_given_up(prefix: str) -> None:
    with pytest.raises(LogUnavailable) as raised:
        ensure_topics(KafkaSettings("127.0.0.1:1"), prefix, timeout_ms=500)
    assert raised.value.code == "topics_unreachable"


def test_three_brokers_get_two_copies_at_least() -> None:
    for plan in plan_topics("p", brokers=3):
        assert plan.settings["min.insync.replicas"] == "2"
        (rule,) = [rule for rule in plan.rules if rule.setting == "min.insync.replicas"]
        assert not rule.permits("1")
        assert rule.permits("3")
    assert all(rule.setting != "min.insync.replicas" for plan in plan_topics("p", brokers=2) for rule in plan.rules)


def test_the_rights_of_a_node_cover_its_topics_and_its_group() -> None:
    rights = required_acls("shop", "User:headrace", ["orders"])
    granted = {(acl.resource, acl.name, acl.pattern, operation) for acl in rights for operation in acl.operations}
    assert granted >= {
        *(("topic", "shop.", "prefixed", operation) for operation in ("Read", "Write", "Create", "Delete", "Describe")),
        ("topic", "shop.", "prefixed", "DescribeConfigs"),
        ("group", "shop", "prefixed", "Read"),
        ("topic", "orders", "literal", "Read"),
    }
    assert rights[-1].command("b:1") == (
        "kafka-acls.sh --bootstrap-server b:1 --add --allow-principal User:headrace "
        "--operation Describe --operation Read --topic orders --resource-pattern-type literal"
    )
