"""The bounds of a partition, asked by a consumer that never reads.

Not by the admin client: its `list_offsets` (librdkafka 2.16) ended the process now and then, with a lock that was not
there, when several partitions were asked for at once shortly after their topic was made.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from headrace.adapters.kafka_settings import KafkaSettings


def open_offsets(settings: KafkaSettings, group: str = "headrace-readers") -> Consumer:
    """Return a client for `bounds_of`; it joins no group, but Kafka wants the name of one."""
    return Consumer(settings.client({"group.id": group, "enable.auto.commit": False}, logged=False))


def bounds_of(client: Consumer, topic: str, partition: int, timeout_s: float) -> tuple[int, int]:
    """Tell the first offset still there and the next one to be written; blocks. Raises KafkaException."""
    found = client.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_s)
    if found is None:
        raise TimeoutError(f"no answer in {timeout_s:g} s")
    return int(found[0]), int(found[1])


def offset_at(client: Consumer, topic: str, partition: int, time_ms: int, timeout_s: float) -> int:
    """Tell the first record that is not older than a time, or the end; blocks. Raises KafkaException."""
    [found] = client.offsets_for_times([TopicPartition(topic, partition, max(time_ms, 0))], timeout=timeout_s)
    if found.error is not None:
        raise KafkaException(found.error)
    # Behind the last record there is no offset to tell: -1.
    return int(found.offset) if found.offset >= 0 else bounds_of(client, topic, partition, timeout_s)[1]
