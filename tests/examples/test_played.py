"""Every example on a real node and a real Kafka, by the command that its page names. Goal: none of them is for show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.run import names

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
DEADLINE_S = 300  # the first time one of them fetches packages


@pytest.mark.parametrize("name", names())
def test_an_example_plays_to_its_end(name: str, kafka_bootstrap: str) -> None:
    command = [sys.executable, "-m", "examples.run", name, "--kafka", kafka_bootstrap]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "✓" in ended.stdout
