"""What tests of several rooms share: one real Kafka for the whole session, started when the first test asks for it."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from headrace.adapters.embedded_kafka import EmbeddedKafka

# A busy machine is no failure: nothing that is generated here is about time.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

# As in a node (`cli/serving.py`): thousands of tests and their worlds are not to be looked through again and again.
gc.set_threshold(50_000, 20, 100)

_TESTS = Path(__file__).parent
_KAFKA_TESTS = _TESTS / "kafka"
_LONGEST = _TESTS / "simulation" / "test_seeds.py"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files unread that have nothing to do with the broker where only tests on it are asked for.

    Importing all the others takes longer than many a test, in each of several processes. A test has the broker from its
    own file or from a `conftest.py` above it, and one of them says so.
    """
    if not str(config.option.markexpr).startswith("kafka and") or collection_path.suffix != ".py":
        return None
    rooms = [folder / "conftest.py" for folder in collection_path.parents if _TESTS in folder.parents]
    texts = (path.read_text("utf-8") for path in [collection_path, *rooms] if path.exists())
    return None if _KAFKA_TESTS in collection_path.parents or any("kafka" in text for text in texts) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the broker, so that `-m "not kafka"` leaves out all of it and nothing else.

    What takes longest comes first: processes that share the tests out end together if what is left at last is short.
    """
    for item in items:
        if _KAFKA_TESTS in item.path.parents or "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    items.sort(key=lambda item: item.path != _LONGEST)


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
