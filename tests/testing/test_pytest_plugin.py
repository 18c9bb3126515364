"""The plugin of pytest. Goal: a stranger's tests have the fixtures, and other people's tests pay nothing for them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

PLUGIN = "headrace.testing.pytest_plugin"
ROOT = Path(__file__).parents[2]
_TESTS = """
from headrace import App, Context

app = App("shop")

@app.function("f", trigger="go")
async def f(ctx: Context) -> int:
    return ctx.event.data["n"]

def test_in_memory(headrace_app):
    t = headrace_app(app)
    t.send("go", {"n": 7})
    assert t.run_of("f").output == 7

def test_two_at_once(headrace_app):
    for n in (1, 2):
        t = headrace_app(app, always_replay=False)
        t.send("go", {"n": n})
        assert [run.output for run in t.runs] == [n]
"""


def test_the_fixtures_are_there(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(_TESTS)
    # By its name: whether the entry point is registered here depends on when the package was installed.
    words = ["-p", "no:headrace", "-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error", "-q", "--rootdir", "."]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_package_names_it_to_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"headrace": PLUGIN}


def test_loading_it_loads_nothing_of_the_engine() -> None:
    code = f"import sys, {PLUGIN}; print([name for name in sys.modules if name.startswith('headrace.')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert sorted(eval(printed)) == ["headrace.testing", PLUGIN, "headrace.version"]
