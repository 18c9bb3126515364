"""Log lines. Goal: one line for each thing, that a program can take apart again."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator

import pytest

from headrace.cli.logs import ProgramLines, TerminalLines, set_up_logging, tell
from headrace.cli.repeats import Repeats
from headrace.errors import NotReady


def record(message: str, code: str = "", failed: bool = False) -> logging.LogRecord:
    """Make a record, with the error that is being handled where one is."""
    made = logging.LogRecord(
        "headrace.node", logging.WARNING, __file__, 1, message, None, sys.exc_info() if failed else None
    )
    made.created = 1_795_168_800.042
    if code:
        made.code = code
    return made


def pairs(line: str) -> dict[str, str]:
    """Take a line of key=value apart."""
    return dict(part.split("=", 1) for part in shlex.split(line.replace("\\n", "\\\\n")))


def test_a_line_for_programs_holds_everything_in_one_line() -> None:
    line = ProgramLines("node-1").format(record('partition 3: "lost"\n  why: a = b', "fenced"))
    assert "\n" not in line
    assert pairs(line) == {
        "time": "2026-11-20T10:00:00.042Z",
        "level": "warning",
        "logger": "headrace.node",
        "node": "node-1",
        "code": "fenced",
        "message": 'partition 3: "lost" | why: a = b',
    }


def test_a_traceback_stays_in_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        line = ProgramLines().format(record("it failed", failed=True))
    assert "\n" not in line
    assert "Traceback" in pairs(line)["trace"]


class Wordless:
    """Cannot be written."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.usefixtures("_root_as_it_was")
def test_a_message_whose_values_do_not_fit_is_written_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging({})
    for name in ("shop", "headrace.console"):
        logging.getLogger(name).info("bad %d", "x")
        logging.getLogger(name).info("bad %s %s", 1)
        logging.getLogger(name).info("bad %s", Wordless())
        logging.getLogger(name).info(Wordless())
    lines = [pairs(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == 8
    assert lines[0].startswith("bad %d (its values cannot be put in: TypeError: %d format: ")
    assert lines[1].startswith("bad %s %s (its values cannot be put in: TypeError: not enough arguments")
    assert lines[2] == "bad %s (its values cannot be put in: ValueError: no words)"
    assert lines[3] == "a message of type Wordless (its values cannot be put in: ValueError: no words)"


def test_a_line_for_people_is_short() -> None:
    line = TerminalLines().format(record("the claim is lost", "fenced"))
    assert line.endswith("warning [fenced] the claim is lost\x1b[0m")


@pytest.fixture
def _root_as_it_was() -> Iterator[None]:
    """Give pytest its logging back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    talkers = [logging.getLogger(name) for name in ("headrace.kafka", "headrace.console")]
    filters = [list(talker.filters) for talker in talkers]
    levels = {name: logging.getLogger(name).level for name in ("asyncio", "uvicorn", "headrace.kafka")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for talker, before_filters in zip(talkers, filters, strict=True):
        talker.filters[:] = before_filters
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)


@pytest.mark.usefixtures("_root_as_it_was")
def test_what_the_node_tells_has_a_level_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging({"HEADRACE_LOG_LEVEL": "warning"})
    tell("claim_retried", "not shown")
    tell("fenced", "shown")
    tell("expelled", "an error")
    lines = [pairs(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["code"]) for line in lines] == [("warning", "fenced"), ("error", "expelled")]


def test_an_unknown_level_names_the_nearest() -> None:
    with pytest.raises(NotReady) as caught:
        set_up_logging({"HEADRACE_LOG_LEVEL": "debg"})
    assert "Did you mean 'debug'?" in caught.value.what
    assert caught.value.why
    assert caught.value.do


def test_one_trouble_is_told_once_in_a_while_with_its_count() -> None:
    now = [0.0]
    repeats = Repeats(now=lambda: now[0])

    def said(client: int, reason: str = "refused") -> str | None:
        line = record(f"FAIL [headrace#consumer-{client}] [thrd:127.0.0.1:9092/1]: {reason} (after {client}ms)")
        return line.getMessage() if repeats.filter(line) else None

    first = said(1)
    assert first is not None
    assert first.endswith("refused (after 1ms)")
    assert [said(client) for client in range(2, 50)] == [None] * 48
    assert said(1, "no route"), "another trouble is told at once"
    now[0] = 10.0
    again = said(7)
    assert again is not None
    assert again.endswith("refused (after 7ms) (and 48 more like it since the last such line)")
    now[0] = 20.0
    assert said(8, "refused").endswith("(after 8ms)")  # type: ignore[union-attr]
