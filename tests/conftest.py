"""What tests of several rooms share: one real Kafka for the whole session, started when the first test asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from headrace.adapters.embedded_kafka import EmbeddedKafka

# A busy machine is no failure: nothing that is generated here is about time.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

_KAFKA_TESTS = Path(__file__).with_name("kafka")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the broker, so that `-m "not kafka"` leaves out all of it and nothing else."""
    for item in items:
        if _KAFKA_TESTS in item.path.parents or "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """The session's broker itself. Everybody uses it: take topics and groups of your own, and do not stop it."""
    folder = tmp_path_factory.mktemp("kafka")
    with EmbeddedKafka(folder) as kafka:
        yield kafka
        kafka.raise_if_dead()
    # Pytest keeps the folders of the last sessions; a broker's is too large for that.
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_broker: EmbeddedKafka) -> str:
    """The address of the session's broker, for `bootstrap.servers`."""
    return kafka_broker.bootstrap
