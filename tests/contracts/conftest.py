"""The worlds on which each contract runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.memory_world import MemoryWorld
from tests.contracts.worlds import KafkaWorld, World


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = MemoryWorld() if request.param == "memory" else KafkaWorld(request.getfixturevalue("kafka_bootstrap"))
    yield world
    world.close()
