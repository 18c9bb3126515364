"""Tests on a real broker."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def broker(kafka_bootstrap: str) -> str:
    """The address of the session's broker, for `bootstrap.servers`."""
    return kafka_bootstrap
