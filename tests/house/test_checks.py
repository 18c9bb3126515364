"""One list of checks. Goal: a commit, `make check` and CI can never disagree, and CI runs nothing twice."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import tomllib

import yaml

from tests.house.sources import ROOT


def recipe(target: str) -> list[str]:
    """Say which commands a make target runs, once everything is installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    lines = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--dry-run",
            "--assume-old=.venv/.installed",
            target,
            "JOBS=3",
            "SEED=7",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "STAY": ""},
    ).stdout.splitlines()
    return [line for line in lines if not line.startswith("echo ")]


def pytest_selections(target: str) -> list[tuple[str, str, str]]:
    """List (marker expression, folder that is ignored, folder that alone is run) of each pytest that a target runs."""
    selections = []
    for line in "\n".join(recipe(target)).replace("\\\n", " ").splitlines():
        if " -m pytest " not in line:
            continue
        words = shlex.split(line)
        arguments = words[words.index("pytest") + 1 :]
        expression = arguments[arguments.index("-m") + 1] if "-m" in arguments else "True"
        paths = " ".join(word for word in arguments if not word.startswith("-") and word != expression)
        ignored = " ".join(word.partition("=")[2] for word in arguments if word.startswith("--ignore="))
        selections.append((expression, ignored, paths))
    return selections


def test_commits_are_checked_by_what_make_check_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    assert [hook["entry"] for hook in hooks[0]["hooks"]] == recipe("check")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks[0]["hooks"])


def test_ci_runs_every_test_and_none_twice() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.findall(r"^run make (\S+)$", script, re.MULTILINE) == ["setup", "check", "test", "test-all"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    selections = pytest_selections("test") + pytest_selections("test-all")
    evicted = ("not slow", "", "tests/sdk_python")
    assert selections.count(evicted) == 1
    selections.remove(evicted)
    for values in itertools.product((False, True), repeat=3):
        marks = dict(zip(("kafka", "slow", "alone"), values, strict=True))
        for folder in (
            ("tests/house", "tests/sdk") if marks["kafka"] else ("tests/house",)
        ):  # all of the SDKs is on Kafka
            chosen = [
                expression
                for expression, ignored, only in selections
                if eval(expression, {}, marks) and folder != ignored and only in ("", folder)
            ]
            assert len(chosen) == 1, (marks, folder, chosen)


def test_the_second_round_of_the_python_sdk_keeps_code_in_memory() -> None:
    keeping = [line for line in recipe("test") if line.startswith("HEADRACE_EVICT=never ")]
    assert len(keeping) == 1
    assert " tests/sdk_python " in keeping[0]


def test_make_test_closes_with_the_summary_of_pytest() -> None:
    assert " -m pytest " in recipe("test")[-1]
    assert " -m pytest " in recipe("test-all")[-1]


def test_make_alone_prints_every_target() -> None:
    printed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert targets
    assert re.findall(r"^ +make (\S+)", printed, re.MULTILINE) == targets[1].split()


def test_the_markers_that_make_selects_by_are_declared() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    assert {"kafka", "slow", "alone"} <= {marker.partition(":")[0] for marker in options["markers"]}
    assert options["filterwarnings"] == ["error"]


def test_simulate_and_demo_hand_over_what_they_were_given() -> None:
    assert recipe("simulate") == [".venv/bin/python -m tests.simulation --runs 20 --seed 7"]
    assert recipe("demo") == [".venv/bin/python examples/orders/demo.py"]
