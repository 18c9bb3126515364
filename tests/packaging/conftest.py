"""What the tests of the archives share."""

from __future__ import annotations

import pytest

from tests.packaging.archives import Archives, build_archives


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Give the archives, built once per session."""
    return build_archives(tmp_path_factory.getbasetemp() / "archives")
