"""Build the archives once per test session, and make environments that know nothing of the working copy."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.house.sources import ROOT

_QUIETLY = ["--quiet", "--disable-pip-version-check", "--no-compile"]


@dataclass(frozen=True)
class Archives:
    """What is published: the sdist, and the wheel that was built from that sdist."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, and an empty folder to stand in."""

    folder: Path

    @property
    def bin(self) -> Path:
        """Name the folder of its programs."""
        return self.folder / "venv" / "bin"

    def run(self, *command: str | Path) -> str:
        """Run a program of the environment and give back what it printed; fails with all of its output."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=clean_variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            pytest.fail(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def install(self, *requirements: str) -> None:
        """Install with pip, as a user would; the pip is our own, for the one that comes with Python is half as fast."""
        self.run(sys.executable, "-m", "pip", "--python", self.bin / "python", "install", *_QUIETLY, *requirements)


@cache
def build_archives(folder: Path) -> Archives:
    """Build the sdist, and the wheel from it, so that an sdist that lacks something shows here."""
    built = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert built.returncode == 0, built.stdout
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Archives(sdist, wheel)


def create_environment(folder: Path, python: str = sys.executable) -> Environment:
    """Make an empty environment for an interpreter."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "venv"], check=True, env=clean_variables())
    return Environment(folder)


def clean_variables() -> dict[str, str]:
    """Copy the process's variables without those that lead back to the working copy or set Headrace up."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV", "MAKE"))
        and (not name.startswith("HEADRACE_") or name == "HEADRACE_CACHE_DIR")
    }
