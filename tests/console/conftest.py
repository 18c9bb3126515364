"""Nothing that a test opened outlives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console.archives import close_all


@pytest.fixture(autouse=True)
def _everything_is_closed() -> Iterator[None]:
    yield
    close_all()
