"""The command line as a whole. Goal: a wrong word is answered with the right one, and nothing is slow to start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from headrace.version import __version__
from tests.cli.conftest import Run

COMMANDS = [
    "dev",
    "start",
    "kafka",
    "topics",
    "send",
    "runs",
    "run",
    "invoke",
    "cancel",
    "pause",
    "resume",
    "limits",
    "apps",
    "events",
    "event",
    "why",
    "check",
    "doctor",
]


def test_version(run: Run) -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"headrace {__version__}\n")


def test_help_lists_every_command_with_a_sentence(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    _, _, listed = result.output.partition("Commands:\n")
    listed, _, _ = listed.partition("\n\n")
    lines = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert list(lines) == COMMANDS
    assert all(len(sentence) > 10 for sentence in lines.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "-h")
    assert result.exit_code == 0
    assert "Usage: headrace " + command in result.output


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["rnus"], "'runs'"),
        (["strat", "app"], "'start'"),
        (["topics", "chek"], "'check'"),
        (["runs", "--staus", "Failed"], "--status"),
        (["start", "--kafak", "x:1"], "--kafka"),
    ],
)
def test_a_wrong_word_names_the_nearest(run: Run, arguments: list[str], meant: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Did you mean" in result.output
    assert meant in result.output


def test_a_word_like_no_other_names_none(run: Run) -> None:
    result = run("xyzzy")
    assert result.exit_code == 2
    assert "There is no command 'xyzzy'." in result.output
    assert "Did you mean" not in result.output


def test_errors_have_four_parts_and_no_traceback_unless_asked(run: Run) -> None:
    quiet = run("runs", "--url", "http://127.0.0.1:9")
    assert quiet.exit_code == 1
    assert quiet.stdout == ""
    first, *rest = quiet.stderr.splitlines()
    assert first == "[node_unreachable] no node answers at http://127.0.0.1:9"
    assert [line.split()[0] for line in rest] == ["why:", "do:"]
    loud = run("runs", "--url", "http://127.0.0.1:9", HEADRACE_LOG_LEVEL="debug")
    assert "Traceback" in loud.stderr


def test_looking_at_the_version_imports_no_dependency_but_click() -> None:
    program = (
        "import sys, json\n"
        "from headrace.cli.commands import headrace\n"
        "try: headrace.main(['--version'], prog_name='headrace')\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "click" in loaded
    assert not loaded & {"rich", "confluent_kafka", "rocksdict", "uvicorn", "starlette", "pydantic", "lark", "asyncio"}


def test_it_runs_as_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "headrace.cli", "--version"], check=True, capture_output=True)
    assert done.stdout.decode().strip() == f"headrace {__version__}"
