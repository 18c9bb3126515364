"""What the tests of the command line share: a clean environment, a runner, a node that answers as told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.fake_node import FakeNode, fake_node

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start in an empty folder, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("HEADRACE_") and name != "HEADRACE_CACHE_DIR":
            monkeypatch.delenv(name)


@pytest.fixture
def run() -> Run:
    """Run the command line as a user would, in this process."""

    def run(*arguments: str, stdin: str | None = None, **variables: str) -> Result:
        from headrace.cli.commands import headrace

        return CliRunner().invoke(headrace, arguments, input=stdin, env=variables, prog_name="headrace")

    return run


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """Give a node that answers what the test tells it to."""
    with fake_node() as running:
        yield running
