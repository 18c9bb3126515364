"""What Kafka itself takes on this machine, without Headrace: the floor below which no figure of latency can be.

Measured right before the node's latency, on the same broker, with the same client library and settings.
"""

from __future__ import annotations

import threading
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.producer import body

Times = tuple[list[float], list[float]]  # milliseconds: to the acknowledgement, to the consumer
_EVERY_S = 0.02
_WARM_UP = 100  # records that do not count
_PATIENCE_S = 30.0


def bare_kafka(bootstrap: str, seconds: int) -> Times:
    """Send 50 records a second to a consumer."""
    topic = f"bare-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    wanted = 50 * seconds + _WARM_UP
    sent: list[float] = []
    acknowledged: list[float] = []
    consumed: list[float] = []
    reading = threading.Thread(target=_consume, args=(consumer, wanted, consumed))
    reading.start()
    value = body("bench/timed", number=0, sent_ms=time.time() * 1000)
    for _ in range(wanted):
        sent.append(time.perf_counter())
        producer.produce(topic, value, on_delivery=lambda *_: acknowledged.append(time.perf_counter()))
        while len(acknowledged) < len(sent):
            producer.poll(_EVERY_S)
        time.sleep(max(0.0, sent[-1] + _EVERY_S - time.perf_counter()))
    reading.join(_PATIENCE_S)
    consumer.close()
    admin.delete_topics([topic])[topic].result()
    if len(consumed) < wanted:
        raise SystemExit(f"a plain consumer has got {len(consumed)} of {wanted} records")
    counted = slice(_WARM_UP, None)
    return _times(sent, acknowledged)[counted], _times(sent, consumed)[counted]


def _consume(consumer: Consumer, wanted: int, consumed: list[float]) -> None:
    deadline = time.monotonic() + wanted * _EVERY_S + _PATIENCE_S
    while len(consumed) < wanted and time.monotonic() < deadline:
        record = consumer.poll(0.1)
        if record is not None and record.error() is None:
            consumed.append(time.perf_counter())


def _times(begun: list[float], ended: list[float]) -> list[float]:
    return [(end - begin) * 1000 for begin, end in zip(begun, ended, strict=True)]
