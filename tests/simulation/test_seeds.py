"""Worlds from seeds. Goal: every invariant holds in each of them, whatever strikes; and everything does strike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.kinds import KINDS
from tests.simulation.simulation import simulate

CHUNK = 120
FIXED = range(4 * CHUNK)
FRESH = 40


@pytest.mark.parametrize("first", FIXED[::CHUNK])
def test_fixed_seeds(first: int) -> None:
    struck: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        struck.update(simulate(seed).struck)
    missing = [kind for kind in KINDS if not struck[kind]]
    assert not missing, f"in the {CHUNK} worlds from seed {first} on these never struck: {missing}"
    unknown = sorted(set(struck) - set(KINDS))
    assert not unknown, f"these struck and are not listed in kinds.py: {unknown}"


def test_fresh_seeds() -> None:
    first = int.from_bytes(os.urandom(4))
    print(f"fresh seeds from {first} on: make simulate N={FRESH} SEED={first}")
    for seed in range(first, first + FRESH):
        simulate(seed)


def test_a_seed_is_always_the_same_world() -> None:
    """Method: the same seeds in two processes that hash differently; the trace is over every record of every topic."""
    command = [sys.executable, "-m", "tests.simulation", "--runs", "6", "--seed", "100"]
    printed = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        printed.append([line for line in done.stdout.splitlines() if line.startswith("seed ")])
    assert len(printed[0]) == 6
    assert printed[0] == printed[1]
    assert len(set(printed[0])) == 6
