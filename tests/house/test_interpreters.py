"""Every Python that we promise. Goal: nothing needs another interpreter than pyproject.toml says.

Looked for on PATH and among pyenv's; one of each minor version is tried in an environment of its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.house.sources import ROOT
from tests.packaging.archives import build_archives, clean_variables, create_environment

MINORS = ["3.11", "3.12", "3.13", "3.14"]
CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"
SMOKE = Path(__file__).with_name("smoke.py")


@cache
def interpreters() -> dict[str, str]:
    """Map each minor version to an interpreter that runs and has venv; the current one is always there."""
    found = {CURRENT: sys.executable}
    for minor in MINORS:
        pyenv = sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python{minor}"))
        for candidate in [shutil.which(f"python{minor}"), *map(str, pyenv)]:
            if minor not in found and candidate and _works(candidate, minor):
                found[minor] = candidate
    return found


def _works(interpreter: str, minor: str) -> bool:
    # A pyenv shim exists for versions that are not switched on, and fails; a Debian one may lack venv.
    program = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, env=clean_variables())
    return done.returncode == 0 and done.stdout.strip() == minor


@pytest.mark.slow
@pytest.mark.parametrize("minor", MINORS)
def test_the_package_compiles_and_imports(minor: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if minor not in interpreters():
        pytest.skip(f"no Python {minor} on this machine")
    wheel = build_archives(tmp_path_factory.getbasetemp() / "archives").wheel
    environment = create_environment(tmp_path_factory.mktemp("python"), interpreters()[minor])
    environment.install(str(wheel))
    package = environment.run("python", "-c", "import headrace; print(headrace.__path__[0])").strip()
    assert Path(package).is_relative_to(environment.folder)
    environment.run("python", "-W", "error", "-m", "compileall", "-q", "-f", package)
    assert "modules" in environment.run("python", str(SMOKE))


def test_the_current_interpreter_is_among_those_tried() -> None:
    assert CURRENT in MINORS
    assert CURRENT in interpreters()


def test_the_versions_tried_are_those_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert named == MINORS
    assert project["requires-python"] == f">={MINORS[0]}"
