"""The projection's process on a real Kafka. Goal: killed at any moment, it leaves nothing out and repeats nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Producer

from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topics import ensure_topics
from headrace.console.archive import prepare_archive
from headrace.console.lag_queries import read_lag
from headrace.console.projector_process import ProjectorProcess
from headrace.worker.layout import Topics
from tests.console.archives import open_for_reading
from tests.console.histories import TOPICS
from tests.console.shop import shop_history
from tests.console.test_projector import until


def test_killed_again_and_again_it_leaves_nothing_out_and_repeats_nothing(tmp_path: Path, kafka_bootstrap: str) -> None:
    prefix = f"console-{uuid4().hex[:8]}"
    settings = KafkaSettings(kafka_bootstrap)
    found = ensure_topics(settings, prefix, 8)
    topics = {name: (topic.topic_id, topic.partitions) for name, topic in found.topics.items()}
    now_ms = time.time_ns() // 1_000_000
    history = shop_history(now_ms, runs=1_500)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "linger.ms": 5})
    path = tmp_path / "a.db"
    prepare_archive(path)
    names = dict(zip(vars_of(TOPICS), vars_of(Topics(prefix)), strict=True))

    def count(table: str) -> int:
        (number,) = open_for_reading(path).execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(number)

    async def started() -> ProjectorProcess:
        projector = ProjectorProcess(settings, prefix, path, topics)
        await projector.start()
        return projector

    async def play() -> None:
        kills = 0
        projector = await started()
        for number, record in enumerate(history.records):
            producer.produce(
                names[record.topic], record.value, record.key, record.partition, headers=list(record.headers or ())
            )
            if number % 1_500 == 1_499:
                # In the middle of what it reads, with more on the way.
                seen = count("events")
                producer.flush()
                await until(lambda seen=seen: count("events"), lambda now, seen=seen: now > seen)
                if projector.pid is not None:
                    os.kill(projector.pid, signal.SIGKILL)
                    kills += 1
                await projector.stop()
                projector = await started()
        producer.flush()
        events = sum(record.topic == TOPICS.events for record in history.records)
        runs = len({record.key for record in history.records if record.topic == TOPICS.history and record.key})
        await until(lambda: (count("events"), count("runs")), lambda now: now >= (events, runs))
        assert (count("events"), count("runs")) == (events, runs)
        assert kills >= 3
        lag = await until(
            lambda: read_lag(open_for_reading(path), time.time_ns() // 1_000_000), lambda now: now.records_behind == 0
        )
        assert lag.running
        assert (lag.missed, lag.unreadable) == (0, 0)
        await projector.stop()

    asyncio.run(play())


def vars_of(topics: Topics) -> list[str]:
    return [topics.events, topics.history, topics.dead, topics.functions]
