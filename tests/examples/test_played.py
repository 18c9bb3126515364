"""Every example on a real node and a real Kafka, by the command that its page names. Goal: none of them is for show."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.run import names

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
AT_ONCE = 2  # they mostly wait
DEADLINE_S = 120
Played = dict[str, Future["subprocess.CompletedProcess[str]"]]


def play(name: str, bootstrap: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.run", name, "--kafka", bootstrap]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.fixture(scope="module")
def played(kafka_bootstrap: str, request: pytest.FixtureRequest) -> Iterator[Played]:
    """Begin all that were chosen, a few at a time."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    chosen = [item.callspec.params["name"] for item in here if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(play, name, kafka_bootstrap) for name in chosen}


@pytest.mark.parametrize("name", names())
def test_an_example_plays_to_its_end(name: str, played: Played) -> None:
    ended = played[name].result()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "✓" in ended.stdout
