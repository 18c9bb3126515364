"""The plugin of pytest, which finds it by itself: fixtures for tests of workflows.

`headrace_app` runs an app on virtual time in memory and ends it with the test. `headrace_kafka` is the address of a
real Kafka for the whole session (needs `pip install headrace[kafka]`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headrace.testing.kit import TestApp


@pytest.fixture
def headrace_app() -> Iterator[Callable[..., TestApp]]:
    """Give what runs apps under test: `t = headrace_app(app)`; options as for `app.test()`."""
    from headrace.testing.kit import TestApp

    with ExitStack() as stack:

        def run(*apps: Any, **options: Any) -> TestApp:
            return stack.enter_context(TestApp(*apps, **options))

        yield run


@pytest.fixture(scope="session")
def headrace_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a Kafka broker that lives as long as the session; for `bootstrap.servers`."""
    from headrace.adapters.embedded_kafka import EmbeddedKafka

    with EmbeddedKafka(tmp_path_factory.mktemp("headrace-kafka")) as kafka:
        yield kafka.bootstrap
