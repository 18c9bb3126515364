"""A reader's thread that fails: its readings are told, and the next one gets another thread."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from headrace.adapters.kafka_reader import KafkaReader
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.seams import ReadFailure


def test_readings_of_a_thread_that_failed_are_told_and_later_ones_get_another() -> None:
    async def scenario() -> None:
        reader = KafkaReader(KafkaSettings("127.0.0.1:1"), asyncio.get_running_loop(), name="failing")
        failed: asyncio.Queue[tuple[str, ReadFailure, str]] = asyncio.Queue()

        def read(topic: str) -> Any:
            return reader.read(topic, 0, 0, lambda _: None, lambda why, text: failed.put_nowait((topic, why, text)))

        readings = [read("a"), read("b")]
        lane = reader._lanes[0]
        lane._commands.append(("open", cast(Any, None)))  # a mistake of the engine's own, on the thread
        told = {await asyncio.wait_for(failed.get(), 10) for _ in readings}
        assert {topic for topic, _, _ in told} == {"a", "b"}
        assert all(why is ReadFailure.REFUSED and "the reader failed" in text for _, why, text in told)
        after = read("a")
        assert reader._lanes[0] is not lane
        assert reader._lanes[0].alive
        for reading in (*readings, after):
            reading.close()
        reader.close()

    asyncio.run(scenario())
